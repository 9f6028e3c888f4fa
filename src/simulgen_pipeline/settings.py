"""Kedro's settings of this project."""

from __future__ import annotations

from kedro.config import OmegaConfigLoader

from .hooks import ProjectHooks

HOOKS = (ProjectHooks(),)
CONFIG_LOADER_CLASS = OmegaConfigLoader
CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local"}
