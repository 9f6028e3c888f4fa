"""Errors of a training that failed, and what a failed process says."""

from __future__ import annotations

import socket
import traceback

import torch

from simulgen_pipeline.data.whole_files import is_disk_full, with_causes

# What to do when memory does not suffice.
MEMORY_REMEDY = (
    "The same command goes on from the last checkpoint, with less memory if "
    "training.gradient_checkpointing=true or data.memory=lazy is added. A smaller batch_size (of "
    "vae.training, conditioner.training, end_to_end.training or refit.training) takes less too, "
    "and starts that training anew."
)
# What to do when a disk is full.
DISK_REMEDY = (
    "Free some space (kedro prune --keep=K removes old versions): the same command goes on from "
    "the last checkpoint."
)
# What to do when processes wait for another one in vain.
TIMEOUT_REMEDY = (
    "It hangs, or its machine, disk or network does: see what it is doing. The same command goes "
    "on from the last checkpoint. If it is only slow, raise training.timeout."
)
# How torch, NumPy and operating systems say that memory does not suffice.
_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate", "cannot allocate")
# How gloo, the store of a process group, and NCCL's watchdog say that they waited in vain.
_TIMEOUT_WORDS = ("timed out", "timeout")


class TrainingError(RuntimeError):
    """Training processes failed; the message carries the failing process's own traceback."""


class TrainingDivergedError(RuntimeError):
    """A loss is not finite; the message says where and in which term."""


def explain_divergence(
    terms: list[str], place: str, learning_rate: float, precision: torch.dtype
) -> str:
    """Which terms of the loss are not finite, where, and what to do."""
    remedy = f"Lower the learning rate (now {learning_rate:g})"
    if precision is not torch.float32:
        remedy += ", or train with training.precision=float32"
    return f"Training diverged: {', '.join(terms)} is not finite in {place}. {remedy}."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that led to it, is about memory: of the GPU, of torch on the CPU, of
    NumPy or the system."""
    return any(
        isinstance(one, MemoryError | torch.OutOfMemoryError)
        or (
            isinstance(one, RuntimeError | OSError)
            and any(words in str(one).lower() for words in _MEMORY_WORDS)
        )
        for one in with_causes(error)
    )


def is_timeout(error: BaseException) -> bool:
    """Whether an error is about another process that did not answer."""
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in message for words in _TIMEOUT_WORDS)


def explain(error: BaseException) -> str:
    """What a process says of the error that ends it: message, place, remedy, machine, traceback."""
    lines = [str(error) or type(error).__name__, *getattr(error, "__notes__", [])]
    if is_out_of_memory(error):
        lines.append(f"Memory did not suffice. {MEMORY_REMEDY}")
    if is_disk_full(error):
        lines.append(f"The disk is full. {DISK_REMEDY}")
    trace = "".join(traceback.format_exception(error))
    return "\n".join([*lines, "", f"On {socket.gethostname()}: {trace}"])
