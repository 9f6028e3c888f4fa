"""Reading a table of designs, and bringing it into the order of the simulations."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simulgen_pipeline.data.designs import design_fingerprint, match_designs, read_designs
from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.pictures import has_pictures

Write = Callable[..., Path]


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_designs(path)
    return str(caught.value)


def test_a_header_names_the_parameters(write_designs: Write) -> None:
    table = read_designs(write_designs("speed, width\n1,0.5\n2,1e-3\n"))
    assert list(table.columns) == ["speed", "width"]
    assert table.index.name is None
    np.testing.assert_array_equal(table.to_numpy(), [[1, 0.5], [2, 1e-3]])
    assert (table.dtypes == np.float64).all()


def test_without_a_header_the_first_row_is_a_design(write_designs: Write) -> None:
    table = read_designs(write_designs("1,0.5\n-2,1e-3\n3,.25"))
    assert list(table.columns) == ["p1", "p2"]
    np.testing.assert_array_equal(table.to_numpy(), [[1, 0.5], [-2, 1e-3], [3, 0.25]])


def test_a_single_parameter_and_a_single_design_are_a_table(write_designs: Write) -> None:
    assert read_designs(write_designs("speed\n2\n")).shape == (1, 1)
    assert read_designs(write_designs("2\n")).shape == (1, 1)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_the_id_column_becomes_the_index_wherever_it_stands(
    write_designs: Write, position: int
) -> None:
    columns = {"speed": ["1", "2"], "width": ["3", "4"]}
    names = list(columns)
    names.insert(position, "id")
    table = pd.DataFrame({**columns, "id": ["007", "run b"]})[names]
    read = read_designs(write_designs(table.to_csv(index=False)))
    assert list(read.index) == ["007", "run b"]
    assert read.index.name == "id"
    assert list(read.columns) == ["speed", "width"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(write_designs: Write) -> None:
    table = read_designs(write_designs("id,speed\na,1\n", "utf-8-sig"))
    assert (table.index.name, list(table.columns)) == ("id", ["speed"])
    table = read_designs(write_designs("1,2\n3,4\n", "utf-8-sig"))
    np.testing.assert_array_equal(table.to_numpy(), [[1, 2], [3, 4]])


def test_spaces_empty_lines_and_other_line_ends_do_not_matter(write_designs: Write) -> None:
    table = read_designs(write_designs(" id , speed \r\n a , 1 \r\n\r\n b , 2 \r\n\r\n"))
    assert list(table.index) == ["a", "b"]
    np.testing.assert_array_equal(table["speed"], [1, 2])


def test_a_comma_at_the_end_of_each_line_is_no_column(write_designs: Write) -> None:
    table = read_designs(write_designs("speed,width\n1,2,\n3,4,\n"))
    assert list(table.columns) == ["speed", "width"]
    np.testing.assert_array_equal(table.to_numpy(), [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    "text",
    ["speed,width\n1,2,3\n4,5,6\n", "speed,width\n1,2\n4,5,6\n", "1,2\n4,5,6\n"],
    ids=["every line", "a later line", "no header"],
)
def test_more_values_than_columns_are_refused_and_not_shifted(
    write_designs: Write, text: str
) -> None:
    path = write_designs(text)
    message = refusal(path)
    assert str(path) in message
    assert "one row per design" in message


@pytest.mark.parametrize(
    ("text", "line", "column", "found"),
    [
        ("speed,width\n1,2\n3,fast\n", 3, "width", "'fast'"),
        ("speed,width\n1,2\n,4\n", 3, "speed", "nothing"),
        ("speed,width\n1,2\n3\n", 3, "width", "nothing"),
        ("speed,width\n1,inf\n", 2, "width", "'inf'"),
        ("speed,width\nnan,1\n", 2, "speed", "'nan'"),
        ("id,speed,width\na,1,2\nb,1,two\n", 3, "width", "'two'"),
        ("1,2\n3,4\n5,6x\n", 3, "p2", "'6x'"),
        ("1,2\ninf,4\n", 2, "p1", "'inf'"),
        ("speed,note\n1,2024-01-05\n", 2, "note", "'2024-01-05'"),
    ],
)
def test_a_cell_that_is_no_number_is_named_by_line_and_column(
    write_designs: Write, text: str, line: int, column: str, found: str
) -> None:
    path = write_designs(text)
    message = refusal(path)
    assert f"{path}, line {line}, column '{column}'" in message
    assert f"expected a finite number, found {found}" in message
    assert "remove the column" in message


@pytest.mark.parametrize("text", ["speed\n1\n\n\n2\nx\n", "\n1\n\n2\nx\n"])
def test_the_line_of_a_wrong_cell_counts_empty_lines(write_designs: Write, text: str) -> None:
    line = text.splitlines().index("x") + 1
    assert f"line {line}," in refusal(write_designs(text))


@pytest.mark.parametrize("text", ["a;b\n1;2\n", "1;2\n3;4\n", "a;b\n1,5;2,5\n", "1,5;2\n3,5;4\n"])
def test_semicolons_are_recognised(write_designs: Write, text: str) -> None:
    assert "semicolons" in refusal(write_designs(text))


@pytest.mark.parametrize("text", ["", "\n\n", "speed,width\n", "speed,width"], ids=repr)
def test_a_file_without_designs_is_refused(write_designs: Write, text: str) -> None:
    path = write_designs(text)
    message = refusal(path)
    assert str(path) in message
    assert "one row per design" in message


@pytest.mark.parametrize("header", ["speed,speed", "speed,,width", "id,speed,id"])
def test_columns_need_different_names(write_designs: Write, header: str) -> None:
    path = write_designs(f"{header}\n1,2,3\n")
    message = refusal(path)
    assert str(path) in message
    assert "different name" in message


def test_a_quoted_cell_may_hold_a_comma(write_designs: Write) -> None:
    table = read_designs(write_designs('id,"speed [m/s, mean]"\n"a, first",1\n'))
    assert list(table.index) == ["a, first"]
    assert list(table.columns) == ["speed [m/s, mean]"]


def test_a_folder_is_a_table_of_its_pictures(tmp_path: Path) -> None:
    assert "a folder with no pictures" in refusal(tmp_path)
    for name in ("b10.JPG", "b9.png", "notes.txt"):
        (tmp_path / name).touch()
    table = read_designs(tmp_path)
    assert table.index.tolist() == ["b9", "b10"]
    assert table["picture"].tolist() == [str(tmp_path / "b9.png"), str(tmp_path / "b10.JPG")]


def pictures(tmp_path: Path, *names: str) -> pd.DataFrame:
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    return read_designs(tmp_path)


def test_pictures_are_matched_by_id_if_their_names_are_ids(tmp_path: Path) -> None:
    table = match_designs(pictures(tmp_path, "a.png", "b.png"), 2, ["b", "a"], ("s", "d"))
    assert [Path(path).name for path in table["picture"]] == ["b.png", "a.png"]
    assert table.index.tolist() == ["b", "a"]


def test_pictures_whose_names_are_no_ids_are_matched_in_natural_order(tmp_path: Path) -> None:
    table = pictures(tmp_path, "img10.png", "img9.png")
    matched = match_designs(table, 2, ["run_1", "run_2"], ("s", "d"))
    assert [Path(path).name for path in matched["picture"]] == ["img9.png", "img10.png"]
    assert matched.index.tolist() == ["run_1", "run_2"]
    assert match_designs(table, 2, None, ("s", "d")).index.tolist() == ["img9", "img10"]


def test_pictures_of_which_only_some_are_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="have no design with their id"):
        match_designs(pictures(tmp_path, "a.png", "x.png"), 2, ["a", "b"], ("s", "d"))


def miscounted(table: pd.DataFrame, num_designs: int, ids: list[str] | None = None) -> str:
    with pytest.raises(DataError) as error:
        match_designs(table, num_designs, ids, ("s", "d"))
    return str(error.value)


def test_a_picture_left_out_of_a_numbering_is_named(tmp_path: Path) -> None:
    table = pictures(tmp_path, "design_0006.png", "design_0008.png", "design_0009.png")
    message = miscounted(table, 4)
    assert "s has 4 simulations, d has 3 pictures. Expected one picture per" in message
    assert "add or remove pictures" in message
    assert message.endswith("Missing: design_0007.")


def test_many_missing_pictures_are_counted(tmp_path: Path) -> None:
    table = pictures(tmp_path, "run2_8 mm.png", "run2_16 mm.png")
    assert "Missing: run2_9 mm, run2_10 mm, run2_11 mm, run2_12 mm, run2_13 mm and 2 more." in (
        miscounted(table, 9)
    )


@pytest.mark.parametrize("names", [("p10", "p20", "p30"), ("a1", "b3", "c"), ("p1", "p2", "p3")])
def test_names_that_leave_nothing_out_blame_none(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert "Missing" not in miscounted(pictures(tmp_path, *(f"{n}.png" for n in names)), 4)


def test_ids_tell_which_designs_are_missing_and_which_are_too_many(tmp_path: Path) -> None:
    table = pictures(tmp_path, "r1.png", "r2.png", "x.png")
    message = miscounted(table, 4, ["r1", "r2", "r3", "r9"])
    assert message.endswith("Missing: r3, r9. Without a simulation: x.")
    assert "Missing: c." in miscounted(table_of(["a", "b"], 2), 3, ["a", "b", "c"])


def test_files_of_other_kinds_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("d3.bmp", "d4.tif", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert "no pictures, only d3.bmp, d4.tif. Expected one PNG or JPG file" in refusal(tmp_path)
    table = pictures(tmp_path, "d1.png", "d2.png")
    assert caplog.messages == [f"Not read, as no PNG or JPG files of {tmp_path}: d3.bmp, d4.tif"]
    assert miscounted(table, 4).endswith("No PNG or JPG files: d3.bmp, d4.tif.")


def test_a_parameter_may_be_called_picture(write_designs: Write) -> None:
    table = read_designs(write_designs("id,picture\na,1\nb,2\n"))
    assert not has_pictures(table)
    assert len(design_fingerprint(table)) == 64
    with pytest.raises(DataError, match="have no design with their id"):
        match_designs(table, 2, ["x", "y"], ("s", "d"))


def test_fingerprint_of_pictures_is_that_of_their_contents(tmp_path: Path) -> None:
    table = pictures(tmp_path, "a.png", "b.png")
    before = design_fingerprint(table)
    assert design_fingerprint(pictures(tmp_path, "a.png", "b.png")) == before
    (tmp_path / "b.png").write_bytes(b"another")
    assert design_fingerprint(table) != before


def test_ids_alone_are_no_designs(write_designs: Write) -> None:
    assert "no parameter columns" in refusal(write_designs("id\na\nb\n"))


@pytest.mark.parametrize(
    ("text", "line", "found"), [("id,x\na,1\nb,2\na,3\n", 4, "'a'"), ("id,x\na,1\n,2\n", 3, "")]
)
def test_ids_are_present_and_unique(write_designs: Write, text: str, line: int, found: str) -> None:
    message = refusal(write_designs(text))
    assert "present and unique" in message
    assert f"line {line}" in message
    assert found in message


def test_one_picture_is_told_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.PNG").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.PNG is one picture\. Expected the folder"):
        read_designs(tmp_path / "a.PNG")


def test_a_file_in_another_encoding_is_refused(write_designs: Write) -> None:
    path = write_designs("Länge\n1\n", encoding="latin-1")
    message = refusal(path)
    assert str(path) in message
    assert "not a readable CSV file" in message


def test_a_missing_file_names_the_parameter(tmp_path: Path) -> None:
    message = refusal(tmp_path / "designs.csv")
    assert str(tmp_path / "designs.csv") in message
    assert "--params=designs=PATH" in message


SOURCES = ("a.h5", "b.csv")


def table_of(ids: list[str] | None, num_designs: int = 3) -> pd.DataFrame:
    table = pd.DataFrame({"speed": np.arange(float(num_designs))})
    return table if ids is None else table.set_axis(pd.Index(ids, name="id"), axis="index")


def test_designs_are_matched_by_id_in_another_order() -> None:
    matched = match_designs(table_of(["c", "a", "b"]), 3, ["a", "b", "c"], SOURCES)
    assert list(matched.index) == ["a", "b", "c"]
    np.testing.assert_array_equal(matched["speed"], [1, 2, 0])
    assert matched.index.name == "id"


@pytest.mark.parametrize(
    ("table_ids", "simulation_ids", "expected"),
    [
        (None, None, ["0", "1", "2"]),
        (None, ["a", "b", "c"], ["a", "b", "c"]),
        (["c", "a", "b"], None, ["c", "a", "b"]),
    ],
    ids=["nobody", "simulations", "designs"],
)
def test_designs_keep_their_order_where_not_both_sides_have_ids(
    table_ids: list[str] | None, simulation_ids: list[str] | None, expected: list[str]
) -> None:
    matched = match_designs(table_of(table_ids), 3, simulation_ids, SOURCES)
    assert list(matched.index) == expected
    assert matched.index.name == "id"
    np.testing.assert_array_equal(matched["speed"], [0, 1, 2])


@pytest.mark.parametrize("num_simulations", [2, 4])
def test_another_number_of_designs_is_refused(num_simulations: int) -> None:
    with pytest.raises(
        DataError, match=f"^a.h5 has {num_simulations} simulations, b.csv has 3 designs"
    ):
        match_designs(table_of(None), num_simulations, None, SOURCES)


def test_unknown_ids_are_named_with_those_that_are_there() -> None:
    with pytest.raises(
        DataError, match=r"1 simulations of a.h5.*b.csv.*'x1'.*look like 'a'.*remove the id"
    ):
        match_designs(table_of(["a", "b", "c"]), 3, ["a", "b", "x1"], SOURCES)


def test_matching_does_not_change_the_table() -> None:
    table = table_of(["c", "a", "b"])
    match_designs(table, 3, ["a", "b", "c"], SOURCES)
    pd.testing.assert_frame_equal(table, table_of(["c", "a", "b"]))


@pytest.mark.parametrize("first", ["1,2,3x", "1,2,speed", "run_1,2,3"])
def test_a_first_row_of_names_and_numbers_is_refused_rather_than_lost(
    write_designs: Callable[..., Path], first: str
) -> None:
    message = refusal(write_designs(f"{first}\n3,4,5\n6,7,8\n"))
    assert "line 1" in message
    assert first.split(",")[2] in message


@pytest.mark.parametrize("cell", ["nan", "inf", ""])
def test_a_first_row_with_a_missing_number_is_no_header(
    write_designs: Callable[..., Path], cell: str
) -> None:
    assert "expected a finite number" in refusal(write_designs(f"1,{cell},2\n3,4,5\n"))


def test_a_fingerprint_changes_with_values_ids_and_names() -> None:
    table = table_of(["a", "b", "c"])
    assert design_fingerprint(table) == design_fingerprint(table.copy())
    others = [table + 1e-9, table.rename(columns={"speed": "v"}), table_of(["a", "c", "b"])]
    assert len({design_fingerprint(other) for other in [table, *others]}) == 4
