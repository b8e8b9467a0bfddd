"""Ports to listen at later."""

import contextlib
import random
import socket

_chance = random.Random()  # not what a test may have seeded
_given = set()


def free_port():
    """Of those that the kernel gives to nobody who does not ask for them: no other socket takes it in the meantime."""
    while True:
        port = _chance.randrange(10_000, 32_000)
        if port in _given:
            continue
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            _given.add(port)
            return port
