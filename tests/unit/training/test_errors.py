"""What a failed process says."""

import errno
import io
import os
import socket
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from torch.distributed import DistStoreError

from simulgen_pipeline.data.whole_files import is_disk_full
from simulgen_pipeline.training.errors import (
    DISK_REMEDY,
    MEMORY_REMEDY,
    explain,
    is_out_of_memory,
    is_timeout,
)

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


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        SafetensorError("I/O error: No space left on device (os error 28)"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_full_disk_is_recognised_and_its_remedy_told(error: Exception) -> None:
    assert is_disk_full(error)
    assert DISK_REMEDY in explain(error)
    assert not is_disk_full(OSError(errno.EACCES, os.strerror(errno.EACCES)))


def test_a_disk_that_is_full_in_the_midst_of_a_checkpoint_is_recognised() -> None:
    """torch then has an error of its own, raised beside that of the file."""

    class Small(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if self.tell() > 1_000_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(data)

    with pytest.raises(RuntimeError) as error:
        torch.save({str(number): torch.zeros(100_000) for number in range(10)}, Small())
    assert not isinstance(error.value, OSError)
    assert DISK_REMEDY in explain(error.value)
    assert MEMORY_REMEDY not in explain(error.value)


def test_want_of_memory_behind_another_error_is_recognised() -> None:
    def fail() -> None:
        try:
            raise MemoryError
        except MemoryError as error:
            raise KeyError("lost") from error

    with pytest.raises(KeyError) as error:
        fail()
    assert MEMORY_REMEDY in explain(error.value)


@pytest.mark.parametrize(
    ("error", "waited"),
    [
        (RuntimeError("Timed out waiting 3000ms for recv operation to complete"), True),
        (DistStoreError("wait timeout after 3000ms, keys: /default_pg/0"), True),
        (RuntimeError("Connection closed by peer"), False),
        (OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)), False),  # a disk's, not a process'
    ],
)
def test_a_process_that_waited_in_vain_is_recognised(error: Exception, waited: bool) -> None:
    assert is_timeout(error) == waited


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
