"""The one error for a training that failed, and what a failed process says."""

from __future__ import annotations

import socket
import traceback

import torch

# What to do when memory does not suffice.
MEMORY_REMEDY = (
    "The same command goes on from the last checkpoint, with less memory if "
    "training.gradient_checkpointing=true or data.memory=lazy is added. A smaller batch_size (of "
    "vae.training, conditioner.training or end_to_end.training) takes less too, and starts that "
    "training anew."
)
# How torch and operating systems say that memory does not suffice.
_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate", "cannot allocate")


class TrainingError(RuntimeError):
    """Training processes failed; the message carries the failing process's own traceback."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is about memory: of the GPU, of torch on the CPU, of NumPy or the system."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError | OSError) and any(w in message for w in _MEMORY_WORDS)


def explain(error: BaseException) -> str:
    """What a process says of the error that ends it: message, place, remedy, machine, traceback."""
    lines = [str(error) or type(error).__name__, *getattr(error, "__notes__", [])]
    if is_out_of_memory(error):
        lines.append(f"Memory did not suffice. {MEMORY_REMEDY}")
    trace = "".join(traceback.format_exception(error))
    return "\n".join([*lines, "", f"On {socket.gethostname()}: {trace}"])
