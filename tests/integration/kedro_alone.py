"""`python kedro_alone.py run ...`: kedro, but trainings run in its own process.

torchrun and its worker take longer to start than a small training takes. What is trained is the
same; that torchrun trains it is for other tests.
"""

from __future__ import annotations

import os
from pathlib import Path

from kedro.framework.cli import main

from simulgen_pipeline.training import launch
from simulgen_pipeline.training.job import read_job
from simulgen_pipeline.training.launch import run_torchrun
from simulgen_pipeline.training.worker import run_job
from simulgen_pipeline.training.world import find_world, joined

# What torchrun tells the only worker; port 0 is any that is free.
ONLY_WORKER = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "1",
    "WORLD_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "0",
}


def run_here(folder: Path, num_processes: int, *, timeout: float) -> None:
    """Take the place of `launch.run_torchrun`, where one process trains."""
    if num_processes > 1:
        run_torchrun(folder, num_processes, timeout=timeout)
        return
    job, arrays = read_job(folder)
    world = find_world(leads=True)
    with joined(world, timeout):
        run_job(folder, job, arrays, world)


if __name__ == "__main__":
    os.environ |= ONLY_WORKER
    launch.run_torchrun = run_here
    main()
