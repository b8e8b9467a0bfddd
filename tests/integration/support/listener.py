"""A port where no handshake is answered."""

import socket


def full_listener(test):
    """The address of a listener whose queue of connections is full, until the test ends."""
    listener = socket.socket()
    test.addCleanup(listener.close)
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(8):
        filler = socket.socket()
        test.addCleanup(filler.close)
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    return listener.getsockname()
