"""Where machines meet: HOST:PORT, and the way there."""

from __future__ import annotations

import re
import socket

from .errors import TrainingError

# Seconds for a connection.
CONNECT_TIMEOUT = 1.0
LARGEST_PORT = 65535


def split_rendezvous(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"([\w.-]+):(\d{1,5})", text)
    if match is None or not 1 <= int(match[2]) <= LARGEST_PORT:
        raise ValueError(
            f"rendezvous must be HOST:PORT with a port from 1 to {LARGEST_PORT}, such as "
            f"node1:29400 or 10.0.0.1:29400; got {text!r}"
        )
    return match[1], int(match[2])


def is_open(host: str, port: int) -> bool:
    """Whether somebody listens there.

    Raises:
        TrainingError: this machine cannot find the host's address.
    """
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT).close()
    except socket.gaierror as error:
        raise TrainingError(
            f"Expected a host that this machine knows, got {host} ({error}): give its IP address."
        ) from error
    except OSError:
        return False
    return True


def address_towards(host: str, port: int) -> str:
    """This machine's address on the way to another one; nothing is sent."""
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(place)
        address: str = probe.getsockname()[0]
    return address
