"""Fitted objects on disk: complete or absent, and readable without running anyone's code."""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from simulgen_pipeline.data.artifact import (
    FORMAT_VERSION,
    Config,
    State,
    join_states,
    load_artifact,
    part_of,
    save_artifact,
)
from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.scaling import FieldScaler


class Polynomial:
    """An artifact of a name, and arrays of several types and shapes."""

    def __init__(self, name: str, state: State) -> None:
        self.name, self._state = name, state

    def config(self) -> Config:
        return {"name": self.name, "degree": 2}

    def state(self) -> State:
        return self._state

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        assert config["degree"] == 2
        return cls(config["name"], {"a": state["a"], **state})


ARRAYS: State = {
    "a": np.arange(6.0).reshape(2, 3),
    "single": np.arange(3, dtype=np.float32),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "strided": np.arange(10)[::3],
    "scalar": np.array(2.5),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 4)),
    "part/of/a/path": np.array([1], dtype=np.int64),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models" / "artifact"


def damage(path: Path, num_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:num_bytes])


def test_an_artifact_is_read_back_as_it_was_saved(folder: Path) -> None:
    save_artifact(Polynomial("mine é", ARRAYS), folder)
    again = load_artifact(Polynomial, folder)
    assert again.name == "mine é"
    assert again.state().keys() == ARRAYS.keys()
    for name, value in again.state().items():
        assert value.dtype == ARRAYS[name].dtype
        assert value.shape == ARRAYS[name].shape
        np.testing.assert_array_equal(value, ARRAYS[name])


def test_an_artifact_without_arrays_is_read_back(folder: Path) -> None:
    save_artifact(Polynomial("mine", {"a": np.zeros(1)}), folder)
    assert load_artifact(Polynomial, folder).name == "mine"


def test_the_folder_holds_plain_files_only(folder: Path) -> None:
    save_artifact(Polynomial("mine", ARRAYS), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "state.safetensors"]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config == {
        "format": "Polynomial",
        "format_version": FORMAT_VERSION,
        "name": "mine",
        "degree": 2,
    }


def test_a_copied_folder_can_be_loaded(folder: Path, tmp_path: Path) -> None:
    save_artifact(Polynomial("mine", ARRAYS), folder)
    folder.rename(tmp_path / "elsewhere")
    assert load_artifact(Polynomial, tmp_path / "elsewhere").name == "mine"


def test_another_kind_of_artifact_is_refused(folder: Path) -> None:
    save_artifact(Polynomial("mine", ARRAYS), folder)
    with pytest.raises(DataError, match="holds a Polynomial; expected a FieldScaler") as caught:
        load_artifact(FieldScaler, folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, None, "1"])
def test_another_format_version_is_refused(folder: Path, version: Any) -> None:
    save_artifact(Polynomial("mine", ARRAYS), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "format_version": version}))
    with pytest.raises(DataError, match=f"version {version};.*reads {FORMAT_VERSION}.*Use the"):
        load_artifact(Polynomial, folder)


@pytest.mark.parametrize("name", ["config.json", "state.safetensors"])
@pytest.mark.parametrize("num_bytes", [0, 7, 60, -1])
def test_a_damaged_file_is_refused(folder: Path, name: str, num_bytes: int) -> None:
    save_artifact(Polynomial("mine", ARRAYS), folder)
    damage(folder / name, num_bytes)
    with pytest.raises(DataError, match="not a readable Polynomial") as caught:
        load_artifact(Polynomial, folder)
    assert str(folder) in str(caught.value)
    assert "config.json and state.safetensors" in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "null", "1", '"text"', "\udcff"])
def test_a_configuration_of_another_form_is_refused(folder: Path, text: str) -> None:
    save_artifact(Polynomial("mine", ARRAYS), folder)
    (folder / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError) as caught:
        load_artifact(Polynomial, folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "state.safetensors"])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    save_artifact(Polynomial("mine", ARRAYS), folder)
    (folder / name).unlink()
    with pytest.raises(DataError, match="not a readable Polynomial"):
        load_artifact(Polynomial, folder)


def test_a_missing_folder_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="not a readable Polynomial") as caught:
        load_artifact(Polynomial, folder)
    assert str(folder) in str(caught.value)


def test_a_missing_value_or_array_is_refused(folder: Path) -> None:
    save_artifact(Polynomial("mine", {"b": np.zeros(2)}), folder)
    with pytest.raises(DataError, match=r"not a readable Polynomial.*'a'"):
        load_artifact(Polynomial, folder)


def test_an_artifact_is_never_overwritten(folder: Path) -> None:
    save_artifact(Polynomial("first", ARRAYS), folder)
    with pytest.raises(FileExistsError, match="never overwritten"):
        save_artifact(Polynomial("second", ARRAYS), folder)
    assert load_artifact(Polynomial, folder).name == "first"


class Failing(Polynomial):
    def state(self) -> State:
        raise RuntimeError("no state")


@pytest.mark.parametrize(
    ("artifact", "error"),
    [
        (Failing("mine", {}), RuntimeError),
        (Polynomial("mine", {"a": np.array([object()])}), Exception),
        (Polynomial(object(), ARRAYS), TypeError),  # type: ignore[arg-type]
        (Polynomial(float("nan"), ARRAYS), ValueError),  # type: ignore[arg-type]
    ],
    ids=["state fails", "array of objects", "not JSON", "not a number"],
)
def test_a_failure_leaves_nothing_behind(
    folder: Path, artifact: Polynomial, error: type[Exception]
) -> None:
    with pytest.raises(error):
        save_artifact(artifact, folder)
    assert list(folder.parent.iterdir()) == []


def test_saving_leaves_nothing_beside_the_folder(folder: Path) -> None:
    save_artifact(Polynomial("mine", ARRAYS), folder)
    assert list(folder.parent.iterdir()) == [folder]


def test_joined_states_are_taken_apart_by_name() -> None:
    first, second = Polynomial("1", {"x": np.array([1])}), Polynomial("2", {"x": np.array([2])})
    state = join_states({"vae": first, "vae_tuned": second})
    assert set(state) == {"vae/x", "vae_tuned/x"}
    np.testing.assert_array_equal(part_of(state, "vae")["x"], [1])
    np.testing.assert_array_equal(part_of(state, "vae_tuned")["x"], [2])
    assert part_of(state, "other") == {}
