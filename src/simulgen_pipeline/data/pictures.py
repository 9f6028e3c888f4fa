"""Pictures of designs: reading them, and what is fitted to those of the training designs.

Shapes: n designs, C colour channels (1 or 3), S side in pixels, s side of reduced pictures,
K components.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from sklearn.decomposition import PCA

from .artifact import Config, State
from .design_inputs import DesignInputs
from .errors import DataError

logger = logging.getLogger(__name__)

PICTURE_COLUMN = "picture"
# Side of the reduced pictures whose principal components are taken [pixel].
COMPONENT_SIZE = 64
# Principal components: at most this many, and as many as leave out this share of the variance.
MOST_COMPONENTS = 128
VARIANCE_LEFT_OUT = 1e-6
# A picture is unlike those of training when its part outside their components is this many times
# the largest found between two halves of these.
UNLIKE = 2.0
# Or when its levels differ by less than this share of what those of the plainest one do.
PLAIN = 0.25
SMALLEST_RESIDUAL = 1e-3  # of rounded levels
# Pictures of more pixels are refused: a file of a few bytes can claim any number.
MOST_PIXELS = 100_000_000
# Levels are those of 16 bits; a level of 8 bits is so many of them.
MOST_LEVEL, LEVEL_OF_8_BITS = 65535, 257
# What Pillow raises when a file is no picture, or damaged.
BROKEN = OSError, SyntaxError, ValueError, UnidentifiedImageError

Pictures = pd.DataFrame | NDArray[Any] | Sequence[Any]


def has_pictures(designs: pd.DataFrame) -> bool:
    """Whether a design table names pictures; a parameter may have that name, too."""
    column = designs.get(PICTURE_COLUMN)
    return column is not None and not pd.api.types.is_numeric_dtype(column)


def read_picture(path: Path, image_size: int) -> NDArray[np.uint16]:
    """Read a picture of any size and mode as RGB levels (S, S, 3), resized to a square.

    Levels are those of 16 bits, of white 65535. Transparent parts are white.

    Raises:
        DataError: the file is missing, broken, or no picture, its levels have more bits, or it has
            too many pixels.
    """
    try:
        opened = Image.open(path)
    except FileNotFoundError as error:
        raise DataError(
            f"There is no picture {path}. Expected a PNG or JPG file; it was there when the folder "
            f"was read: put it back, or run again from the start."
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(str(path), f"too many pixels ({error})", image_size) from error
    except BROKEN as error:
        raise _unreadable(str(path), error) from error
    with opened as image:
        return _levels(image, str(path), image_size)


def _levels(image: Image.Image, name: str, image_size: int) -> NDArray[np.uint16]:
    """RGB levels (S, S, 3) of an opened picture, the right way up."""
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(name, f"{image.width} x {image.height} pixels", image_size)
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
    except BROKEN as error:
        raise _unreadable(name, error) from error
    try:
        bands = [_resized(band, image_size) for band in _bands(upright)]
    except (OSError, ValueError) as error:  # also a DataError
        raise DataError(f"{name}: {error}") from error
    return np.stack(bands * (3 // len(bands)), axis=-1)


def _too_large(name: str, how: str, image_size: int) -> DataError:
    return DataError(
        f"{name} has {how}; expected at most {MOST_PIXELS:,}. Save it smaller: it is resized to "
        f"{image_size} x {image_size} in any case."
    )


def _unreadable(name: str, error: Exception) -> DataError:
    return DataError(
        f"{name} is not a readable picture: {error}. Expected a PNG or JPG file; save it again."
    )


def largest_side(paths: Iterable[str | Path]) -> int:
    """The largest width or height of readable pictures [pixel]."""
    sides: list[int] = []
    for path in paths:
        with Image.open(path) as image:
            sides += image.size
    return max(sides)


def _bands(image: Image.Image) -> Iterator[Image.Image]:
    """One band of grey levels or three of colours, of mode F with levels of 16 bits, one after the
    other: in float32 a large picture takes much memory.

    The mode decides what a level means, not what a picture shows: a dark picture stays dark beside
    a bright one.

    Raises:
        DataError: levels have more than 16 bits, or no known range.
    """
    if image.mode.startswith(("I", "F")):
        levels = np.asarray(image)
        # Older versions of Pillow read PNGs of 16 bits as "I".
        if image.mode == "F" or ((levels < 0) | (levels > MOST_LEVEL)).any():
            raise DataError(
                f"Levels of mode {image.mode!r}, {levels.min()} to {levels.max()}, are not those "
                f"of a PNG or JPG file: expected whole numbers of 8 or 16 bits. Convert them."
            )
        yield Image.fromarray(levels.astype(np.float32))
        return
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    grey = image.mode in ("1", "L")
    for band in image.convert("L" if grey else "RGB").split():
        yield Image.fromarray(np.asarray(band, dtype=np.float32) * LEVEL_OF_8_BITS)


def _resized(band: Image.Image, image_size: int) -> NDArray[np.uint16]:
    size = (image_size, image_size)
    if band.size != size:
        band = band.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(np.round(np.asarray(band)), dtype=np.uint16)


def _range_seen(levels: NDArray[np.uint16]) -> tuple[float, float]:
    """The levels that networks see as black and as white, given those of the training pictures.

    Usually they are black and white. Where pictures have less than half of all levels, such as
    masks of 0 and 1, theirs fill half of what is seen, and as much room is left for others.
    """
    low, high = float(levels.min()), float(levels.max())
    contrast = high - low
    if not 0 < contrast < MOST_LEVEL / 2:
        return 0.0, float(MOST_LEVEL)
    return low - contrast / 2, high + contrast / 2


def _image_of(levels: NDArray[Any]) -> Image.Image:
    if levels.ndim == 3 and levels.shape[2] == 1:
        levels = levels[..., 0]
    if levels.dtype != np.uint8:
        raise DataError(
            f"A picture given as an array has dtype {levels.dtype}; expected uint8, levels from 0 "
            f"to 255."
        )
    if levels.ndim != 2 and levels.shape[2:] not in ((3,), (4,)):
        raise DataError(
            f"A picture given as an array has shape {list(levels.shape)}; expected [height, "
            f"width], or [height, width, 3] for colours."
        )
    return Image.fromarray(np.ascontiguousarray(levels))


def _names(pictures: NDArray[Any] | Sequence[Any]) -> list[str]:
    """Files' paths, where pictures have some, or their numbers."""
    paths = [p if isinstance(p, str | Path) else getattr(p, "filename", "") for p in pictures]
    return [str(path) or f"picture {number}" for number, path in enumerate(paths)]


def _contrasts(levels: NDArray[np.uint16]) -> NDArray[np.float64]:
    """The difference of the largest and the smallest level of each picture (n, S, S, 3)."""
    flat = levels.reshape(len(levels), -1)
    return np.asarray(flat.max(axis=1).astype(np.float64) - flat.min(axis=1))


class PictureScaler:
    """What networks and kernels see of pictures: levels, and principal components.

    Attributes:
        image_size: side S that pictures are resized to [pixel].
        range_: levels of 16 bits that are seen as 0 and as 255.
        contrast_: the least difference of a training picture's levels.
        num_channels_: 1 if every training picture is grey, else 3.
        mean_: (s * s * C,) mean of the reduced training pictures, levels from 0 to 1.
        components_: (K, s * s * C), orthonormal; PCA of the reduced training pictures.
        scale_: spread of the first component; all are divided by it.
        residual_: largest distance of a training picture to the span of the components.
    """

    def __init__(self, image_size: int) -> None:
        self.image_size = image_size

    def fit(self, designs: Pictures) -> Self:
        """Fit on the pictures of the training designs.

        Raises:
            DataError: a picture is missing or broken, or all pictures are the same.
        """
        read, _ = self._read(designs)
        self.range_, self.contrast_ = _range_seen(read), float(_contrasts(read).min())
        levels = self._seen(read)
        self.num_channels_ = 1 if (read == read[..., :1]).all() else 3
        flat = self._flat(levels)
        if (flat == flat[0]).all():
            raise DataError(
                f"All {len(flat)} training pictures are the same (transparent parts are white). "
                f"Expected pictures that tell the designs apart."
            )
        num_components = min(MOST_COMPONENTS, len(flat) - 1, flat.shape[1])
        pca = PCA(num_components, svd_solver="randomized", random_state=0).fit(flat)
        left_out = 1 - np.cumsum(pca.explained_variance_ratio_)
        num_kept = 1 + int(np.argmax(np.append(left_out[:-1] <= VARIANCE_LEFT_OUT, True)))
        self.mean_ = pca.mean_.astype(np.float32)
        self.components_ = pca.components_[:num_kept].astype(np.float32)
        self.scale_ = float(np.sqrt(pca.explained_variance_[0]))
        self.residual_ = self._residual_of_unseen(flat)
        return self

    def inputs(self, designs: Pictures, warn: bool = True) -> DesignInputs:
        """Levels of pictures, and their principal components in units of the first one's spread.

        Pictures that the components do not describe, or with colours where training had none, are
        warned of (if `warn`).

        Raises:
            DataError: a picture is missing or broken, or an array's shape is not that of pictures.
        """
        read, names = self._read(designs)
        levels = self._seen(read)
        flat = self._flat(levels)
        if warn:
            self._warn_unlike(read, flat, names)
        features = self._coefficients(flat).astype(np.float64) / self.scale_
        pictures = np.moveaxis(levels[..., : self.num_channels_], -1, 1)
        return DesignInputs(features, np.ascontiguousarray(pictures))

    def _residual_of_unseen(self, flat: NDArray[np.float32]) -> float:
        """The largest residual of a half of the pictures outside the components of the other half.

        As many components as there are pictures describe each of these, and no other.
        """
        halves = flat[::2], flat[1::2]
        residuals = []
        for known, unseen in (halves, halves[::-1]):
            num_components = min(len(self.components_), len(known) - 1)
            if num_components < 1:
                continue
            pca = PCA(num_components, svd_solver="randomized", random_state=0).fit(known)
            outside = unseen - pca.inverse_transform(pca.transform(unseen))
            residuals.append(float(np.linalg.norm(outside, axis=1).max()))
        return max(residuals, default=float(self._residuals(flat).max()))

    def _warn_unlike(
        self, read: NDArray[np.uint16], flat: NDArray[np.float32], names: Sequence[str]
    ) -> None:
        coloured = (read != read[..., :1]).any(axis=(1, 2, 3))
        if self.num_channels_ == 1 and coloured.any():
            logger.warning(
                "%d of %d pictures have colours where the training pictures had none; only their "
                "red levels are seen. The first is %s.",
                coloured.sum(),
                len(coloured),
                names[int(np.argmax(coloured))],
            )
        unlike = self._residuals(flat) > UNLIKE * self.residual_ + SMALLEST_RESIDUAL
        black, white = self.range_
        unlike |= ((read < black) | (read > white)).any(axis=(1, 2, 3))
        unlike |= _contrasts(read) < PLAIN * self.contrast_
        if unlike.any():
            logger.warning(
                "%d of %d pictures are unlike the training pictures: their levels are far beyond, "
                "or differ much less, or what the principal components leave out is more than %g "
                "times the most found there. Predictions of them are extrapolations. The first is "
                "%s.",
                unlike.sum(),
                len(unlike),
                UNLIKE,
                names[int(np.argmax(unlike))],
            )

    def _coefficients(self, flat: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray((flat - self.mean_) @ self.components_.T)

    def _residuals(self, flat: NDArray[np.float32]) -> NDArray[np.float64]:
        inside = np.square(self._coefficients(flat)).sum(axis=1, dtype=np.float64)
        whole = np.square(flat - self.mean_).sum(axis=1, dtype=np.float64)
        return np.asarray(np.sqrt(np.maximum(whole - inside, 0.0)))

    def _seen(self, levels: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """What is seen, from 0 to 255, of levels (n, S, S, 3)."""
        black, white = self.range_
        low, scale = np.float32(black), np.float32(255 / (white - black))
        # One after the other: in float32 all take four times the memory that is left of them.
        return np.stack(
            [np.round((one - low) * scale).clip(0, 255).astype(np.uint8) for one in levels]
        )

    def _flat(self, levels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Reduced pictures (n, s * s * C), levels from 0 to 1, of seen ones (n, S, S, 3)."""
        size = min(COMPONENT_SIZE, self.image_size)
        reduced = [
            np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.BOX))
            for one in levels
        ]
        flat = np.stack(reduced)[..., : self.num_channels_].reshape(len(levels), -1)
        return np.asarray(flat, dtype=np.float32) / np.float32(255)

    def _read(self, designs: Pictures) -> tuple[NDArray[np.uint16], list[str]]:
        """RGB levels (n, S, S, 3) of a table with a column `picture`, or files, images, arrays, and
        what to call the pictures."""
        if isinstance(designs, pd.DataFrame):
            if PICTURE_COLUMN not in designs.columns:
                raise DataError(
                    f"This model was trained on pictures. Expected a folder of PNG or JPG files, "
                    f"found a table with the columns {', '.join(map(str, designs))}."
                )
            designs = designs[PICTURE_COLUMN].tolist()
        if isinstance(designs, np.ndarray) and (designs.ndim not in (3, 4) or designs.size == 0):
            raise DataError(
                f"Pictures of shape {list(designs.shape)} do not fit: expected [num_designs, "
                f"height, width] or [num_designs, height, width, 3], levels from 0 to 255."
            )
        if len(designs) == 0:
            raise DataError("There are no pictures. Expected one for each design.")
        names = _names(designs)
        levels = [self._read_one(*one) for one in zip(designs, names, strict=True)]
        return np.stack(levels), names

    def _read_one(self, picture: Any, name: str) -> NDArray[np.uint16]:
        if isinstance(picture, str | Path):
            return read_picture(Path(picture), self.image_size)
        if isinstance(picture, np.ndarray):
            picture = _image_of(picture)
        if not isinstance(picture, Image.Image):
            raise DataError(
                f"Expected pictures as files, arrays of levels or Pillow images, got a "
                f"{type(picture).__name__}. This model was trained on pictures."
            )
        return _levels(picture, name, self.image_size)

    def config(self) -> Config:
        return {
            "image_size": self.image_size,
            "range": list(self.range_),
            "contrast": self.contrast_,
            "num_channels": self.num_channels_,
            "scale": self.scale_,
            "residual": self.residual_,
        }

    def state(self) -> State:
        return {"mean": self.mean_, "components": self.components_}

    @classmethod
    def from_state(cls, config: Config, state: State) -> Self:
        scaler = cls(config["image_size"])
        scaler.range_, scaler.contrast_ = tuple(config["range"]), config["contrast"]
        scaler.num_channels_ = config["num_channels"]
        scaler.scale_, scaler.residual_ = config["scale"], config["residual"]
        scaler.mean_, scaler.components_ = state["mean"], state["components"]
        return scaler
