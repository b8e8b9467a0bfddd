#!/usr/bin/env python3
"""Memory depends on the number of streams and their buffers, never on the size of bodies or the ratio of speeds."""

import select
import time
import unittest

from support import SANITIZED, Crowd, GatewayCase, eventually, request, response

STREAMS = 500
BODY = 16 << 20
RATE = 20_000  # bytes per second and client
SECONDS = 3  # for which they read at that rate
STREAM_BUFFER = 64 * 1024
PER_STREAM = STREAM_BUFFER + 32 * 1024
BASE = 8 << 20


@unittest.skipIf(SANITIZED, "a sanitizer's own memory would be measured")
class SlowReaders(GatewayCase):
    def slow_readers(self, begin, chunked, *flags):
        self.start_swarm(begin, BODY, chunked, send_buffer=65536)
        self.start("--access-log", "off", *flags, workers=2)
        rest = self.gateway.resident_bytes()
        crowd = Crowd(self.gateway.address, STREAMS, request("GET", "/"), receive_buffer=16384)
        self.adopt(crowd)
        crowd.receive(1000)
        most = self.gateway.resident_bytes()
        received = self.read_slowly(crowd)
        most = max(most, self.gateway.resident_bytes())
        live = self.gateway.live()
        self.assertEqual((live["connections"], live["requests"]), (STREAMS, STREAMS))
        self.assertGreater(received, STREAMS * RATE * SECONDS * 0.5, "they must have been streaming")
        self.assertLessEqual(live["buffer_bytes"], STREAMS * PER_STREAM)
        self.assertLessEqual(most - rest, STREAMS * PER_STREAM + BASE, f"of {live}")
        crowd.close()
        eventually(lambda: self.origin.open == 0, 2)

    def read_slowly(self, crowd):
        """Each client reads RATE bytes per second, in ten portions of them."""
        total, portion, begun = 0, RATE // 10, time.monotonic()
        waiting = select.poll()  # for nothing: a clock
        for turn in range(1, SECONDS * 10 + 1):
            for sock in crowd.socks:
                sock.setblocking(False)
                try:
                    total += len(sock.recv(portion))
                except BlockingIOError:
                    pass
            waiting.poll(max(begun + turn / 10 - time.monotonic(), 0) * 1000)
        return total

    def test_content_length(self):
        self.slow_readers(response(200, [("Content-Length", str(BODY))]), False)

    def test_chunked(self):
        self.slow_readers(response(200, [("Transfer-Encoding", "chunked")]), True)

    def test_content_length_copied(self):
        """Without splice(2), so that every byte passes through the gateway's memory."""
        self.slow_readers(response(200, [("Content-Length", str(BODY))]), False, "--splice-pipes-max", "0")


if __name__ == "__main__":
    unittest.main()
