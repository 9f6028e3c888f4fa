"""A training process, which torchrun starts with the arguments FOLDER PID ROLE.

FOLDER is the job's work folder. PID is the launcher's process on this machine: a worker ends when
that or torchrun is gone, because torchrun puts its workers into sessions of their own, where no
signal to the launcher reaches them. ROLE is `leader` on the machine whose first process logs and
writes for all, and `member` on machines that joined it.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from simulgen_pipeline.data.fields import open_fields
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.data.whole_files import whole_file
from simulgen_pipeline.models.conditioner import Conditioner
from simulgen_pipeline.models.design_sampler import DesignExplorer
from simulgen_pipeline.models.layers import ResidualMlp
from simulgen_pipeline.models.vae import HierarchicalVae, Latents

from .checkpoints import Checkpoints
from .config import OptimisationConfig
from .data import TrainingData
from .errors import TIMEOUT_REMEDY, explain, is_timeout
from .job import (
    HISTORY_FILE,
    WEIGHTS_FILE,
    Arrays,
    ConditionerJob,
    Job,
    RefitJob,
    VaeJob,
    part_of_arrays,
    read_job,
)
from .loop import Trainer
from .objectives import (
    ConditionerObjective,
    EncoderObjective,
    EvidenceObjective,
    FieldFit,
)
from .picture import View
from .progress import Progress
from .world import World, find_world, joined

logger = logging.getLogger(__name__)

# Marks a worker's log lines for the launcher: MARK|LEVEL|message.
LOG_MARK = "simulgen"
ERROR_FILE = "error-{rank}.txt"
LEADER, MEMBER = "leader", "member"
# Latents that vary less over the training designs than this share of what varies most are not
# resolved any further: static fields of few POD modes leave most latents without a meaning.
SMALLEST_SPREAD = 0.05
# Seconds between two looks at the launcher.
WATCH_INTERVAL = 1.0
# Seconds that processes which waited in vain give each other to say so: the first that ends lets
# torchrun end all.
LAST_WORDS = 1.0


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
        spread = _latent_spread(vae, arrays, job.split)
        alone = FieldFit("mse", True, job.config.latent_weight, tune_decoder=False)
        make = partial(
            ConditionerObjective,
            conditioner,
            vae.decoder,
            spread,
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
        spread = _latent_spread(vae, arrays, split)
        conditioner = Conditioner(job.conditioner, job.architecture)
        conditioner.load_state_dict(part_of_arrays(arrays, "conditioner"))
        conditioner.requires_grad_(True)  # the base of members, too
        decoder = deepcopy(vae.decoder)
        own_decoder = part_of_arrays(arrays, "decoder")
        if own_decoder:
            decoder.load_state_dict(own_decoder)
        objective = partial(
            ConditionerObjective, conditioner, decoder, spread, job.augmentation, fit, lift
        )
        name = f"{job.name} without part {number + 1}" if held_out else job.name
        stages.append(Stage(name, objective, job.config.training, split))
        modules |= {f"conditioner_{number}": conditioner, f"decoder_{number}": decoder}
    return modules, stages


def _latent_spread(vae: HierarchicalVae, arrays: Arrays, split: Split) -> Tensor:
    """Standard deviations (Q,) of the training designs' latents relative to their priors."""
    with torch.no_grad():
        relative = vae.decoder.relative(_latents(arrays)).flat()
    spread = relative[list(split.train)].std(dim=0)
    return spread.clamp_min(SMALLEST_SPREAD * float(spread.max()) or 1.0)


def _latents(arrays: Arrays) -> Latents:
    return Latents(arrays["main"], arrays["hierarchical"])


def run_job(folder: Path, job: Job, arrays: Arrays, world: World) -> None:
    """Train what a job asks for, and leave weights and history in its work folder."""
    latents = None if isinstance(job, VaeJob) else _latents(arrays)
    data = TrainingData(
        open_fields(job.fields),
        arrays["designs"],
        arrays["norms"],
        latents,
        arrays.get("pictures"),
        job.memory,
        world.device,
    )
    modules, stages = build_stages(job, arrays)
    progress = Progress(
        job.log_folder if world.is_main else None, View(**part_of_arrays(arrays, "view"))
    )
    history: list[dict[str, float | str]] = []
    for number, stage in enumerate(stages):
        checkpoints = Checkpoints(folder, f"stage-{number}", job.engine.checkpoint_interval)
        progress.begin(stage.name, first_epoch=len(history))
        trainer = Trainer(
            stage.objective(),
            data,
            stage.split,
            stage.optimisation,
            job.engine,
            world,
            checkpoints,
            progress,
        )
        rows = trainer.run()
        history += [
            {"stage": stage.name, **row, "epoch": len(history) + 1 + i}
            for i, row in enumerate(rows)
        ]
    progress.close()
    if world.is_main:
        with whole_file(folder / HISTORY_FILE) as path:
            path.write_text(json.dumps(history), encoding="utf-8")
        weights = {
            f"{name}.{key}": value.cpu().contiguous()
            for name, module in modules.items()
            for key, value in module.state_dict().items()
        }
        with whole_file(folder / WEIGHTS_FILE) as path:
            save_file(weights, path)


def _watch(*ancestors: int) -> None:
    """End this process at once when the launcher or torchrun is gone."""
    try:
        processes = [psutil.Process(pid) for pid in ancestors]
        while all(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
            time.sleep(WATCH_INTERVAL)
    finally:
        os._exit(1)


def report(folder: Path, world: World, error: BaseException) -> None:
    """Leave word of the error that ends this process."""
    paths = [folder / ERROR_FILE.format(rank=rank) for rank in range(world.size)]
    text = explain(error)
    _leave_word(paths[world.rank], text)
    if is_timeout(error):
        time.sleep(LAST_WORDS)
        silent = [str(rank) for rank, path in enumerate(paths) if not path.exists()]
        who = f"process {', '.join(silent)}" if silent else "another process"
        said = f"No answer from {who} within training.timeout. {TIMEOUT_REMEDY}"
        _leave_word(paths[world.rank], f"{said}\n{text}")


def _leave_word(path: Path, text: str) -> None:
    try:
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError:  # the disk may be full
        logger.error("%s", " ".join(text.partition("\n\n")[0].split()))


def main() -> None:
    """Entry point under torchrun."""
    folder, launcher, leads = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == LEADER
    threading.Thread(target=_watch, args=(launcher, os.getppid()), daemon=True).start()
    world = find_world(leads)
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.INFO if world.is_main else logging.ERROR,  # one speaks for all
        format=f"{LOG_MARK}|%(levelname)s|%(message)s",
    )
    try:
        job, arrays = read_job(folder)
        with joined(world, job.engine.timeout):
            run_job(folder, job, arrays, world)
    except BaseException as error:
        report(folder, world, error)
        raise


if __name__ == "__main__":
    main()
