"""Are simulations that the VAE draws from its prior plausible: as far from those of training as
real ones that it has not seen?

Shapes: q fields, s samples, N training designs, T time steps, t of a span, M nodes, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulgen_pipeline.data.fields import SimulationFields
from simulgen_pipeline.data.split import Split
from simulgen_pipeline.models.latent_prior import sample_latents
from simulgen_pipeline.models.trained import StoredLatents, TrainedVae

Array = NDArray[Any]

SAMPLES = "samples"
NUM_SAMPLES = 50
SEED = 0
# Designs of each part, evenly spaced, whose distances are compared with those of the samples.
MOST_DESIGNS = 50
# Memory of the compared fields in a span of time steps, and of a block of training fields.
BLOCK_BYTES = 64 * 2**20


def assess_samples(
    vae: TrainedVae, latents: StoredLatents, fields: SimulationFields, split: Split
) -> dict[str, Any]:
    """Mean distance to the training designs of samples, and of designs of every part.

    Returns:
        `num_samples`, and `distance_to_training` by `samples` and part; that of a training design
        is its distance to the others. Absent where there is no field that is not zero everywhere.

    Raises:
        ValueError: a field is not finite.
    """
    channels = vae.decode(sample_latents(vae, latents, NUM_SAMPLES, SEED))
    rows = {part: _spaced(members) for part, members in split.parts.items()}
    distances = distances_to_training(
        fields,
        split.train,
        np.concatenate(list(rows.values())),
        channels,
        vae.representation.inverse_transform,
    )
    ends = np.cumsum([len(channels), *(len(members) for members in rows.values())])
    named = dict(zip((SAMPLES, *rows), np.split(distances, ends[:-1]), strict=True))
    known = {name: part[np.isfinite(part)] for name, part in named.items()}
    means = {name: float(part.mean()) for name, part in known.items() if len(part)}
    return {"num_samples": NUM_SAMPLES, "distance_to_training": means}


def _spaced(rows: Sequence[int]) -> NDArray[np.int64]:
    places = np.linspace(0, len(rows) - 1, min(MOST_DESIGNS, len(rows))).round().astype(int)
    return np.array([rows[place] for place in places], dtype=np.int64)


def distances_to_training(
    fields: SimulationFields,
    training: Sequence[int],
    rows: NDArray[np.int64],
    channels: Array,
    lift: Callable[[Array], Array],
) -> NDArray[np.float64]:
    """Smallest relative L2 distance ||f - g|| / ||f|| of fields f to the training fields g.

    It streams over spans of time steps, and in each over blocks of training designs: a training
    field is read once, and what is held is a time step of every field compared, or little more.

    Args:
        fields: of all designs, physical units.
        training: row numbers (N,) of the training designs.
        rows: row numbers of designs whose distance is wanted; that of a training design is to the
            others.
        channels: (s, T, C) of samples whose distance is wanted, too.
        lift: gives the physical fields (s, t, M) of channels (s, t, C).

    Returns:
        Distances (s + len(rows),), first of the samples; NaN for a field that is zero everywhere.

    Raises:
        ValueError: a field is not finite.
    """
    _, num_times, num_nodes = fields.shape
    num_fields = len(channels) + len(rows)
    squared_norms = np.zeros(num_fields)
    squared = np.zeros((num_fields, len(training)))
    span = max(1, BLOCK_BYTES // (8 * num_fields * num_nodes))
    start = 0 if fields.time_range is None else fields.time_range[0]
    for first in range(0, num_times, span):
        last = min(first + span, num_times)
        part = replace(fields, time_range=(start + first, start + last))
        compared = np.concatenate([lift(channels[:, first:last]), part.read(rows)])
        compared = compared.reshape(num_fields, -1).astype(np.float64)
        squared_norms += _squared_norms(compared)
        # About their mean, so that little cancels in ||f||^2 + ||g||^2 - 2 <f, g>.
        centre = compared.mean(axis=0)
        compared -= centre
        own = _squared_norms(compared)
        done = 0
        for _, block in part.blocks(training, BLOCK_BYTES):
            known = block.reshape(len(block), -1) - centre
            columns = slice(done, done + len(block))
            squared[:, columns] += own[:, None] + _squared_norms(known) - 2 * compared @ known.T
            done += len(block)
    if not np.isfinite(squared).all():
        raise ValueError(
            "A simulation, or a field drawn from the VAE's prior, has values that are not finite. "
            "Expected finite fields; did the training diverge?"
        )
    squared[len(channels) :][rows[:, None] == np.asarray(training)] = np.inf
    nearest = np.sqrt(squared.min(axis=1).clip(min=0))
    norms = np.sqrt(squared_norms)
    distances: NDArray[np.float64] = np.full(num_fields, np.nan)
    np.divide(nearest, norms, out=distances, where=norms > 0)
    return distances


def _squared_norms(flat: Array) -> NDArray[np.float64]:
    return np.asarray(np.einsum("ij,ij->i", flat, flat))
