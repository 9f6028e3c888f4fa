"""Which precision `auto` chooses, and the interface that machines talk over."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import joblib
import psutil
import pytest
import torch
from torch import nn

from simulgen_pipeline.training.device import (
    FEWEST_ROUGH_CHANNELS,
    available_memory,
    choose_precision,
    memory_environment,
    network_environment,
    seed_device,
    thread_environment,
)

CPU = torch.device("cpu")


LARGE, SMALL = nn.Linear(1024, 1024), nn.Linear(1023, 1024, bias=False)


def give_cpu(monkeypatch: pytest.MonkeyPatch, *capabilities: str) -> None:
    names = ("amx_bf16", "avx512_bf16", "avx2")
    known = {name: name in capabilities for name in names}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)


@pytest.mark.parametrize(
    ("capability", "large", "small"),
    [
        ("amx_bf16", torch.bfloat16, torch.bfloat16),
        ("avx512_bf16", torch.bfloat16, torch.float32),
        ("avx2", torch.float32, torch.float32),
    ],
)
def test_auto_is_bfloat16_for_rough_fields_where_it_is_fast_and_worth_it(
    monkeypatch: pytest.MonkeyPatch, capability: str, large: torch.dtype, small: torch.dtype
) -> None:
    give_cpu(monkeypatch, capability)
    assert choose_precision("auto", CPU, FEWEST_ROUGH_CHANNELS, LARGE) is large
    assert choose_precision("auto", CPU, FEWEST_ROUGH_CHANNELS, SMALL) is small
    assert choose_precision("auto", CPU, FEWEST_ROUGH_CHANNELS, nn.Identity()) is small


def test_auto_is_float32_for_smooth_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    give_cpu(monkeypatch, "amx_bf16", "avx512_bf16")
    assert choose_precision("auto", CPU, FEWEST_ROUGH_CHANNELS - 1, LARGE) is torch.float32


def test_auto_is_bfloat16_for_small_networks_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    gpu = torch.device("cuda", 0)
    assert choose_precision("auto", gpu, FEWEST_ROUGH_CHANNELS, SMALL) is torch.bfloat16


@pytest.mark.parametrize("num_channels", [1, 500])
def test_what_is_asked_for_is_taken(num_channels: int) -> None:
    assert choose_precision("bfloat16", CPU, num_channels, SMALL) is torch.bfloat16
    assert choose_precision("float16", CPU, num_channels, SMALL) is torch.float16


def test_gloo_takes_the_interface_with_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    interfaces = {
        "lo": [SimpleNamespace(address="127.0.0.1")],
        "eth0": [SimpleNamespace(address="00:11:22:33:44:55"), SimpleNamespace(address="10.0.0.1")],
    }
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: interfaces)
    assert network_environment("10.0.0.1") == {"GLOO_SOCKET_IFNAME": "eth0"}
    assert network_environment("10.0.0.2") == {}  # gloo's own choice


@pytest.mark.parametrize(
    ("num_cores", "num_processes", "num_threads"),
    [(1, 1, 1), (2, 1, 2), (2, 2, 1), (3, 1, 2), (8, 1, 7), (8, 2, 3), (2, 5, 1)],
)
def test_processes_share_all_cores_but_one_of_more_than_two(
    num_cores: int, num_processes: int, num_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: num_cores)
    assert thread_environment(num_processes)["OMP_NUM_THREADS"] == str(num_threads)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries know no such thing"
)
def test_memory_that_is_needed_again_is_kept() -> None:
    code = (
        "import resource\n"
        "for _ in range(20): blocks = [b'x' * 8_000_000 for _ in range(6)]; del blocks\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)"
    )

    def page_faults(environment: dict[str, str]) -> int:
        command = [sys.executable, "-c", code]
        answer = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, check=True
        )
        return int(answer.stdout)

    assert page_faults(memory_environment()) < 0.5 * page_faults({})


@pytest.mark.parametrize(
    "kind",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        ),
    ],
)
def test_a_seed_decides_what_is_drawn_on_the_device_that_trains_and_no_other(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*seeds: int) -> None:
        raise AssertionError("all kinds of devices were seeded")

    monkeypatch.setattr(torch, "manual_seed", refuse)
    device = torch.device(kind)
    if kind == "cpu":
        monkeypatch.setattr(torch.cuda, "manual_seed", refuse)

    def drawn(seed: int) -> torch.Tensor:
        seed_device(device, seed)
        return torch.rand(5, device=device)

    assert torch.equal(drawn(3), drawn(3))
    assert not torch.equal(drawn(3), drawn(4))


def control_group(root: Path, group: str, folder: str, **files: str) -> None:
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text(f"{group}\n")
    (root / "sys/fs/cgroup" / folder).mkdir(parents=True, exist_ok=True)
    cached = "cache 99\ninactive_file 20\ntotal_inactive_file 30\n"
    (root / "sys/fs/cgroup" / folder / "memory.stat").write_text(cached)
    for name, value in files.items():
        path = root / "sys/fs/cgroup" / folder / f"memory.{name}"
        path.write_text(f"{value}\n")


def test_memory_is_what_is_free_within_the_limit_of_the_processs_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    assert available_memory(tmp_path) == 1000  # not Linux
    control_group(tmp_path, "0::/job/step", "job/step", max="max", current="10")
    assert available_memory(tmp_path) == 1000
    control_group(tmp_path, "0::/job/step", "job/step", max="500", current="100")
    assert available_memory(tmp_path) == 420
    control_group(tmp_path, "0::/job/step", "job", max="600", current="350")  # all its steps
    assert available_memory(tmp_path) == 270
    control_group(tmp_path, "0::/../x", "", max="300", current="350")  # a container sees its own
    assert available_memory(tmp_path) == 0
    one = tmp_path / "version 1"
    limits = {"limit_in_bytes": "700", "usage_in_bytes": "50"}
    control_group(one, "9:cpu:/a\n8:memory:/slurm/a job", "memory/slurm/a job", **limits)
    assert available_memory(one) == 680


def test_this_machine_has_memory() -> None:
    assert 0 < available_memory() <= psutil.virtual_memory().total
