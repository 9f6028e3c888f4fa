"""Folders of pictures: which files are designs, in which order."""

from pathlib import Path

import pytest

from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.picture_folder import list_pictures


def test_order_is_natural_and_ids_are_stems(tmp_path: Path) -> None:
    for name in ("d10.png", "d9.JPG", "D2.jpeg", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"")
    table = list_pictures(tmp_path)
    assert table.index.tolist() == ["D2", "d9", "d10"]
    assert table.index.name == "id"
    assert table["picture"].tolist() == [
        str(tmp_path / name) for name in ("D2.jpeg", "d9.JPG", "d10.png")
    ]


def test_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures"):
        list_pictures(tmp_path)


def test_same_stem_twice_is_an_error(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataError, match="several pictures called 'a'"):
        list_pictures(tmp_path)
