"""What a job trains: its modules with their initial weights, and the optimisations one by one.

Shapes: Q all latents.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.conditioner import Conditioner
from simulgen_pipeline.models.design_sampler import DesignExplorer
from simulgen_pipeline.models.latents import Latents
from simulgen_pipeline.models.layers import ResidualMlp
from simulgen_pipeline.models.vae import HierarchicalVae

from .config import LatentScaling, OptimisationConfig
from .job import Arrays, ConditionerJob, Job, RefitJob, VaeJob, part_of_arrays
from .objectives import ConditionerObjective, EncoderObjective, EvidenceObjective, FieldFit

# Latents that vary less over the training designs than this share of what varies most are not
# resolved any further: static fields of few POD modes leave most latents without a meaning.
SMALLEST_SPREAD = 0.05
# Of latents that are scaled to a range, the original's.
RANGE = (-0.7, 0.7)


class Stage(NamedTuple):
    """One optimisation of a job."""

    name: str
    objective: Callable[[], nn.Module]  # made when the stage starts, as it may freeze weights
    optimisation: OptimisationConfig
    split: Split


def build_stages(job: Job, arrays: Arrays) -> tuple[dict[str, nn.Module], list[Stage]]:
    """The modules that a job trains, with initial weights drawn from its seed, and how it does."""
    torch.manual_seed(job.engine.seed)
    vae = HierarchicalVae(job.architecture)
    if isinstance(job, RefitJob):
        return _build_refits(job, arrays, vae)
    if isinstance(job, ConditionerJob):
        vae.load_state_dict(part_of_arrays(arrays, "vae"))
        conditioner = Conditioner(job.conditioner, job.architecture)
        if conditioner.base is not None:
            conditioner.base.load_state_dict(part_of_arrays(arrays, "design_posterior"))
        scale = _latent_scale(vae, arrays, job.split, job.config.latent_scaling)
        weight = job.config.latent_weight
        assert weight != "auto", "decided before the job is made"
        alone = FieldFit("mse", True, weight, tune_decoder=False)
        make = partial(
            ConditionerObjective,
            conditioner,
            vae.decoder,
            scale,
            job.config.augmentation,
        )
        stages = [Stage(job.name, partial(make, alone), job.config.training, job.split)]
        if job.end_to_end is None:
            return {"conditioner": conditioner}, stages
        e = job.end_to_end
        together = FieldFit(e.loss, e.relative_loss, e.latent_weight, e.tune_decoder)

        def make_together() -> nn.Module:
            conditioner.requires_grad_(True)  # the base of members, too
            return make(together, arrays.get("lift"))

        stages.append(Stage("end to end", make_together, e.training, job.split))
        return {"conditioner": conditioner, "decoder": vae.decoder}, stages
    if "spreads" in arrays:
        vae.start_as_pod(arrays["spreads"])
    optimisation, lift = job.config.training, arrays.get("lift")
    if job.config.posterior == "field":
        make_evidence = partial(EvidenceObjective, vae.decoder, vae.encoder, job.config, lift)
        return {"vae": vae}, [Stage(job.name, make_evidence, optimisation, job.split)]
    design_posterior = _design_posterior(job, arrays)
    num_epochs = optimisation.epochs(len(job.split.train))
    shorter = {"num_epochs": max(1, round(job.config.encoder_epochs * num_epochs))}
    return {"vae": vae, "design_posterior": design_posterior}, [
        Stage(
            "vae decoder",
            partial(EvidenceObjective, vae.decoder, design_posterior, job.config, lift),
            optimisation,
            job.split,
        ),
        Stage(
            "vae encoder",
            partial(
                EncoderObjective,
                vae.encoder,
                vae.decoder,
                design_posterior,
                _sampler(job, arrays),
                job.config.augmentation,
            ),
            optimisation.model_copy(update=shorter),
            job.split,
        ),
    ]


def _design_posterior(job: VaeJob, arrays: Arrays) -> ResidualMlp:
    num_features = arrays["designs"].shape[1]
    return ResidualMlp(num_features, 2 * job.architecture.num_latents, job.design_filters)


def _sampler(job: VaeJob, arrays: Arrays) -> DesignExplorer:
    known = arrays["designs"][list(job.split.train)]
    return DesignExplorer(known, job.mix_designs)


def _build_refits(
    job: RefitJob, arrays: Arrays, vae: HierarchicalVae
) -> tuple[dict[str, nn.Module], list[Stage]]:
    vae.load_state_dict(part_of_arrays(arrays, "vae"))
    modules: dict[str, nn.Module] = {}
    stages = []
    fit, lift = FieldFit("mse", True, job.config.latent_weight, tune_decoder=True), None
    if job.end_to_end is not None:
        e, lift = job.end_to_end, arrays.get("lift")
        fit = FieldFit(e.loss, e.relative_loss, job.config.latent_weight, e.tune_decoder)
    for number, held_out in enumerate(job.held_out):
        known = tuple(row for row in job.split.train if row not in held_out)
        split = Split(train=known, validation=(), test=())
        scale = _latent_scale(vae, arrays, split, job.latent_scaling)
        conditioner = Conditioner(job.conditioner, job.architecture)
        conditioner.load_state_dict(part_of_arrays(arrays, "conditioner"))
        conditioner.requires_grad_(True)  # the base of members, too
        decoder = deepcopy(vae.decoder)
        own_decoder = part_of_arrays(arrays, "decoder")
        if own_decoder:
            decoder.load_state_dict(own_decoder)
        objective = partial(
            ConditionerObjective, conditioner, decoder, scale, job.augmentation, fit, lift
        )
        name = f"{job.name} without part {number + 1}" if held_out else job.name
        stages.append(Stage(name, objective, job.config.training, split))
        modules |= {f"conditioner_{number}": conditioner, f"decoder_{number}": decoder}
    return modules, stages


def _latent_scale(
    vae: HierarchicalVae, arrays: Arrays, split: Split, scaling: LatentScaling
) -> Tensor:
    """What errors in the latents relative to their priors are divided by (Q,): these latents'
    standard deviation over the training designs, or what brings them to `RANGE`."""
    with torch.no_grad():
        relative = vae.decoder.relative(stored_latents(arrays)).flat()[list(split.train)]
    if scaling == "spread":
        scale = relative.std(dim=0)
    else:
        scale = (relative.amax(dim=0) - relative.amin(dim=0)) / (RANGE[1] - RANGE[0])
    return scale.clamp_min(SMALLEST_SPREAD * float(scale.max()) or 1.0)


def stored_latents(arrays: Arrays) -> Latents:
    """The latents of all designs, which a conditioner learns."""
    return Latents(arrays["main"], arrays["hierarchical"])
