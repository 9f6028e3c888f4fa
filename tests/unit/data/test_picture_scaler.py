"""What is seen of pictures: levels, principal components, warnings of pictures that are unlike."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from simulgen_pipeline.data.errors import DataError
from simulgen_pipeline.data.picture_scaler import PictureScaler

from .blobs import SIZE, blob


@pytest.fixture
def blobs() -> np.ndarray:
    places = np.random.default_rng(0).uniform(0.2, 0.8, (30, 2))
    return np.stack([blob(*place) for place in places])


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_dark_picture_of_16_bits_is_as_dark_as_of_8(mode: str) -> None:
    """It has no level above 3 of 255, where its neighbour has 255."""
    bright = blob(0.5, 0.5)
    dark = bright // 80
    scaler = PictureScaler(SIZE).fit(np.stack([bright, dark]))
    for pixels in (bright, dark):
        image = Image.fromarray(pixels.astype(np.int32) * 257).convert(mode)
        assert image.mode == mode
        for left, right in zip(
            vars(scaler.inputs([image])).values(),
            vars(scaler.inputs(pixels[None])).values(),
            strict=True,
        ):
            np.testing.assert_array_equal(left, right)


def test_grey_pictures_have_one_channel(blobs: np.ndarray) -> None:
    inputs = PictureScaler(SIZE).fit(blobs).inputs(blobs[:4])
    assert inputs.pictures is not None
    np.testing.assert_array_equal(inputs.pictures, blobs[:4, None])


def test_colours_keep_three_channels(blobs: np.ndarray) -> None:
    colours = np.stack([blobs, blobs // 2, 255 - blobs], axis=-1)
    inputs = PictureScaler(SIZE).fit(colours).inputs(colours[:4])
    assert inputs.pictures is not None
    np.testing.assert_array_equal(inputs.pictures, np.moveaxis(colours[:4], -1, 1))


def test_features_describe_the_training_pictures(blobs: np.ndarray) -> None:
    scaler = PictureScaler(SIZE).fit(blobs)
    features = scaler.inputs(blobs).features
    np.testing.assert_allclose(features.std(axis=0, ddof=1)[0], 1.0, rtol=1e-4)
    np.testing.assert_allclose(features.mean(axis=0), 0.0, atol=1e-4)
    rebuilt = features * scaler.scale_ @ scaler.components_ + scaler.mean_
    deviation = np.square(rebuilt - blobs.reshape(30, -1) / 255).sum()
    total = np.square(blobs.reshape(30, -1) / 255 - scaler.mean_).sum()
    assert deviation < 1.1e-3 * total


def test_pictures_given_as_files_arrays_and_images_are_the_same(
    blobs: np.ndarray, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, picture in zip(paths, blobs, strict=False):
        Image.fromarray(picture).save(path)
    scaler = PictureScaler(SIZE).fit(blobs)
    expected = scaler.inputs(blobs[:3]).features
    images = [Image.open(path) for path in paths]
    for given in (paths, images, pd.DataFrame({"picture": map(str, paths)})):
        np.testing.assert_array_equal(scaler.inputs(given).features, expected)


def test_an_image_is_turned_as_its_file_is(blobs: np.ndarray, tmp_path: Path) -> None:
    image = Image.fromarray(blobs[0])
    exif = image.getexif()
    exif[0x0112] = 6  # taken on its side
    image.save(tmp_path / "a.png", exif=exif)
    scaler = PictureScaler(SIZE).fit(blobs)
    expected = scaler.inputs([tmp_path / "a.png"]).features
    assert not np.allclose(expected, scaler.inputs(blobs[:1]).features)
    with Image.open(tmp_path / "a.png") as opened:
        np.testing.assert_array_equal(scaler.inputs([opened]).features, expected)


def test_a_broken_image_is_named(blobs: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(blobs[0]).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    scaler = PictureScaler(SIZE).fit(blobs)
    with (
        Image.open(tmp_path / "cut.png") as opened,
        pytest.raises(DataError, match=r"cut\.png is not a readable picture"),
    ):
        scaler.inputs([opened])


def test_an_axis_of_one_colour_is_no_matter(blobs: np.ndarray) -> None:
    scaler = PictureScaler(SIZE).fit(blobs)
    expected = scaler.inputs(blobs[:2]).features
    np.testing.assert_array_equal(scaler.inputs(blobs[:2, :, :, None]).features, expected)


def test_large_pictures_are_reduced_for_their_components() -> None:
    places = np.random.default_rng(0).uniform(0.2, 0.8, (8, 2))
    large = np.stack([blob(*place, size=256) for place in places])
    scaler = PictureScaler(256).fit(large)
    assert scaler.components_.shape[1] == 64 * 64
    inputs = scaler.inputs(large)
    assert inputs.pictures is not None
    assert inputs.pictures.shape == (8, 1, 256, 256)


def test_unlike_picture_is_warned_of(blobs: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    scaler = PictureScaler(SIZE).fit(blobs)
    scaler.inputs(blobs)
    assert not caplog.messages
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (1, SIZE, SIZE // 2))
    scaler.inputs(stripes)
    assert "1 of 1 pictures are unlike the training pictures" in caplog.messages[0]
    assert "The first is picture 0." in caplog.messages[0]
    scaler.inputs(np.stack([blobs[0], blobs[0] // 2, blobs[0]], axis=-1)[None], warn=False)
    assert len(caplog.messages) == 1


def test_colours_after_grey_training_are_warned_of(
    blobs: np.ndarray, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scaler = PictureScaler(SIZE).fit(blobs)
    coloured = np.stack([blobs[0], blobs[0] // 2, blobs[0]], axis=-1)
    Image.fromarray(coloured).save(tmp_path / "red.png")
    scaler.inputs([tmp_path / "red.png"])
    assert "only their red levels are seen" in caplog.messages[0]
    assert f"The first is {tmp_path / 'red.png'}." in caplog.messages[0]


@pytest.mark.parametrize("levels", [(0, 1), (0, 255), (100, 110)])
def test_masks_are_seen_alike_whatever_their_levels(
    blobs: np.ndarray, caplog: pytest.LogCaptureFixture, levels: tuple[int, int]
) -> None:
    inside = blobs > 100
    low, high = np.array(levels, np.uint8)
    expected = PictureScaler(SIZE).fit(255 * inside.astype(np.uint8))
    inputs = (
        PictureScaler(SIZE).fit(np.where(inside, high, low)).inputs(np.where(inside, high, low))
    )
    assert inputs.pictures is not None
    assert np.ptp(inputs.pictures.astype(int)) >= 127
    np.testing.assert_array_equal(inputs.pictures[:, 0] > 127, inside)
    features = expected.inputs(255 * inside.astype(np.uint8)).features
    np.testing.assert_allclose(np.abs(inputs.features), np.abs(features), atol=1e-3)
    assert not caplog.messages


def test_dark_levels_of_16_bits_tell_pictures_apart(blobs: np.ndarray, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(len(blobs))]
    for path, picture in zip(paths, blobs, strict=True):
        Image.fromarray(picture.astype(np.uint16)).save(path)  # at most 255 of 65535
    seen = PictureScaler(SIZE).fit(paths).inputs(paths).pictures
    assert seen is not None
    np.testing.assert_allclose(seen[:, 0], 64 + blobs / 2, atol=1)


def test_levels_far_beyond_those_of_training_are_warned_of(
    blobs: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    scaler = PictureScaler(SIZE).fit(blobs // 4)
    scaler.inputs(blobs // 3)
    assert not caplog.messages
    scaler.inputs(blobs[:3])
    assert "3 of 3 pictures are unlike the training pictures" in caplog.messages[0]


def test_levels_that_differ_much_less_than_those_of_training_are_warned_of(
    blobs: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    masks = (blobs > 100).astype(np.uint8)
    scaler = PictureScaler(SIZE).fit(255 * masks)
    scaler.inputs(128 * masks)
    assert not caplog.messages
    scaler.inputs(np.concatenate([255 * masks[:2], masks[:3]]))
    assert "3 of 5 pictures are unlike the training pictures" in caplog.messages[0]
    assert "The first is picture 2." in caplog.messages[0]


def test_same_pictures_are_an_error(blobs: np.ndarray) -> None:
    with pytest.raises(DataError, match="All 5 training pictures are the same"):
        PictureScaler(SIZE).fit(np.repeat(blobs[:1], 5, axis=0))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((4, 3)), r"shape \[4, 3\]"),
        (np.zeros((1, 8, 8)), "dtype float64"),
        (np.zeros((1, 8, 8, 2), dtype=np.uint8), r"shape \[8, 8, 2\]"),
        ([1.0, 2.0], "got a float"),
        ([], "no pictures"),
        (pd.DataFrame({"power": [1.0]}), "trained on pictures"),
    ],
)
def test_other_inputs_are_refused(blobs: np.ndarray, given: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        PictureScaler(SIZE).fit(blobs).inputs(given)  # type: ignore[arg-type]


def test_saved_scaler_gives_the_same_inputs(blobs: np.ndarray) -> None:
    scaler = PictureScaler(SIZE).fit(blobs)
    again = PictureScaler.from_state(scaler.config(), scaler.state())
    for mine, theirs in zip(
        vars(scaler.inputs(blobs)).values(), vars(again.inputs(blobs)).values(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_rows_can_be_taken(blobs: np.ndarray) -> None:
    inputs = PictureScaler(SIZE).fit(blobs).inputs(blobs)
    taken = inputs.take([3, 1])
    assert len(taken) == 2
    assert taken.pictures is not None
    np.testing.assert_array_equal(taken.features, inputs.features[[3, 1]])
    np.testing.assert_array_equal(taken.pictures[:, 0], blobs[[3, 1]])
