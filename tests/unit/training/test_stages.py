"""What each stage of a conditioner's training may change, and by which loss."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.conditioner import Conditioner, ConditionerArchitecture
from simulgen_pipeline.models.latents import VaeArchitecture
from simulgen_pipeline.models.layers import ResidualMlp
from simulgen_pipeline.models.vae import HierarchicalVae
from simulgen_pipeline.training.config import (
    ConditionerConfig,
    EndToEndConfig,
    EngineConfig,
    RefitConfig,
)
from simulgen_pipeline.training.job import Arrays, ConditionerJob, RefitJob
from simulgen_pipeline.training.picture_augmentation import PictureAugmentation
from simulgen_pipeline.training.stages import build_stages

VAE = VaeArchitecture(
    num_time_steps=8,
    num_channels=3,
    num_blocks=1,
    filters=(8, 6),
    latent_size=4,
    hierarchical_latent_size=2,
    spectral_normalisation=False,
)
CONDITIONER = ConditionerArchitecture(
    kind="mlp", num_features=2, base_filters=(5,), filters=(6,), dropout=0.0, num_members=2
)
COMMON: dict[str, Any] = {
    "fields": Path("channels.h5"),
    "memory": "auto",
    "architecture": VAE,
    "engine": EngineConfig(),
    "log_folder": Path("logs"),
    "conditioner": CONDITIONER,
}


@pytest.fixture
def arrays() -> Arrays:
    weights = {
        "vae": HierarchicalVae(VAE),
        "design_posterior": ResidualMlp(2, 2 * VAE.num_latents, (5,)),
        "conditioner": Conditioner(CONDITIONER, VAE),
    }
    return {
        "main": torch.randn(6, 4),
        "hierarchical": torch.randn(6, 1, 2),
        "lift": torch.randn(3, 9),
    } | {f"{p}.{name}": v for p, net in weights.items() for name, v in net.state_dict().items()}


def learns(network: Any) -> bool:
    """Whether all of its weights do, or none."""
    flags = {parameter.requires_grad for parameter in network.parameters()}
    assert len(flags) == 1
    return flags.pop()


def test_the_base_of_the_members_learns_end_to_end_only(arrays: Arrays) -> None:
    job = ConditionerJob(
        **COMMON,
        split=Split(train=(0, 1, 2, 3), validation=(4,), test=(5,)),
        config=ConditionerConfig(latent_weight=0.1),
        end_to_end=EndToEndConfig(),
    )
    _, (alone, together) = build_stages(job, arrays)
    objective: Any = alone.objective()
    assert not learns(objective.conditioner.base)
    assert learns(objective.conditioner.members)
    assert not learns(objective.decoder)
    objective = together.objective()
    assert learns(objective.conditioner)
    assert learns(objective.decoder.levels)
    assert not learns(objective.decoder.priors)
    assert objective.fit == ("huber", True, 1e-3, True)


@pytest.mark.parametrize(
    ("end_to_end", "fit"),
    [
        (None, ("mse", True, 0.5, True)),
        (EndToEndConfig(), ("huber", True, 0.5, True)),
        (
            EndToEndConfig(loss="mae", relative_loss=False, tune_decoder=False),
            ("mae", False, 0.5, False),
        ),
    ],
    ids=["alone", "end to end", "own loss and frozen decoder"],
)
def test_a_refit_keeps_the_loss_of_end_to_end_and_a_frozen_decoder(
    arrays: Arrays, end_to_end: EndToEndConfig | None, fit: tuple[Any, ...]
) -> None:
    job = RefitJob(
        **COMMON,
        split=Split(train=(0, 1, 2, 3, 4), validation=(), test=()),
        held_out=((4,), ()),
        config=RefitConfig(latent_weight=0.5),
        end_to_end=end_to_end,
        augmentation=PictureAugmentation(),
        latent_scaling="spread",
    )
    _, stages = build_stages(job, arrays)
    assert [stage.split.train for stage in stages] == [(0, 1, 2, 3), (0, 1, 2, 3, 4)]
    for stage in stages:
        objective: Any = stage.objective()
        assert objective.fit == fit
        assert (objective.lift is None) == (end_to_end is None)
        assert learns(objective.conditioner)
        assert learns(objective.decoder.levels) == fit[-1]


@pytest.mark.parametrize("scaling", ["spread", "range"])
def test_errors_in_latents_count_relative_to_those_of_the_training_designs(
    arrays: Arrays, scaling: Literal["spread", "range"]
) -> None:
    arrays["main"][:4, 0] = torch.tensor([-3.0, -1.0, 1.0, 3.0])
    arrays["main"][4:, 0] = 100.0  # validation and test designs
    job = ConditionerJob(
        **COMMON,
        split=Split(train=(0, 1, 2, 3), validation=(4,), test=(5,)),
        config=ConditionerConfig(latent_weight=0.1, latent_scaling=scaling),
    )
    objective: Any = build_stages(job, arrays)[1][0].objective()
    expected = {"spread": (20 / 3) ** 0.5, "range": 6 / 1.4}[scaling]
    assert float(objective.latent_scale[0]) == pytest.approx(expected)
