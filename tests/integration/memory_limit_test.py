#!/usr/bin/env python3
"""The memory limit bounds what all streams hold together: as it comes nearer they get smaller buffers, at it what is new
is refused, and what has begun goes on.
"""

import contextlib
import os
import pathlib
import select
import socket
import unittest

from support import SANITIZED, Crowd, GatewayCase, HeldCase, eventually, request, response

MIB = 1 << 20
LIMIT = 16 * MIB
FLOW = 16 * 1024  # what a request counts for beside its buffers
BODY = response(200, [("Content-Length", str(64 * MIB))])
CHUNKED = response(200, [("Transfer-Encoding", "chunked")])


class Squeezed(GatewayCase):
    """Readers that take nothing, of bodies as fast as they are taken."""

    def stalled(self, count, *flags, begin=BODY, chunked=False, limit=LIMIT, **how):
        self.start_swarm(begin, 64 * MIB, chunked, send_buffer=65536)
        self.start("--access-log", "off", "--memory-limit", str(limit), "--stream-buffer", "1MiB", *flags, workers=2, **how)
        self.rest = self.gateway.resident_bytes()
        crowd = Crowd(self.gateway.address, count, request("GET", "/"), receive_buffer=16384)
        self.adopt(crowd)
        crowd.receive(1000)
        return crowd

    def all_blocked(self):
        """What the gateway has in use when nothing moves any more."""
        clock, quiet = select.poll(), 0
        for _ in range(200):
            before = self.origin.sent
            clock.poll(100)
            quiet = quiet + 1 if self.origin.sent == before else 0
            if quiet == 5:
                return self.gateway.live()
        raise AssertionError("the streams do not stand still")

    def assert_bounded(self, live, count):
        self.assertEqual(live["requests"], count)
        self.assertLessEqual(live["memory"], LIMIT)
        self.assertGreater(live["memory"], LIMIT // 2, "the limit has been tried")

    def test_copied(self):
        self.stalled(300, "--splice-pipes-max", "0")
        self.assert_bounded(self.all_blocked(), 300)
        self.assert_room_for_more()

    def test_spliced(self):
        self.stalled(300)
        self.assert_bounded(self.all_blocked(), 300)
        self.assert_room_for_more()

    def test_chunked(self):
        self.stalled(300, begin=CHUNKED, chunked=True)
        self.assert_bounded(self.all_blocked(), 300)
        self.assert_room_for_more()

    def assert_room_for_more(self):
        """Those that hold much leave room for a client that comes late."""
        with socket.create_connection(self.gateway.address) as sock:
            sock.sendall(request("GET", "/"))
            sock.settimeout(10)
            self.assertTrue(sock.recv(100).startswith(b"HTTP/1.1 200"))

    def test_goes_on_when_they_read(self):
        crowd = self.stalled(100, "--splice-pipes-max", "0")
        before = self.all_blocked()
        crowd.receive(2 * MIB)
        self.assertLessEqual(self.gateway.live()["memory"], LIMIT)
        self.assertGreater(before["memory"], 100 * FLOW)

    @unittest.skipIf(SANITIZED, "a sanitizer's own memory would be counted")
    def test_in_a_control_group(self):
        """What the kernel says: half as much again as the limit is enough for all streams, and nobody is killed."""
        with control_group(3 * LIMIT) as (group, most), contextlib.ExitStack() as ending:
            ending.callback(self.setUp)
            ending.callback(self.tearDown)
            crowd = self.stalled(200, "--splice-pipes-max", "0", group=group)
            self.assertLessEqual(self.all_blocked()["memory"], LIMIT)
            crowd.receive(MIB)
            self.assertIsNone(self.gateway.process.poll())
            self.assertLess(self.gateway.resident_bytes() - self.rest, 1.5 * LIMIT)
            self.assertLessEqual(most(), 3 * LIMIT)


class Full(HeldCase):
    def fill(self):
        """Requests that hold nothing but their place, until there is no more."""
        self.start("--access-log", "off", "--memory-limit", "8MiB", script=self.hold)
        crowd = Crowd(self.gateway.address, 400, request("GET", "/"))
        self.adopt(crowd)
        eventually(lambda: self.gateway.live()["requests"] == 400, 10)
        self.assertLessEqual(self.gateway.live()["memory"], 8 * MIB)
        more = Crowd(self.gateway.address, 20, request("GET", "/"))
        self.adopt(more)
        return crowd, more

    def test_refuses(self):
        crowd, more = self.fill()
        refused = 0
        for sock in more.socks[-8:]:
            sock.settimeout(10)
            answer = sock.recv(4000)
            self.assertTrue(answer.startswith(b"HTTP/1.1 503"), answer)
            self.assertIn(b"\r\nRetry-After: 1\r\n", answer)
            self.assertIn(b"memory limit", answer)
            refused += 1
        self.assertEqual(refused, 8)
        self.release.set()
        for sock in crowd.socks:
            self.assertTrue(sock.recv(4000).startswith(b"HTTP/1.1 200"))
        crowd.close()
        more.close()
        self.leaks.wait_idle()
        self.assertEqual(self.client().exchange().status, 200)


class FullTunnel(GatewayCase):
    command = "tunnel"

    def test_resets(self):
        self.start("--access-log", "off", "--memory-limit", "8MiB", script=lambda conn: conn.wait_end())
        socks = []
        self.addCleanup(lambda: [s.close() for s in socks])
        for _ in range(8 * MIB // FLOW + 20):
            socks.append(socket.create_connection(self.gateway.address))
        last = socks[-1]
        last.settimeout(10)
        with self.assertRaises(ConnectionResetError):
            last.recv(1)
        self.assertLessEqual(self.gateway.live()["memory"], 8 * MIB)
        for s in socks:
            s.close()


@contextlib.contextmanager
def control_group(limit):
    """A control group with a limit on memory (version 1 or 2): its path, and what tells the most it ever had."""
    v1, v2 = pathlib.Path("/sys/fs/cgroup/memory"), pathlib.Path("/sys/fs/cgroup")
    root, names = (v1, ("memory.limit_in_bytes", "memory.max_usage_in_bytes")) if v1.exists() else (v2, ("memory.max", "memory.peak"))
    group = root / f"headgate-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / names[0]).write_text(str(limit), encoding="ascii")
    except OSError as e:
        with contextlib.suppress(OSError):
            group.rmdir()
        raise unittest.SkipTest(f"no control group can be made: {e}") from None
    try:
        yield str(group), lambda: int((group / names[1]).read_text(encoding="ascii"))
    finally:
        eventually(lambda: not (group / "cgroup.procs").read_text(encoding="ascii").strip(), 10)
        group.rmdir()


if __name__ == "__main__":
    unittest.main()
