"""Small objectives, and what tests ask of them."""

from typing import Any

import torch
from torch import Tensor, nn

from simulgen_pipeline.models.design_sampler import DesignExplorer
from simulgen_pipeline.models.latents import VaeArchitecture
from simulgen_pipeline.models.layers import ResidualMlp
from simulgen_pipeline.models.vae import HierarchicalVae
from simulgen_pipeline.training.field_augmentation import FieldAugmentation
from simulgen_pipeline.training.objectives import Batch, EncoderObjective, Objective

NUM_PARAMETERS = 2


def architecture_of(batch: Batch, **values: Any) -> VaeArchitecture:
    small = {
        "num_time_steps": batch.fields.shape[1],
        "num_channels": batch.fields.shape[2],
        "filters": (24, 16, 12),
        "num_blocks": 1,
        "latent_size": 6,
        "hierarchical_latent_size": 2,
        "spectral_normalisation": False,
    }
    return VaeArchitecture.model_validate({**small, **values})


def mlp_for(vae: HierarchicalVae) -> ResidualMlp:
    return ResidualMlp(NUM_PARAMETERS, 2 * vae.architecture.num_latents, (32, 32))


def encoder_objective_of(
    vae: HierarchicalVae, posterior: ResidualMlp, batch: Batch
) -> EncoderObjective:
    """With designs sampled like the batch's, and fields as they are."""
    sampler = DesignExplorer(batch.designs, mix=False)
    return EncoderObjective(vae.encoder, vae.decoder, posterior, sampler, FieldAugmentation())


def noise_for(objective: Objective, batch: Batch) -> Tensor:
    return torch.randn(len(batch.fields), objective.noise_size)


def idle(module: nn.Module) -> list[str]:
    """Parameters that no gradient has reached."""
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]


def touched(module: nn.Module) -> list[str]:
    """Parameters that have a gradient."""
    return [name for name, parameter in module.named_parameters() if parameter.grad is not None]


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def assert_unchanged(module: nn.Module, before: dict[str, Tensor]) -> None:
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def relative_l2(wrong: Tensor, batch: Batch) -> Tensor:
    return torch.linalg.norm((wrong - batch.fields).flatten(1), dim=1) / batch.norms


def overfit(objective: nn.Module, batch: Batch, num_steps: int, rate: float = 4e-3) -> None:
    """Train on one batch, along a falling rate."""
    parameters = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    objective.train()
    for step in range(num_steps):
        noise = torch.randn(len(batch.fields), objective.noise_size)
        objective(batch, noise, step / num_steps)["loss"].mean().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
    objective.eval()
