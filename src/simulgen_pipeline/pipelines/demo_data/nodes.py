"""Nodes that make the demo data."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from simulgen_pipeline.data.errors import DataError

from .config import DemoDataConfig

logger = logging.getLogger(__name__)


def make_demo_data(demo_data: DemoDataConfig, raw_folder: Path) -> dict[str, Any]:
    """Simulate the demo's design study and write it where the user's own data would be.

    Returns:
        What was written, for `demo_data_summary`.

    Raises:
        DataError: the extra that brings the finite-element solver is not installed, or there are
            files of the same names that are not the demo's.
    """
    try:
        from .files import write_demo_data  # needs scikit-fem, which only this pipeline uses
    except ModuleNotFoundError as error:
        raise DataError(
            f"The demo data needs the package {error.name}, which comes with the extra 'demo': "
            f'python -m pip install --constraint constraints.txt --editable ".[demo]"'
        ) from error
    return write_demo_data(demo_data, raw_folder)
