"""Runs the packaged project: `python -m simulgen_pipeline --pipeline=NAME`."""

from __future__ import annotations

import sys
from pathlib import Path

from kedro.framework.project import configure_project

from .cli import run


def main() -> None:
    """Entry point of the package."""
    configure_project(Path(__file__).parent.name)
    run(sys.argv[1:])


if __name__ == "__main__":
    main()
