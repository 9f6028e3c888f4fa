"""Changes of pictures so small that they still show the same design.

Shapes: B batch, C picture channels, S side of a picture [pixels], K noise columns.

The field that belongs to a picture stays as it is, so nothing in the picture may move by more than
the picture resolves. So there are no flips and quarter turns: a flipped picture shows another
design, and the field that is its target would have to be flipped with it, which takes a mesh and
boundary conditions that have the same symmetry.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional as F

# K: whether to shift, rotate, scale, brighten; two of the shift, and one of each of the others.
NUM_NOISE_COLUMNS = 9


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Movement(_Frozen):
    """A kind of augmentation that moves pixels."""

    probability: float = Field(0.0, ge=0, le=1, description="that a picture is moved so")
    size: float = Field(
        0.5, ge=0, description="how far the pixel that moves most may move [pixels]"
    )


class BrightnessNoise(_Frozen):
    """A normally distributed number of levels, added to a whole picture."""

    probability: float = Field(0.0, ge=0, le=1, description="that a picture gets it")
    sigma: float = Field(2.0, ge=0, description="standard deviation [levels of 255]")


class PictureAugmentation(_Frozen):
    """Augmentation of pictures; every kind is off unless it has a probability."""

    max_displacement: float = Field(
        0.5, gt=0, description="no pixel moves farther, all kinds together [pixels]"
    )
    shift: Movement = Movement()
    rotation: Movement = Field(Movement(), description="about the centre")
    scale: Movement = Field(Movement(), description="about the centre")
    brightness: BrightnessNoise = BrightnessNoise()

    @model_validator(mode="after")
    def _bounded(self) -> PictureAugmentation:
        for name in ("shift", "rotation", "scale"):
            kind: Movement = getattr(self, name)
            if kind.probability > 0 and kind.size > self.max_displacement:
                raise ValueError(
                    f"{name}.size must be at most max_displacement, got {kind.size} and "
                    f"{self.max_displacement} pixels"
                )
        return self


def augment_pictures(
    pictures: UInt8[Tensor, "B C S S"] | Float[Tensor, "B C S S"],
    noise: Float[Tensor, "B K"],
    config: PictureAugmentation,
) -> Float[Tensor, "B C S S"]:
    """Shift, rotate, scale and brighten each picture at random, within the bounds of `config`.

    Shift, rotation and scale are uniform within their sizes. Where they would together move a pixel
    farther than `max_displacement`, all three are shortened alike. Beyond its border a picture goes
    on as its border is.

    Args:
        pictures: levels from 0 to 255.
        noise: standard normal numbers; the result is a function of them, picture by picture.
        config: which kinds, how often and how much.

    Returns:
        Levels from 0 to 255, no longer whole; a picture that draws no kind is as it was.
    """
    levels = pictures.float()
    kinds = (config.shift, config.rotation, config.scale, config.brightness)
    probabilities = [kind.probability for kind in kinds]
    if not any(probabilities):
        return levels
    uniform = torch.special.ndtr(noise)
    on = uniform[:, :4] < uniform.new_tensor(probabilities)
    diagonal = 0.5**0.5 * config.shift.size  # so that a shift both ways is no longer than its size
    sizes = uniform.new_tensor([diagonal, diagonal, config.rotation.size, config.scale.size])
    moves = (2 * uniform[:, 4:8] - 1) * sizes * on[:, [0, 0, 1, 2]]
    # Rotation and scale move the corners most, at right angles to each other.
    farthest = moves[:, :2].norm(dim=1) + moves[:, 2:].norm(dim=1)
    moves = moves * (config.max_displacement / farthest.clamp_min(config.max_displacement))[:, None]
    moved = torch.where((farthest > 0)[:, None, None, None], _move(levels, moves), levels)
    brightness = config.brightness.sigma * noise[:, 8] * on[:, 3]
    brightened: Tensor = moved + brightness[:, None, None, None]
    return brightened.clamp(0, 255)


def _move(levels: Float[Tensor, "B C S S"], moves: Float[Tensor, "B 4"]) -> Tensor:
    """Move pictures by shift x, shift y, and what rotation and scale do to a corner [pixels]."""
    size = levels.shape[-1]
    corner = 0.5**0.5 * (size - 1)  # its distance from the centre
    x, y = (moves[:, :2] * 2 / size).unbind(dim=1)  # a picture is 2 wide to `affine_grid`
    turn, stretch = (moves[:, 2:] / corner).unbind(dim=1)
    rows = (torch.stack([1 + stretch, -turn, x], 1), torch.stack([turn, 1 + stretch, y], 1))
    with torch.autocast(levels.device.type, enabled=False):  # positions need float32
        grid = F.affine_grid(torch.stack(rows, 1), list(levels.shape), align_corners=False)
        return F.grid_sample(levels, grid, padding_mode="border", align_corners=False)
