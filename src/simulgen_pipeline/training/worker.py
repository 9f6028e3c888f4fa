"""A training process, which torchrun starts with the arguments FOLDER PID ROLE.

FOLDER is the job's work folder. PID is the launcher's process on this machine: a worker ends when
that or torchrun is gone, because torchrun puts its workers into sessions of their own, where no
signal to the launcher reaches them. (Linux sees to it, too, also where a worker hangs.) ROLE is
`leader` on the machine whose first process logs and writes for all, and `member` on machines that
joined it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import psutil
import torch

from simulgen_pipeline.data.fields import open_fields
from simulgen_pipeline.data.whole_files import whole_file

from .checkpoints import Checkpoints, write_sealed
from .data import TrainingData
from .errors import TIMEOUT_REMEDY, explain, is_timeout
from .heartbeat import HEARTBEAT_FILE, Heartbeat
from .job import TRAINED_FILE, Arrays, Job, VaeJob, part_of_arrays, read_job
from .loop import Trainer
from .parent import end_with_parent
from .picture import View
from .progress import Progress
from .stages import build_stages, stored_latents
from .world import World, find_world, joined

logger = logging.getLogger(__name__)

# Marks a worker's log lines for the launcher: MARK|LEVEL|message.
LOG_MARK = "simulgen"
ERROR_FILE = "error-{rank}.txt"
LEADER, MEMBER = "leader", "member"
# Seconds between two looks at the launcher.
WATCH_INTERVAL = 1.0
# Seconds that processes which waited in vain give each other to say so: the first that ends lets
# torchrun end all.
LAST_WORDS = 1.0


def run_job(folder: Path, job: Job, arrays: Arrays, world: World) -> None:
    """Train what a job asks for, and leave weights and history in its work folder."""
    latents = None if isinstance(job, VaeJob) else stored_latents(arrays)
    data = TrainingData(
        open_fields(job.fields),
        arrays["designs"],
        arrays["norms"],
        latents,
        arrays.get("pictures"),
        job.memory,
        world.device,
    )
    logger.info(
        "%s: %d process(es) of %d thread(s) on the %s, data %s",
        job.name,
        world.size,
        torch.get_num_threads(),
        "CPU" if world.device.type == "cpu" else "GPU",
        "in memory" if data.memory == "preload" else "read by the batch",
    )
    modules, stages = build_stages(job, arrays)
    progress = Progress(
        job.log_folder if world.is_main else None,
        View(**part_of_arrays(arrays, "view")),
        Heartbeat(folder / HEARTBEAT_FILE) if world.is_main else None,
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
        weights = {
            f"{name}.{key}": value.cpu().contiguous()
            for name, module in modules.items()
            for key, value in module.state_dict().items()
        }
        write_sealed(folder / TRAINED_FILE, {"weights": weights, "history": history})


def _watch(*ancestors: int) -> None:
    """End this process at once when the launcher or torchrun is gone."""
    try:
        processes = [psutil.Process(pid) for pid in ancestors]
        while all(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
            time.sleep(WATCH_INTERVAL)
    finally:
        os._exit(1)


def _descends(pid: int, ancestor: int) -> bool:
    """Whether a process is a descendant of another; none above that is looked at."""
    process: psutil.Process | None = psutil.Process(pid)
    while process is not None and process.pid != ancestor:
        process = process.parent()
    return process is not None


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


def leave() -> NoReturn:
    """End this process, which has done its work, without taking the interpreter down.

    Gloo's threads may still hold the tensors of the last reductions. One that lets go of them while
    the interpreter is taken down aborts the process, and torchrun then ends the others, too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def main() -> None:
    """Entry point under torchrun."""
    end_with_parent()
    folder, launcher, leads = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == LEADER
    torchrun = os.getppid()
    if not _descends(torchrun, launcher):
        sys.exit(1)  # torchrun was gone already, and this process was given to another
    threading.Thread(target=_watch, args=(launcher, torchrun), daemon=True).start()
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
    leave()


if __name__ == "__main__":
    main()
