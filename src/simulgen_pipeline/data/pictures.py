"""Pictures of designs: the levels of files, images and arrays.

Shapes: n designs, S side in pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import DataError

PICTURE_COLUMN = "picture"
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


def read_pictures(designs: Pictures, image_size: int) -> tuple[NDArray[np.uint16], list[str]]:
    """RGB levels (n, S, S, 3) as `read_picture` has them, and what to call the pictures.

    Args:
        designs: a table with a column `picture`, files, Pillow images, or arrays of levels.
        image_size: S.

    Raises:
        DataError: a picture is missing or broken, an array's shape or type is not that of pictures,
            or there are none.
    """
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
    levels = [_read_one(*one, image_size) for one in zip(designs, names, strict=True)]
    return np.stack(levels), names


def _read_one(picture: Any, name: str, image_size: int) -> NDArray[np.uint16]:
    if isinstance(picture, str | Path):
        return read_picture(Path(picture), image_size)
    if isinstance(picture, np.ndarray):
        picture = _image_of(picture)
    if not isinstance(picture, Image.Image):
        raise DataError(
            f"Expected pictures as files, arrays of levels or Pillow images, got a "
            f"{type(picture).__name__}. This model was trained on pictures."
        )
    return _levels(picture, name, image_size)


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
