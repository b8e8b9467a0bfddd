"""Bodies that describe themselves: every byte follows from the body's key and the byte's position in it.

A byte that is lost, doubled, altered or of another body is seen where it stands. Positions repeat after PERIOD bytes; a
piece that was shifted by exactly that much would not be seen.
"""

import random

PERIOD = 1_000_003
PIECE = 1 << 18  # the most that piece() gives at once

_BLOCK = random.Random(20).randbytes(PERIOD)
_BYTES = memoryview(_BLOCK + _BLOCK[:PIECE])


def piece(key, offset, count):
    """At most `count` bytes of body `key` from `offset` on."""
    begin = (key * 7919 + offset) % PERIOD
    return _BYTES[begin:begin + min(count, PIECE)]


def pieces(key, length, most=PIECE):
    """The whole body, in pieces."""
    offset = 0
    while offset < length:
        data = piece(key, offset, min(most, length - offset))
        yield data
        offset += len(data)


class WrongBody(Exception):
    """What came is not what was sent."""


class Check:
    """Compares what comes with body `key` of `length` bytes."""

    def __init__(self, key, length):
        self.key, self.length, self.got = key, length, 0

    def feed(self, data):
        data = memoryview(data)
        if self.got + len(data) > self.length:
            raise WrongBody(f"{self.got + len(data)} bytes of body {self.key}, which has {self.length}")
        while data:
            expected = piece(self.key, self.got, len(data))
            if data[:len(expected)] != expected:
                wrong = next(i for i, byte in enumerate(expected) if byte != data[i])
                raise WrongBody(f"body {self.key} of {self.length} bytes is wrong at byte {self.got + wrong}")
            self.got += len(expected)
            data = data[len(expected):]

    def end(self):
        """The end was announced as a good one."""
        if self.got != self.length:
            raise WrongBody(f"body {self.key} ended well after {self.got} of {self.length} bytes")
