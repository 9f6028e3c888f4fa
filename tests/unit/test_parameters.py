"""Parameters are refused by name, at any level, and documented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from simulgen_pipeline.parameters import Parameters, ParametersError, check_parameters

DOCUMENTATION = Path(__file__).parents[2] / "docs/parameters.md"
COMPLETE: dict[str, Any] = {
    "data": {},
    "vae": {},
    "conditioner": {},
    "end_to_end": {},
    "refit": {},
    "baselines": {},
    "prediction": {},
    "training": {},
    "studies": {},
    "plots": "save",
    "demo_data": {},
}


def leaves(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted names of all parameters."""
    names = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            names += leaves(annotation, f"{prefix}{name}.")
        else:
            names.append(f"{prefix}{name}")
    return names


def test_complete_parameters_are_accepted() -> None:
    assert check_parameters(COMPLETE).vae.latent_size == 32
    assert check_parameters(COMPLETE | {"plots": False}).plots == "off"  # how YAML reads it


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"simulation": "x.h5"}, "- simulation: there is no such parameter"),
        ({"vea": {"preset": 3}}, "- vea: there is no such parameter"),
        ({"vae": {"filter": [3]}}, "- vae.filter: there is no such parameter"),
        ({"data": {"split": {"sed": 1}}}, "- data.split.sed: there is no such parameter"),
        ({"vae": {"preset": 7}}, "got 7"),
        ({"vae": {"kl_annealing": {"start": 0.9, "end": 0.1}}}, "got 0.9 and 0.1"),
        ({"data": {"split": {"validation": 0.6, "test": 0.6}}}, "got 0.6 + 0.6"),
        ({"plots": "never"}, "- plots:"),
        ({"conditioner": {"kind": "vit"}, "data": {"image_size": 100}}, "patches, got 16 and 100"),
        ({"conditioner": {"kind": "vit"}, "data": {"image_size": 16}}, "patches, got 16 and 16"),
        ({"studies": {"num_fold": 3}}, "- studies.num_fold: there is no such parameter"),
        ({"studies": {"fractions": [1.0, 0.5]}}, "must grow, got [1.0, 0.5]"),
        ({"training": {"num_nodes": 2}}, "num_nodes=2 needs a rendezvous=HOST:PORT"),
    ],
)
def test_what_is_wrong_is_named_with_what_was_expected(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParametersError) as error:
        check_parameters(COMPLETE | changed)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"training": {"num_processes": "x"}},
            "- training.num_processes: Input should be 'auto'; or: Input should be a valid integer,"
            " unable to parse string as an integer; got 'x'",
        ),
        (
            {"conditioner": {"filters": [8, 0]}},
            "- conditioner.filters: Input should be greater than 0; got 0",
        ),
        (
            {"vae": {"kl_annealing": {"start": 0.9, "end": 0.1}}},
            "- vae.kl_annealing: start must not be after end, got 0.9 and 0.1",
        ),
    ],
    ids=str,
)
def test_a_problem_is_told_in_one_line_under_the_parameters_name(
    changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(ParametersError) as error:
        check_parameters(COMPLETE | changed)
    assert str(error.value) == f"Parameters refused:\n{told}"


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ParametersError) as error:
        check_parameters(COMPLETE | {"a": 1, "vae": {"b": 2, "latent_size": 0}})
    assert str(error.value).count("\n- ") == 3


def test_every_parameter_is_documented() -> None:
    text = DOCUMENTATION.read_text(encoding="utf-8")
    missing = [
        name for name in leaves(Parameters) if f"`{name}`" not in text and not in_short(name, text)
    ]
    assert missing == []


def documented_examples() -> dict[str, dict[str, Any]]:
    """The parameters of the run files in the documentation, by the file's name."""
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL)
    return {
        block.split()[1].rstrip(","): yaml.safe_load(block)["run"]["params"] for block in blocks
    }


def test_documented_run_files_are_accepted() -> None:
    examples = documented_examples()
    assert set(examples) == {"run.yml", "original.yml"}
    for name, given in examples.items():
        checked = check_parameters(COMPLETE | given).model_dump(mode="json")
        for block, values in given.items():
            assert contains(checked[block], values), (name, block)


def test_the_originals_run_file_is_all_of_its_values() -> None:
    checked = check_parameters(COMPLETE | documented_examples()["original.yml"])
    assert (checked.data.field_scaling, checked.refit.enabled) == ("min_max", False)
    assert (checked.vae.preset, checked.conditioner.preset) == (1, 1)
    assert checked.vae.training.num_epochs == 10002  # the preset's, beside what is given
    assert checked.conditioner.training.num_epochs == 10000
    assert checked.end_to_end.loss == "huber"


def contains(whole: Any, part: Any) -> bool:
    """Whether all values of a nested dictionary are in another."""
    if not isinstance(part, dict):
        return bool(whole == part)
    return all(contains(whole[name], value) for name, value in part.items())


def in_short(name: str, text: str) -> bool:
    """Whether a parameter stands in a row of its group, such as `.test` or `batch_size`."""
    group, _, last = name.rpartition(".")
    return bool(group) and (f"`.{last}`" in text or f"`{last}`" in text)
