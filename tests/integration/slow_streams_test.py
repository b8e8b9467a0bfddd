#!/usr/bin/env python3
"""What the kernel holds of a stream that is taken more slowly than it comes, by its own account (ss -m)."""

import re
import select
import socket
import subprocess
import time
import unittest

from support import GatewayCase, eventually, request, response

BODY = 1 << 30
MOST = 512 * 1024  # slow_stream_bytes, by default
SLACK = 160 * 1024  # a packet of loopback is 64 KiB, and the last one goes beyond a bound on either side
RATE = 200_000  # bytes per second


def held_by_kernel(pid):
    """Bytes in the receive and send buffers of each TCP connection of the process, overhead included."""
    listed = subprocess.run(["ss", "-tnmpH", "state", "established"], capture_output=True, text=True, check=True).stdout
    found = []
    for peers, memory in re.findall(r"^(\S.*)\n\s+.*?skmem:\((.*?)\)", listed, re.MULTILINE):
        if f"pid={pid}," in peers:
            sizes = dict(re.findall(r"([a-z]+)(\d+)", memory))
            found.append((int(sizes["r"]), int(sizes["w"])))
    return found


class SlowStreams(GatewayCase):
    """An origin that sends as fast as it may, all the time."""

    def begin(self, chunked=False, *flags, command="proxy"):
        self.command = command
        framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(BODY))
        self.start_swarm(response(200, [framing]), BODY, chunked)
        self.start("--access-log", "off", *flags)
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # what its kernel takes is no sign that it keeps up
        self.adopt(client)
        client.connect(self.gateway.address)
        client.sendall(request("GET", "/"))
        return client

    def read_for(self, client, seconds, rate):
        clock, begun = select.poll(), time.monotonic()
        for turn in range(1, int(seconds * 20) + 1):
            client.recv(rate // 20)
            clock.poll(max(begun + turn / 20 - time.monotonic(), 0) * 1000)  # for nothing: a clock

    def stands_still(self):
        before = self.origin.sent
        select.poll().poll(300)
        return self.origin.sent == before

    def expect_bounded(self, most=MOST + SLACK):
        held = held_by_kernel(self.gateway.pid)
        self.assertEqual(len(held), 2, held)
        self.assertLessEqual(sum(r + w for r, w in held), most, held)

    def stalled(self, *arguments, **options):
        client = self.begin(*arguments, **options)
        client.recv(1)
        eventually(self.stands_still, 10)
        self.expect_bounded()
        return client

    def slow(self, *arguments, **options):
        client = self.begin(*arguments, **options)
        for _ in range(4):
            self.read_for(client, 1, RATE)
            self.expect_bounded()

    def test_client_that_takes_nothing(self):
        self.stalled()

    def test_client_that_takes_nothing_in_chunks(self):
        self.stalled(True)

    def test_client_that_takes_nothing_copied(self):
        self.stalled(False, "--splice-pipes-max", "0")

    def test_client_that_takes_nothing_of_a_tunnel(self):
        self.stalled(command="tunnel")

    def test_slow_client(self):
        self.slow()

    def test_slow_client_in_chunks(self):
        self.slow(True)

    def test_slow_client_of_a_tunnel(self):
        self.slow(command="tunnel")

    def test_client_that_was_fast_gives_back_what_it_held(self):
        """What its source had been offered comes, and is taken in time, and no more of that size is offered."""
        client = self.begin()
        client.settimeout(10)
        taken = 0
        while taken < 64 << 20:
            taken += len(client.recv(1 << 20))
        eventually(self.stands_still, 10)
        while sum(r + w for r, w in held_by_kernel(self.gateway.pid)) > MOST + SLACK:
            self.assertLess(taken, 256 << 20)
            for _ in range(8):
                taken += len(client.recv(64 * 1024))
            select.poll().poll(60)

    def test_without_a_bound_the_kernel_holds_megabytes(self):
        """The control: what is measured is there."""
        client = self.begin(False, "--slow-stream-bytes", "none")
        client.recv(1)
        eventually(self.stands_still, 10)
        self.assertGreater(sum(r + w for r, w in held_by_kernel(self.gateway.pid)), 2 * MOST)


if __name__ == "__main__":
    unittest.main()
