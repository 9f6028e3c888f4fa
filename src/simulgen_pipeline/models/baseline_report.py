"""What the baselines tell about themselves: limits they reached, what was chosen, what to look at.

Shapes: a designs added.
"""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from simulgen_pipeline.data.artifact import Config

from .baseline_tuning import POD_GPR, POD_RBF, BaselineConfig

Float64 = NDArray[np.float64]

logger = logging.getLogger(__name__)

# Limits that a refit meets again; the others are those of choices, which it leaves as they are.
LIMITS_OF_REFIT = ("max_rbf_designs", "max_gp_designs", "max_bytes")
# Designs to look at where some do harm.
NUM_SUSPECTS = 3


def limits_reached(report: Config, config: BaselineConfig, pod_limited: bool) -> list[str]:
    """Names of the limits that made a baseline use less than there is."""
    num_designs, num_modes, gpr = report["num_designs"], report["num_modes"], report[POD_GPR]
    reached = {
        "max_tuning_designs": num_designs > config.max_tuning_designs,
        "max_rbf_designs": num_designs > config.max_rbf_designs,
        "max_gp_designs": num_designs > config.max_gp_designs,
        "max_gp_modes": gpr["num_modes"] == config.max_gp_modes < num_modes,
        "max_length_scales": report["num_inputs"] > config.max_length_scales,
        "max_bytes": pod_limited,
    }
    return [name for name, is_reached in reached.items() if is_reached]


def limits_of_refit(
    report: Config, config: BaselineConfig, pod_limited: bool, of_fit: list[str]
) -> list[str]:
    """Names of the limits that a refit reached, or its first fit where it chose."""
    reached = limits_reached(report, config, pod_limited)
    return [name for name in reached if name in LIMITS_OF_REFIT or name in of_fit]


def log_fit(report: Config) -> None:
    """Say what was chosen, how good it is, and what was left out."""
    if report["repeated_designs"]:
        logger.warning(
            "Designs that occur repeatedly count once in the baselines, with the mean of their "
            "fields: rows %s",
            report["repeated_designs"],
        )
    for name in (POD_RBF, POD_GPR):
        logger.info(
            "%s: %s, cross-validated error %.2e on %d designs",
            name,
            report[name].get("kernel") or report[name]["covariance"],
            report[name]["error"],
            report["num_tuning_designs"],
        )
    if report["limits_reached"]:
        logger.info("Limits of the baselines reached: %s", ", ".join(report["limits_reached"]))


def suspects(rows: NDArray[np.int64], errors: Float64) -> list[int]:
    """Of the rows (a,) those whose fields are furthest from what was predicted, by errors (a,)."""
    return [int(row) for row in rows[np.argsort(-errors)[:NUM_SUSPECTS]]]


def warn_of_harm(not_refitted: list[str], suspect_rows: list[int], num_added: int) -> None:
    """Say which models are not given the added designs, and which of these to look at."""
    logger.warning(
        "%s: fitted to the training designs only. The %d validation designs would not make errors "
        "of designs held out smaller: some contradict the others, or there are too few designs to "
        "tell. Look first at rows %s (from 0), whose fields are furthest from what was predicted: "
        "are these the fields of these parameters, in the same units, of simulations that "
        "converged?",
        " and ".join(not_refitted),
        num_added,
        ", ".join(map(str, suspect_rows)),
    )
