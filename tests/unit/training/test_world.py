"""Who a process is among those that torchrun started."""

import pytest
import torch

from simulgen_pipeline.training import world
from simulgen_pipeline.training.world import find_world


@pytest.mark.parametrize("leads", [True, False])
@pytest.mark.parametrize(("num_here", "is_one_machine"), [("4", True), ("2", False)])
def test_a_process_finds_its_place(
    monkeypatch: pytest.MonkeyPatch, num_here: str, is_one_machine: bool, leads: bool
) -> None:
    monkeypatch.setattr(world, "choose_device", lambda local_rank: torch.device("cpu", local_rank))
    told = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": num_here}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    found = find_world(leads)
    assert (found.rank, found.size, found.device.index) == (3, 4, 0)
    assert found.is_one_machine == is_one_machine
    assert found.is_main == leads
