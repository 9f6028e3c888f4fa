"""Files that are there whole or not at all."""

import errno
from pathlib import Path

import pytest

from simulgen_pipeline.data.whole_files import whole_file


def test_a_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text("before")
    with whole_file(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "before"
        with temporary.open("a") as file:
            file.write(" and half")
    assert path.read_text() == "half and half"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text("before")

    def write_half() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise ValueError("no number")

    with pytest.raises(ValueError, match="no number"):
        write_half()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named_with_the_file_and_what_is_left(
    tmp_path: Path, full_device: Path
) -> None:
    path = tmp_path / "job.json"

    def write() -> None:
        with whole_file(path) as temporary:
            temporary.symlink_to(full_device)
            temporary.write_text("anything")

    with pytest.raises(OSError, match="No space left") as error:
        write()
    assert error.value.errno == errno.ENOSPC
    (note,) = error.value.__notes__
    assert note.startswith(f"{path} does not fit on its disk")
    assert "MiB left" in note
    assert list(tmp_path.iterdir()) == []
