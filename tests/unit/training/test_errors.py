"""What a failed process says."""

import errno
import os
import socket

import numpy as np
import pytest
import torch

from simulgen_pipeline.training.errors import MEMORY_REMEDY, explain, is_out_of_memory

TOO_MUCH = 2**50


def raised_by_torch() -> BaseException:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(TOO_MUCH)
    return raised.value


def raised_by_numpy() -> BaseException:
    with pytest.raises(MemoryError) as raised:
        np.empty(TOO_MUCH)
    return raised.value


@pytest.mark.parametrize(
    "error",
    [
        raised_by_torch(),
        raised_by_numpy(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
    ids=lambda error: str(error)[:40],
)
def test_want_of_memory_is_recognised_and_its_remedy_told(error: BaseException) -> None:
    assert is_out_of_memory(error)
    told = explain(error)
    assert told.startswith(str(error))
    assert MEMORY_REMEDY in told
    for remedy in ("batch_size", "training.gradient_checkpointing=true", "data.memory=lazy"):
        assert remedy in MEMORY_REMEDY


@pytest.mark.parametrize(
    "error", [ValueError("not enough memory"), RuntimeError("shapes differ"), KeyError("memory")]
)
def test_other_errors_are_not_taken_for_want_of_memory(error: BaseException) -> None:
    assert not is_out_of_memory(error)
    assert MEMORY_REMEDY not in explain(error)


def test_an_error_is_explained_with_its_place_machine_and_traceback() -> None:
    try:
        raise ValueError("shapes differ")
    except ValueError as error:
        error.add_note("It happened in vae decoder, epoch 3.")
        message, place, *rest = explain(error).splitlines()
    assert message == "shapes differ"
    assert place == "It happened in vae decoder, epoch 3."
    assert rest[1].startswith(f"On {socket.gethostname()}: Traceback")


def test_an_error_without_a_message_is_named_by_its_kind() -> None:
    assert explain(MemoryError()).startswith("MemoryError\nMemory did not suffice.")
