#!/usr/bin/env python3
"""A thousand clients that vanish at the same moment: what was behind them is gone within a second, descriptors and all."""

import time
import unittest

from support import GONE, SLACK, Crowd, GatewayCase, eventually, process, request, response

CLIENTS = 1000
IN_MOTION = 100  # clients of streams that never stop: the kernel keeps megabytes for each
AHEAD = 256 << 10  # bytes that wait for each of the others
GIB = 1 << 30
SEED = 20  # of the order in which they vanish


class StormCase(GatewayCase):
    def storm(self, begin, received, more=0, chunked=False, status=200, resets=None, count=CLIENTS,
              ends=("client_closed", "client_reset")):
        """Every client sends a request, has `received` some bytes, and leaves."""
        process.raise_descriptor_limit(4 * count + 200)
        self.start_swarm(begin, more, chunked, ends=False)
        self.start(workers=2)
        crowd = Crowd(self.gateway.address, count, request("GET", "/"), receive_buffer=65536)
        self.adopt(crowd)
        crowd.receive(received)
        eventually(lambda: self.origin.requests == count, 10 * SLACK)
        live = self.gateway.live()
        self.assertEqual((live["connections"], live["requests"], live["upstream_busy"]), (count, count, count))
        begun = time.monotonic()
        gone = crowd.vanish(SEED)
        eventually(lambda: self.origin.open == 0, GONE * SLACK, "every upstream connection is gone")
        self.leaks.wait_rest(max(GONE - (time.monotonic() - gone), 0.01))
        self.assertLess(gone - begun, 2 * SLACK, "a storm that takes long proves little")
        if resets is not None:
            self.assertEqual(self.origin.resets, resets, "what was cut must end as what was cut")
        eventually(lambda: len(self.gateway.all_logs) == count)
        found = {line.end for line in self.gateway.all_logs}
        self.assertLessEqual(found, set(ends))
        if more != -1:  # who leaves with much unread resets at once after his FIN: one that moves may never see the FIN alone
            self.assertEqual(found, set(ends))
        self.assertEqual({line.status for line in self.gateway.all_logs}, {status})
        self.assert_serves(count)

    def assert_serves(self, before):
        """Whoever comes after is served as ever."""
        client = self.client()
        client.request("GET", "/after")
        eventually(lambda: self.origin.requests == before + 1)
        if self.origin.begin:
            self.assertEqual(client.recv_head().status, 200)
        client.reset()


LENGTH = response(200, [("Content-Length", str(GIB))])
CHUNKED = response(200, [("Transfer-Encoding", "chunked")])


class ProxyStorm(StormCase):
    def test_download_with_length(self):
        self.storm(LENGTH, 20_000, more=AHEAD, resets=CLIENTS)

    def test_download_chunked(self):
        self.storm(CHUNKED, 20_000, more=AHEAD, chunked=True, resets=CLIENTS)

    def test_download_with_length_in_motion(self):
        self.storm(LENGTH, 4 << 20, more=-1, count=IN_MOTION, resets=IN_MOTION)

    def test_download_chunked_in_motion(self):
        self.storm(CHUNKED, 4 << 20, more=-1, chunked=True, count=IN_MOTION, resets=IN_MOTION)

    def test_silent_stream(self):
        """Nothing moves at that moment: no read and no write tells the gateway that a client has left."""
        self.storm(CHUNKED + b"5\r\nbegin\r\n", 100, resets=CLIENTS)

    def test_no_answer_yet(self):
        self.storm(b"", 0, status=None, resets=CLIENTS)


class TunnelStorm(StormCase):
    command = "tunnel"

    def test_download(self):
        """Who leaves with bytes unread resets; but the FIN comes first, and the upstream may answer it in time."""
        self.storm(LENGTH, 20_000, more=AHEAD, status=None, ends=["complete", "client_reset"])

    def test_download_in_motion(self):
        self.storm(LENGTH, 4 << 20, more=-1, count=IN_MOTION, status=None, ends=["client_reset"])

    def test_silent(self):
        """A FIN is passed on, and the upstream answers it with its own."""
        self.storm(response(200), 19, status=None, resets=CLIENTS // 2, ends=["complete", "client_reset"])


if __name__ == "__main__":
    unittest.main()
