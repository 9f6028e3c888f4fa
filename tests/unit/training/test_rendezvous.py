"""HOST:PORT, and the way there."""

from __future__ import annotations

import socket

import pytest

from simulgen_pipeline.training.errors import TrainingError
from simulgen_pipeline.training.rendezvous import address_towards, is_open, split_rendezvous


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("node1:29400", "node1", 29400),
        ("10.0.0.1:1", "10.0.0.1", 1),
        ("gpu-1.my_net:65535", "gpu-1.my_net", 65535),
    ],
)
def test_a_rendezvous_is_a_host_and_a_port(text: str, host: str, port: int) -> None:
    assert split_rendezvous(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "node1",
        "node1:",
        ":29400",
        "node1:0",
        "node1:65536",
        "node1:port",
        "tcp://n:1",
        "n 1:2",
        "n:1 ",
    ],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT .* node1:29400 .* got"):
        split_rendezvous(text)


def test_a_port_is_open_while_somebody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert is_open("127.0.0.1", port)
    assert not is_open("127.0.0.1", port)


def test_an_unknown_host_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "create_connection", fail)
    with pytest.raises(TrainingError, match=r"got nowhere \(Name or service not known\)"):
        is_open("nowhere", 29400)


def test_the_way_to_this_machine_is_the_loopback() -> None:
    assert address_towards("127.0.0.1", 29400) == "127.0.0.1"
