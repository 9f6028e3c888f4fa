"""Checkpoints of a training in progress: complete or absent."""

import logging
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from simulgen_pipeline.training.checkpoints import NUM_KEPT, Checkpoints

CPU = torch.device("cpu")


def content(epoch: int) -> dict[str, Any]:
    return {
        "weights": {"a": torch.full((40, 40), float(epoch))},
        "progressed": {"epoch": epoch, "history": [{"loss": 0.5}]},
    }


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path, "vae", interval=0.0)


def newest_epoch(checkpoints: Checkpoints) -> int:
    found = checkpoints.load(CPU)
    assert found is not None
    epoch: int = found["progressed"]["epoch"]
    assert torch.equal(found["weights"]["a"], torch.full((40, 40), float(epoch)))
    return epoch


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_without_a_checkpoint_there_is_nothing_to_load(
    checkpoints: Checkpoints, caplog: pytest.LogCaptureFixture
) -> None:
    assert checkpoints.load(CPU) is None
    assert caplog.text == ""


def test_a_checkpoint_is_read_back_as_it_was_saved(checkpoints: Checkpoints) -> None:
    checkpoints.save(3, content(3))
    found = checkpoints.load(CPU)
    assert found is not None
    assert found["progressed"] == content(3)["progressed"]
    assert torch.equal(found["weights"]["a"], content(3)["weights"]["a"])


def test_the_newest_is_loaded_and_two_are_kept(checkpoints: Checkpoints, tmp_path: Path) -> None:
    for epoch in (1, 2, 9, 10, 100):
        checkpoints.save(epoch, content(epoch))
        assert newest_epoch(checkpoints) == epoch
        assert len(names(tmp_path)) <= NUM_KEPT == 2
    assert names(tmp_path) == ["vae-00000010-00000000.pt", "vae-00000100-00000000.pt"]


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def lose_the_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_bit_of_a_weight(path: Path) -> None:
    content = bytearray(path.read_bytes())
    weight = struct.pack("<f", 2.0)
    content[content.index(10 * weight) + 2] ^= 1
    path.write_bytes(content)
    found = torch.load(path, weights_only=True)  # does not notice
    assert not torch.equal(found["weights"]["a"], torch.full((40, 40), 2.0))


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def fill_with_text(path: Path) -> None:
    path.write_text("this is not a checkpoint\n" * 10)


@pytest.mark.parametrize(
    "damage", [halve, lose_the_end, flip_a_bit_of_a_weight, empty, zero, fill_with_text]
)
def test_a_damaged_newest_checkpoint_falls_back_with_a_warning(
    checkpoints: Checkpoints,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    checkpoints.save(1, content(1))
    checkpoints.save(2, content(2))
    damage(tmp_path / "vae-00000002-00000000.pt")
    assert newest_epoch(checkpoints) == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert str(tmp_path / "vae-00000002-00000000.pt") in record.getMessage()
    assert "damaged" in record.getMessage()
    assert "the one before is used" in record.getMessage()


def test_no_changed_byte_goes_unnoticed(checkpoints: Checkpoints, tmp_path: Path) -> None:
    checkpoints.save(1, {"epoch": 1})
    path = tmp_path / "vae-00000001-00000000.pt"
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        assert checkpoints.load(CPU) is None
    path.write_bytes(whole)
    assert checkpoints.load(CPU) == {"epoch": 1}


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), torch.OutOfMemoryError()])
def test_one_that_cannot_be_read_now_is_not_taken_for_damaged(
    checkpoints: Checkpoints,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    for epoch in (1, 2):
        checkpoints.save(epoch, content(epoch))

    def fail(*arguments: Any, **options: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(torch, "load", fail)
        with pytest.raises(type(error)) as raised:
            checkpoints.load(CPU)
    assert "vae-00000002-00000000.pt cannot be read now" in raised.value.__notes__[0]
    assert newest_epoch(checkpoints) == 2


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("code of a stranger",)


def test_objects_in_a_checkpoint_are_not_made(
    checkpoints: Checkpoints, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save(1, content(1))
    checkpoints.save(2, {"weights": Hostile()})
    assert newest_epoch(checkpoints) == 1
    assert "damaged" in caplog.text
    assert "code of a stranger" not in capsys.readouterr().out


def test_when_all_are_damaged_training_starts_anew(
    checkpoints: Checkpoints, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for epoch in (1, 2):
        checkpoints.save(epoch, content(epoch))
        empty(tmp_path / f"vae-{epoch:08d}-00000000.pt")
    assert checkpoints.load(CPU) is None
    said = [record.getMessage().rpartition("; ")[2] for record in caplog.records]
    assert said == ["the one before is used", "its stage starts anew"]


def test_a_damaged_checkpoint_is_replaced_in_time(checkpoints: Checkpoints, tmp_path: Path) -> None:
    checkpoints.save(1, content(1))
    checkpoints.save(2, content(2))
    empty(tmp_path / "vae-00000002-00000000.pt")
    checkpoints.save(2, content(2))
    assert newest_epoch(checkpoints) == 2


def test_damaged_checkpoints_of_later_epochs_do_not_outlive_a_training_that_starts_anew(
    checkpoints: Checkpoints, tmp_path: Path
) -> None:
    for epoch in (90, 100):
        checkpoints.save(epoch, content(epoch))
        empty(tmp_path / f"vae-{epoch:08d}-00000000.pt")
    for epoch in (5, 10):
        checkpoints.save(epoch, content(epoch))
        assert newest_epoch(checkpoints) == epoch
    assert names(tmp_path) == ["vae-00000005-00000000.pt", "vae-00000010-00000000.pt"]


def test_a_damaged_newest_checkpoint_is_dropped_once_the_one_before_has_gone_on(
    checkpoints: Checkpoints, tmp_path: Path
) -> None:
    for epoch in (90, 100):
        checkpoints.save(epoch, content(epoch))
    empty(tmp_path / "vae-00000100-00000000.pt")
    checkpoints.save(95, content(95))
    assert names(tmp_path) == ["vae-00000090-00000000.pt", "vae-00000095-00000000.pt"]


def test_a_checkpoint_of_other_things_than_plain_values_does_not_run(
    checkpoints: Checkpoints, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save(1, {"weights": Path("/")})
    assert checkpoints.load(CPU) is None
    assert "weights_only" in caplog.text


def test_the_stages_of_a_training_do_not_disturb_one_another(tmp_path: Path) -> None:
    decoder, encoder = (Checkpoints(tmp_path, stage, 0.0) for stage in ("decoder", "encoder"))
    decoder.save(50, content(50))
    for epoch in (1, 2, 3):
        encoder.save(epoch, content(epoch))
    assert newest_epoch(decoder) == 50
    assert newest_epoch(encoder) == 3


@pytest.mark.parametrize("moment", ["while it is written", "before it is named"])
def test_a_failure_leaves_complete_files_only(
    checkpoints: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    checkpoints.save(1, content(1))
    before = (tmp_path / "vae-00000001-00000000.pt").read_bytes()

    def write_half(value: object, file: Any) -> None:
        file.write(before[: len(before) // 2])
        raise OSError("No space left on device")

    def fail(*args: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        if moment == "while it is written":
            patch.setattr("simulgen_pipeline.training.checkpoints.torch.save", write_half)
        else:
            patch.setattr("simulgen_pipeline.data.whole_files.os.replace", fail)
        with pytest.raises(OSError, match="No space"):
            checkpoints.save(2, content(2))
    assert names(tmp_path) == ["vae-00000001-00000000.pt"]
    assert (tmp_path / "vae-00000001-00000000.pt").read_bytes() == before
    checkpoints.save(3, content(3))
    assert newest_epoch(checkpoints) == 3


def test_an_unfinished_file_of_a_killed_process_is_not_taken_for_a_checkpoint(
    checkpoints: Checkpoints, tmp_path: Path
) -> None:
    checkpoints.save(1, content(1))
    (tmp_path / "vae-00000002-00000000.pt.tmp").write_bytes(b"half of it")
    assert newest_epoch(checkpoints) == 1
    checkpoints.save(2, content(2))
    assert names(tmp_path) == ["vae-00000001-00000000.pt", "vae-00000002-00000000.pt"]


def test_a_checkpoint_is_due_when_the_interval_has_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("simulgen_pipeline.training.checkpoints.time.monotonic", lambda: now)
    checkpoints = Checkpoints(tmp_path, "vae", interval=20.0)
    assert not checkpoints.is_due()
    now = 119.9
    assert not checkpoints.is_due()
    now = 120.0
    assert checkpoints.is_due()
    checkpoints.save(1, content(1))
    assert not checkpoints.is_due()
    now = 140.5
    assert checkpoints.is_due()
