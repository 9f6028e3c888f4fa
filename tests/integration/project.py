"""The project as a user has it, in a folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
ALONE = PROJECT / "tests/integration/kedro_alone.py"
ERRORS = {"relative_l2_mean", "relative_l2_max", "rmse", "mae", "r2"}


class Project:
    """A copy of the project in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("conf", "src"):
            shutil.copytree(PROJECT / name, folder / name)
        for name in ("pyproject.toml", ".telemetry"):
            shutil.copy(PROJECT / name, folder)
        (folder / "conf/local").mkdir(exist_ok=True)

    def kedro(self, *arguments: str, fails: bool = False, alone: bool = False) -> str:
        """Run a command, with `alone` without torchrun; its output."""
        program = [str(ALONE)] if alone else ["-m", "kedro"]
        environment = {**os.environ, "DO_NOT_TRACK": "1", "COLUMNS": "1000"}
        result = subprocess.run(
            [sys.executable, *program, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env=environment,
            timeout=600,
        )
        output = result.stdout + result.stderr
        assert (result.returncode != 0) == fails, output
        return output

    def versions(self, place: str) -> list[str]:
        """Versions of a dataset, newest last."""
        folder = self.folder / place
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def newest(self, place: str) -> Path:
        """The newest version of a dataset."""
        version = self.versions(place)[-1]
        return self.folder / place / version / Path(place).name

    def json(self, place: str) -> Any:
        return json.loads(self.newest(place).read_text())
