"""Pipelines of pictures, run as a user runs them, in a copy of the project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from simulgen_pipeline import Surrogate
from simulgen_pipeline.data.artifact import load_artifact
from simulgen_pipeline.models.trained import TrainedConditioner

from .project import ERRORS, Project

OPTIONS = (
    "designs=data/01_raw/images,data.image_size=64,vae.training.num_epochs=2,"
    "conditioner.training.num_epochs=2"
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The demo's study by its pictures, trained by `full_vae` with what `auto` takes, a cnn."""
    project = Project(tmp_path_factory.mktemp("project"))
    project.kedro("run", "--pipeline=demo_data", "--env=smoke")
    project.kedro("run", "--pipelines=full_vae", "--env=smoke", f"--params={OPTIONS}", alone=True)
    return project


def test_pictures_are_designs_too(pictures: Project) -> None:
    metrics = pictures.json("data/08_reporting/metrics.json")
    assert metrics["prediction"]["test"].keys() == ERRORS
    images = pictures.folder / "data/01_raw/new_images"
    pictures.kedro("run", "--pipelines=predict", f"--params=new_designs={images}")
    expected = Surrogate.load(pictures.newest("data/06_models/surrogate")).predict(images)
    with h5py.File(pictures.newest("data/07_model_output/predictions.h5")) as file:
        rounding = 1e-6 * np.abs(expected.fields).max()
        np.testing.assert_allclose(file["fields"][:], expected.fields, rtol=1e-5, atol=rounding)
        assert file["design_ids"].asstr()[0] == "new_0000"


@pytest.mark.parametrize(
    ("mode", "values"),
    [
        (
            "end_to_end",
            "conditioner.kind=mlp,end_to_end.loss=mae,end_to_end.tune_decoder=false",
        ),
        # The original's sizes, with both kinds of attention and dropout.
        ("end_to_end", "conditioner.kind=cnn,conditioner.preset=1"),
        ("end_to_end", "conditioner.kind=vit,end_to_end.loss=smooth_l1"),
        ("conditioner_only", "conditioner.kind=vit"),
    ],
)
def test_every_conditioner_of_pictures_trains_on_the_vae(
    pictures: Project, mode: str, values: str
) -> None:
    before = pictures.versions("data/06_models/surrogate")
    pictures.kedro(
        "run",
        f"--pipelines={mode}",
        "--env=smoke",
        f"--params={OPTIONS},{values},plots=off",
        alone=True,
    )
    assert len(pictures.versions("data/06_models/vae")) == 1
    assert len(pictures.versions("data/06_models/surrogate")) == len(before) + 1
    told = load_artifact(TrainedConditioner, pictures.newest("data/06_models/refitted_conditioner"))
    assert told.network.architecture.kind in values
    assert (told.decoder is None) == ("tune_decoder=false" in values)
    images = pictures.folder / "data/01_raw/new_images"
    predicted = Surrogate.load(pictures.newest("data/06_models/surrogate")).predict(images)
    assert np.isfinite(predicted.fields).all()


@pytest.fixture
def static(tmp_path: Path) -> Project:
    """A project with static fields: pictures of 16 x 16, and what diffuses of them."""
    rng = np.random.default_rng(0)
    levels = np.kron(rng.random((40, 2, 2)), np.ones((8, 8)))
    project = Project(tmp_path)
    pictures = tmp_path / "data/01_raw/pictures"
    pictures.mkdir(parents=True)
    with h5py.File(tmp_path / "data/01_raw/static.h5", "w") as file:
        fields = gaussian_filter(levels, (0, 2, 2)).reshape(40, 1, 256)
        file["fields"] = fields.astype(np.float32)
    for i, picture in enumerate(levels):
        Image.fromarray((255 * picture).astype(np.uint8)).save(pictures / f"{i}.png")
    return project


@pytest.mark.parametrize("reduction", ["pod", "none"])
def test_static_fields_of_pictures_train_with_the_encoder_s_posterior(
    static: Project, reduction: str
) -> None:
    options = (
        "simulations=data/01_raw/static.h5,designs=data/01_raw/pictures,data.image_size=16,"
        f"vae.reduction={reduction},plots=off,"
        "vae.training.num_epochs=80,conditioner.training.num_epochs=150"
    )

    def run(pipeline: str) -> Any:
        """Run it; its metrics."""
        static.kedro(
            "run", f"--pipelines={pipeline}", "--env=smoke", f"--params={options}", alone=True
        )
        return static.json("data/08_reporting/metrics.json")

    metrics = run("full_vae")
    surrogate = Surrogate.load(static.newest("data/06_models/surrogate"))
    assert surrogate.vae.design_posterior is None
    with h5py.File(static.folder / "data/01_raw/static.h5") as file:
        fields = file["fields"][:]
    norms, away = (np.linalg.norm(f, axis=(1, 2)) for f in (fields, fields - fields.mean(axis=0)))
    for part in ("reconstruction", "prediction"):
        assert metrics[part]["test"]["relative_l2_mean"] < 0.5 * (away / norms).mean()
    # Members that have nothing to start from, through the decoder.
    before = metrics["prediction"]["validation"]["relative_l2_mean"]
    after = run("end_to_end")["prediction"]["validation"]["relative_l2_mean"]
    assert after < 1.1 * before
