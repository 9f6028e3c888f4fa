"""The script for SLURM, with commands of SLURM's and Kedro's that say how they were called."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs/slurm/train.sbatch"
COMMANDS = {
    "scontrol": 'test "$*" = "show hostnames a[1-3]" && printf "a1\\na2\\na3\\n"',
    "srun": """
        while [[ $1 == --* ]]; do shift; done
        for ((i = 0; i < SLURM_JOB_NUM_NODES; i++)); do SLURM_NODEID=$i "$@"; done
    """,
    "kedro": 'echo "${SLURM_NODEID:-}: $*"',
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bin").mkdir()
    for name, script in COMMANDS.items():
        command = tmp_path / "bin" / name
        command.write_text(f"#!/bin/bash\n{script}\n")
        command.chmod(0o755)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").touch()
    return {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_CPUS_PER_TASK": "16",
        "SLURM_JOB_NODELIST": "a[1-3]",
        "SLURM_JOB_ID": "712345",
    }


def said(environment: dict[str, str], num_nodes: int, *arguments: str) -> list[str]:
    """What Kedro is told by a job of so many machines."""
    job = subprocess.run(
        ["bash", str(SCRIPT), *arguments],
        env=environment | {"SLURM_JOB_NUM_NODES": str(num_nodes)},
        capture_output=True,
        text=True,
    )
    assert (job.returncode, job.stderr) == (0, "")
    return job.stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "0: run --pipelines=full_vae"),
        (
            ("end_to_end", "data.memory=lazy"),
            "0: run --pipelines=end_to_end --params=data.memory=lazy",
        ),
    ],
)
def test_one_machine_runs_a_pipeline(
    environment: dict[str, str], arguments: tuple[str, ...], expected: str
) -> None:
    assert said(environment, 1, *arguments) == [expected]


@pytest.mark.parametrize("given", ["", "vae.preset=4,data.memory=lazy"])
def test_of_several_machines_the_first_leads_and_the_others_join(
    environment: dict[str, str], given: str
) -> None:
    first, *others = said(environment, 3, "full_vae", *([given] if given else []))
    params = [*([given] if given else []), "training.num_nodes=3"]
    expected = ",".join([*params, "training.rendezvous=a1:22345"])
    assert first == f"0: run --pipelines=full_vae --params={expected}"
    join = "join --rendezvous=a1:22345 --patience=100000"
    assert others == [f"1: {join}", f"2: {join}"]
