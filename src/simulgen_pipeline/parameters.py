"""All parameters of a run, by name and type; what is not here is refused in every pipeline."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from .data.config import DataConfig
from .models.baselines import BaselineConfig
from .pipelines.demo_data.config import DemoDataConfig
from .pipelines.prediction.config import PredictionConfig
from .pipelines.studies.config import StudiesConfig
from .training.config import (
    ConditionerConfig,
    EndToEndConfig,
    EngineConfig,
    RefitConfig,
    VaeConfig,
    divides_into_patches,
)


class ParametersError(ValueError):
    """A parameter is unknown or impossible; the message names it, what is expected, what came."""


def _off_is_a_word(value: Any) -> Any:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


class Parameters(BaseModel):
    """The top level of the parameters: three paths, and one block per concern."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    simulations: str | None = Field(None, description="path of the simulations")
    designs: str | None = Field(None, description="path of their designs")
    new_designs: str | None = Field(None, description="path of the designs to predict")
    data: DataConfig
    vae: VaeConfig
    conditioner: ConditionerConfig
    end_to_end: EndToEndConfig
    refit: RefitConfig
    baselines: BaselineConfig
    prediction: PredictionConfig
    training: EngineConfig
    studies: StudiesConfig
    plots: Annotated[Literal["show", "save", "off"], BeforeValidator(_off_is_a_word)]
    demo_data: DemoDataConfig

    @model_validator(mode="after")
    def _patches_fit(self) -> Parameters:
        size, patch = self.data.image_size, self.conditioner.patch_size
        if self.conditioner.kind == "vit" and not divides_into_patches(size, patch):
            raise ValueError(
                f"conditioner.patch_size must divide data.image_size into at least 2 x 2 patches, "
                f"got {patch} and {size}"
            )
        return self


def check_parameters(parameters: dict[str, Any]) -> Parameters:
    """Validate all parameters of a run, whatever pipeline it is.

    Raises:
        ParametersError: one line per parameter that is unknown or impossible.
    """
    try:
        return Parameters.model_validate(parameters)
    except ValidationError as error:
        problems: dict[str, list[ErrorDetails]] = {}
        for problem in error.errors():
            problems.setdefault(_name(problem["loc"]), []).append(problem)
        lines = [_explain(name, alternatives) for name, alternatives in problems.items()]
        raise ParametersError("Parameters refused:\n" + "\n".join(lines)) from None


def _name(location: tuple[int | str, ...]) -> str:
    """A parameter's name, without what pydantic adds to it: alternatives of its type, items."""
    names: list[str] = []
    block: type[BaseModel] | None = Parameters
    for part in map(str, location):
        if block is None:
            break
        names.append(part)
        block = _block(block, part)
    return ".".join(names)


def _block(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model of a block of parameters; None of a single parameter, and of an unknown one."""
    field = model.model_fields.get(name)
    annotation = None if field is None else field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _explain(name: str, alternatives: list[ErrorDetails]) -> str:
    problem = alternatives[0]
    message = "; or: ".join(each["msg"].removeprefix("Value error, ") for each in alternatives)
    if problem["type"] == "extra_forbidden":
        known = ", ".join(sorted(_known_beside(problem["loc"])))
        message = f"there is no such parameter, expected one of {known}"
    if problem["type"] != "value_error":  # a rule of ours, which says what it got
        message += f"; got {problem['input']!r}"
    return f"- {name}: {message}" if name else f"- {message}"  # a rule between blocks has no name


def _known_beside(location: tuple[int | str, ...]) -> list[str]:
    """The names that are allowed where an unknown one was given."""
    model: type[BaseModel] = Parameters
    for part in location[:-1]:
        block = _block(model, str(part))
        assert block is not None
        model = block
    return list(model.model_fields)
