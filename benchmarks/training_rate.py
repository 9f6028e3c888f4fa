"""Measures one training through the real loop: `python -m benchmarks.training_rate FOLDER`.

FOLDER has `order.json`; it gets the training's own folders and `trained.json`. The time of the
data's preparation, of POD and of the loop are told apart. The process that runs this does nothing
else, so that its memory with that of its descendants is the training's.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
    EventAccumulator,
)

from simulgen_pipeline.data.config import DataConfig
from simulgen_pipeline.data.fields import open_fields
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.pipelines.data_preparation import nodes as preparation
from simulgen_pipeline.training.config import ConditionerConfig, EngineConfig, VaeConfig
from simulgen_pipeline.training.fit import fit_vae

from .errors import relative_l2
from .matrix_rate import matrix_rates

ORDER_FILE, TRAINED_FILE = "order.json", "trained.json"
WORK, LOGS, CHANNELS = "work", "logs", "channels.h5"
# Held-out errors as TensorBoard has them: what a decoder trained with the posterior given the
# design is judged by, or one trained with the posterior given the field.
ERROR_TAGS = ("validation_prediction_error", "validation_reconstruction_error")


class Order(BaseModel):
    """A training to be measured: its data and its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    simulations: Path
    designs: Path
    split: Path | None = None
    memory: Literal["auto", "preload", "lazy"] = "auto"
    vae: VaeConfig
    engine: EngineConfig
    assess: bool = False  # reconstruct the test designs too


def main(folder: Path) -> None:
    """Train what the order asks for, with large matrix products right before and after."""
    order = Order.model_validate_json((folder / ORDER_FILE).read_text(encoding="utf-8"))
    before = matrix_rates()
    result = train(order, folder)
    result["matrix_gflops"] = {"before": before, "after": matrix_rates()}
    result["num_threads"] = torch.get_num_threads()
    (folder / TRAINED_FILE).write_text(json.dumps(result), encoding="utf-8")


def train(order: Order, folder: Path) -> dict[str, Any]:
    """Prepare and train as `full_vae` does.

    Returns:
        `seconds` of each part, `num_channels`, `stages` (see `loop_rates`), `errors`, pairs of
        seconds since the start, preparation included, and mean error on the validation designs,
        and, if it is asked for, `test_error` of reconstruction, in physical units.
    """
    started = time.time()  # as TensorBoard's events
    clock = [time.perf_counter()]

    def lap() -> float:
        clock.append(time.perf_counter())
        return clock[-1] - clock[-2]

    data = DataConfig.model_validate({"split": {"file": order.split}})
    preparation.ingest_simulations(order.simulations, data).save(folder / "fields.h5")
    fields = open_fields(folder / "fields.h5")
    table = preparation.ingest_designs(
        order.designs, fields, order.simulations, ConditionerConfig()
    )
    parts = preparation.divide(table, data)
    split = Split.model_validate(parts)
    design_scaler = preparation.fit_design_scaler(table, parts, data)
    scaler = preparation.fit_field_scaler(fields, parts, data)
    seconds = {"reading_and_scaling": lap()}
    representation = preparation.fit_representation(fields, parts, scaler, order.vae)
    preparation.compute_channels(fields, representation).save(folder / CHANNELS)
    seconds["pod"] = lap()
    (folder / WORK).mkdir()
    channels = open_fields(folder / CHANNELS)
    vae, history = fit_vae(
        channels,
        table,
        split,
        representation,
        design_scaler,
        order.vae,
        order.engine,
        order.memory,
        folder / WORK,
        folder / LOGS,
    )
    seconds["training"] = lap()
    events = scalars(folder / LOGS)
    tag = next(tag for tag in ERROR_TAGS if tag in events)
    result: dict[str, Any] = {}
    if order.assess:
        test = list(split.test)
        decoded = vae.decode(vae.encode(channels.read(test)))
        predicted, true = representation.inverse_transform(decoded), fields.read(test)
        flat = (values.reshape(len(test), -1) for values in (true, predicted))
        result["test_error"] = float(relative_l2(*flat).mean())
    return result | {
        "seconds": seconds,
        "num_channels": representation.num_channels,
        "stages": loop_rates(history, [at for at, _ in events["loss"]], order, len(split.train)),
        "errors": [[at - started, error] for at, error in events[tag]],
    }


def scalars(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """What a training told TensorBoard by tag: pairs of the time [s since the epoch] and value."""
    (run,) = {path.parent for path in folder.rglob("events.*")}
    events = EventAccumulator(str(run), {"scalars": 0}).Reload()
    tags = events.Tags()["scalars"]
    return {tag: [(event.wall_time, event.value) for event in events.Scalars(tag)] for tag in tags}


def loop_rates(
    history: pd.DataFrame, reported: list[float], order: Order, num_designs: int
) -> list[dict[str, Any]]:
    """Samples per second of each stage, without its first epoch.

    Args:
        history: a row per epoch.
        reported: when each epoch was done and reported [s].
        order: the training.
        num_designs: in its training part.

    Returns:
        For each stage `samples_per_second` (median over epochs: data, forward, backward, optimizer)
        and `samples_per_second_whole`, from the first epoch's report to the last one's, with
        validation, logging, pictures and checkpoints.
    """
    optimisation = order.vae.training
    size = min(optimisation.batch_size, num_designs) * optimisation.steps_per_epoch(num_designs)
    times = pd.Series(reported, index=history.index)
    is_encoder = (
        history["latent_error"].notna() if "latent_error" in history else np.zeros(len(history))
    )
    rates = []
    for _, rows in history.groupby(is_encoder):
        when, later = times[rows.index], rows["samples_per_second"][1:]
        rates.append(
            {
                "num_epochs": len(rows),
                "samples_per_second": float(later.median()),
                "samples_per_second_whole": size * len(later) / (when.iloc[-1] - when.iloc[0]),
            }
        )
    return rates


if __name__ == "__main__":
    main(Path(sys.argv[1]))
