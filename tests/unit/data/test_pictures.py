"""Levels of pictures: any size and mode, clear errors."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.pictures import read_picture

from .blobs import SIZE, blob

WHITE = 65535


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I"])
def test_every_mode_gives_the_same_picture(tmp_path: Path, mode: str) -> None:
    pixels = np.zeros((SIZE, SIZE), dtype=np.uint8)
    pixels[4:20, 8:16] = 255
    image = Image.fromarray(pixels)
    suffix = "tiff" if mode in ("CMYK", "I") else "png"
    if mode in ("I;16", "I"):
        image = Image.fromarray(pixels.astype(np.uint16) * 257)
        image = image if mode == "I;16" else image.convert("I")
    else:
        image = image.convert(mode)
    path = tmp_path / f"a.{suffix}"
    image.save(path)
    levels = read_picture(path, SIZE)
    assert levels.shape == (SIZE, SIZE, 3)
    assert levels.dtype == np.uint16
    np.testing.assert_array_equal(levels[..., 0], pixels * np.uint16(257))


@pytest.mark.parametrize("factor", [256, 257])
def test_file_of_16_bits_gives_the_levels_of_one_of_8(tmp_path: Path, factor: int) -> None:
    """Levels of 8 bits are made ones of 16 in either way."""
    for name, pixels in (("bright", blob(0.5, 0.5)), ("dark", blob(0.5, 0.5) // 80)):
        Image.fromarray(pixels).save(tmp_path / f"{name}_8.png")
        Image.fromarray(pixels.astype(np.uint16) * factor).save(tmp_path / f"{name}_16.png")
        shallow, deep = (read_picture(tmp_path / f"{name}_{n}.png", 16) for n in (8, 16))
        # Both are rounded to whole levels of 16 bits after they are resized.
        np.testing.assert_allclose(deep, shallow * (factor / 257), atol=1)


@pytest.mark.parametrize(
    "levels", [np.full((4, 4), 0.5, np.float32), np.full((4, 4), 70000), np.full((4, 4), -1)]
)
def test_levels_of_more_than_16_bits_are_refused(tmp_path: Path, levels: np.ndarray) -> None:
    whole = levels.dtype.kind == "i"
    Image.fromarray(levels.astype(np.int32) if whole else levels).save(tmp_path / "deep.tiff")
    with pytest.raises(DataError, match=r"^\S*deep\.tiff: Levels.* Convert them\.$"):
        read_picture(tmp_path / "deep.tiff", SIZE)


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    image.save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png", 8) == WHITE).all()


def test_orientation_of_a_photograph_is_followed(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), dtype=np.uint8)
    pixels[:4] = 255  # bright half on top
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "a.png", exif=exif)
    levels = read_picture(tmp_path / "a.png", 8)
    assert (levels[4:] == WHITE).all()
    assert (levels[:4] == 0).all()


def test_other_sizes_are_resized_to_the_square(tmp_path: Path) -> None:
    image = Image.new("RGB", (100, 40), "black")
    image.paste("white", (0, 0, 50, 40))
    image.save(tmp_path / "a.png")
    levels = read_picture(tmp_path / "a.png", 16)
    assert levels.shape == (16, 16, 3)
    assert (levels[:, :7] == WHITE).all()
    assert (levels[:, 9:] == 0).all()


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n0000"])
def test_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.png is not a readable picture"):
        read_picture(path, SIZE)


def test_truncated_file_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.png is not a readable picture"):
        read_picture(tmp_path / "cut.png", SIZE)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no picture .*gone\.png"):
        read_picture(tmp_path / "gone.png", SIZE)


def test_picture_of_too_many_pixels_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulgen_pipeline.data.pictures.MOST_PIXELS", 100)
    Image.new("L", (20, 20)).save(tmp_path / "big.png")
    with pytest.raises(DataError, match=r"^\S*big\.png has 20 x 20 pixels"):
        read_picture(tmp_path / "big.png", SIZE)


def test_picture_that_pillow_refuses_for_its_size_is_too_large_not_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("L", (20, 20)).save(tmp_path / "big.png")
    with pytest.raises(DataError, match=r"^\S*big\.png has too many pixels .* Save it smaller"):
        read_picture(tmp_path / "big.png", SIZE)


def test_levels_of_16_bits_are_kept_when_pictures_are_resized(tmp_path: Path) -> None:
    pixels = np.full((SIZE, SIZE), 1000, dtype=np.uint16)
    pixels[:, ::2] = 1001
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    assert set(read_picture(tmp_path / "deep.png", SIZE).ravel()) == {1000, 1001}
    half = read_picture(tmp_path / "deep.png", SIZE // 2)
    assert set(half.ravel()) <= {1000, 1001}
