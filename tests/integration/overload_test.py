#!/usr/bin/env python3
"""A thousand clients before a gateway with 64 descriptors: it serves those it can, tells the others, and rests
meanwhile.

See limits_test.py for the limits it sets itself. What a full disk does to a sink is tested in
headgate/io/files_test.cpp.
"""

import select
import socket
import threading
import time
import unittest

from support import SANITIZED, SLACK, HeldCase, eventually, process, request

DESCRIPTORS = 64
CLIENTS = 1000
AT_REST = 0.05  # of a second's CPU: more is more than waiting


class Client:
    """One of a thousand: everything it got, and how that ended."""

    def __init__(self, address, data):
        self.sock = socket.socket()
        self.sock.settimeout(20)
        self.got, self.end = bytearray(), None
        try:
            self.sock.connect(address)  # it may be refused before connect() has returned
            self.sock.sendall(data)
        except ConnectionError:
            self.end = "reset"

    def look(self):
        """Takes what has come, without waiting. Whether it is still connected."""
        self.sock.setblocking(False)
        try:
            while self.end is None:
                data = self.sock.recv(65536)
                self.got += data
                if not data:
                    self.end = "fin"
        except BlockingIOError:
            pass
        except ConnectionError:
            self.end = "reset"
        return self.end is None

    def was_refused(self):
        """Told so, in full. Who sends its request only after that meets a closed socket: then a reset follows the answer."""
        return (self.end is not None and self.got.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: " in self.got
                and self.got.endswith(b"}\n"))

    def close(self):
        self.sock.close()


@unittest.skipIf(SANITIZED, "a sanitizer opens pipes to look at memory, and takes their want for a broken object")
class OverloadCase(HeldCase):
    def setUp(self):
        super().setUp()
        assert process.raise_descriptor_limit(2 * CLIENTS + 200), "this test needs more descriptors"

    def start_small(self, *flags, **how):
        return self.start(*flags, nofile=(DESCRIPTORS, DESCRIPTORS), **how)

    def crowd(self, count, data):
        clients = []
        for _ in range(count):
            clients.append(Client(self.gateway.address, data))
            self.adopt(clients[-1])
        return clients

    def settled(self, clients):
        """Those who are still connected when no more is said or ended for a while: longer than a worker without any
        descriptor pauses.
        """
        seen = [None]

        def quiet():
            now = [client.look() for client in clients], sum(len(client.got) for client in clients)
            same, seen[0] = now == seen[0], now
            select.poll().poll(300)
            return same

        eventually(quiet, 20 * SLACK)
        return [client for client in clients if client.end is None]

    def assert_rests(self):
        self.assertLess(self.cpu_in_a_second(), AT_REST)

    def assert_normal_soon(self, clients):
        """The clients leave, and within a second whoever comes is served."""
        self.release.set()
        for client in clients:
            client.close()
        eventually(self.is_served, 1 * SLACK, "who comes when the others have left is served")


class AThousandClients(OverloadCase):
    def check(self, workers):
        self.start_small(script=self.hold, workers=workers)
        clients = self.crowd(CLIENTS, request("GET", "/"))
        waiting = self.settled(clients)
        self.assertGreater(len(waiting), 10, "those it can serve, it does")
        self.assertLess(len(waiting), DESCRIPTORS)
        others = [client for client in clients if client.end is not None]
        unclear = [client for client in others if not client.was_refused() and client.end != "fin"]
        self.assertEqual(len(unclear), 0, f"of {len(others)}; the first got {unclear and bytes(unclear[0].got)!r}")
        told = sum(client.was_refused() and client.end == "fin" for client in others)
        self.assertGreater(told, 0.9 * len(others), "nearly all are told")
        self.assertLessEqual(sum(self.gateway.descriptors().values()), DESCRIPTORS)
        self.assert_rests()

        self.release.set()
        self.settled(waiting)
        good = sum(client.got.startswith(b"HTTP/1.1 200 ") and client.got.endswith(b"ok") for client in waiting)
        self.assertEqual(good, len(waiting), "nobody who was being served is disturbed")
        self.assert_normal_soon(clients)

    def test_one_worker(self):
        self.check(1)

    def test_two_workers(self):
        self.check(2)

    def test_wave_after_wave(self):
        """Full, empty, full: each time as the first."""
        self.start_small(script=self.hold)
        counts = []
        for _ in range(3):
            self.release.clear()
            clients = self.crowd(300, request("GET", "/"))
            counts.append(len(self.settled(clients)))
            self.assert_normal_soon(clients)
            self.leaks.wait_idle()
        self.assertGreaterEqual(min(counts), max(counts) - 2, counts)


class NoDescriptorForTheUpstream(OverloadCase):
    def test_the_request_is_told_and_the_next_one_served(self):
        """Silent clients hold all descriptors but the client's own; there is none for an upstream connection."""
        self.release.set()
        self.start_small(script=self.hold)
        early = self.client()
        silent = self.crowd(DESCRIPTORS, b"")
        held = self.settled(silent)
        self.assertGreater(len(held), DESCRIPTORS // 2)
        early.request("GET", "/early")
        answer = early.response()
        self.assert_problem(answer, 503)
        self.assertRegex(answer.head["Retry-After"], "^[1-9][0-9]*$")
        self.log(target="/early", end="overloaded", status=503)
        self.assert_rests()
        for client in held[:4]:
            client.close()
        eventually(self.is_served, 1 * SLACK)


class NoDescriptorForAPipe(OverloadCase):
    BODY = bytes(range(256)) * (40 << 10)  # 10 MiB

    def test_the_body_is_copied_instead(self):
        """A large body, which the kernel would move through a pipe, while there is no descriptor for one."""
        body = self.BODY
        begun, go = threading.Event(), threading.Event()
        self.addCleanup(go.set)

        def script(conn):
            conn.recv_head()
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            begun.set()
            go.wait(20)
            conn.send(body)

        self.start_small(script=script)
        client = self.client()
        client.request()
        head = client.recv_head()
        self.assertTrue(begun.wait(5))
        self.settled(self.crowd(DESCRIPTORS, b""))
        # The one in reserve is there, and no other.
        eventually(lambda: sum(self.gateway.descriptors().values()) == DESCRIPTORS, 5 * SLACK)
        go.set()
        self.assertEqual(client.recv_body(head).data, body)
        self.log(end="complete", down=len(body))


class TunnelOverload(OverloadCase):
    command = "tunnel"

    def test_those_it_cannot_serve_are_closed(self):
        self.start_small()
        clients = self.crowd(300, b"")
        waiting = self.settled(clients)
        self.assertGreater(len(waiting), 10)
        self.assertEqual({client.end for client in clients if client.end is not None} - {"fin", "reset"}, set())
        self.assertEqual([bytes(client.got) for client in clients if client.got], [])
        self.assert_rests()
        for client in clients:
            client.close()
        for connection in list(self.origin.connections):
            connection.wait_end()
            connection.close()
        eventually(lambda: self.gateway.live()["connections"] == 0, 1 * SLACK)
        again = self.client()
        eventually(lambda: self.tunnel_works(again), 5)
        again.reset()

    def tunnel_works(self, client):
        up = self.origin.connections[-1]
        if up.closed_at is not None:
            return False
        client.send(b"hello")
        return up.recv_exact(5) == b"hello"


if __name__ == "__main__":
    unittest.main()
