"""Kedro's settings of this project."""

from __future__ import annotations

from importlib.util import find_spec

from kedro.config import OmegaConfigLoader

from .hooks import ProjectHooks

HOOKS: tuple[object, ...] = (ProjectHooks(),)
if find_spec("kedro_mlflow"):
    from .tracking import TrackingHooks

    HOOKS += (TrackingHooks(),)
CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local"}
