#!/usr/bin/env python3
"""At its limits the gateway says so, does not spin, and recovers by itself."""

import time
import unittest

from support import SANITIZED, SLACK, Client, Cut, GatewayCase, HeldCase, eventually, request

BUSY = 0.3  # seconds of CPU in one second that are more than waiting


class ConnectionsMax(HeldCase):
    def busy(self, count, *flags, **how):
        self.start("--connections-max", str(count), *flags, script=self.hold, **how)
        clients = [self.client() for _ in range(count)]
        for client in clients:
            client.request()
        eventually(lambda: self.gateway.live()["requests"] == count)
        return clients

    def test_a_clear_answer_and_recovery(self):
        clients = self.busy(4)
        for i in range(50):
            extra = self.client()
            if i % 2:
                extra.send(request("GET", "/extra"))
            answer = extra.response()
            members = self.refused(answer)
            self.assertIn("connections", members["detail"])
            extra.close()
        self.assertEqual(self.gateway.live()["connections"], 4)
        self.release.set()
        for client in clients:
            self.assertEqual(client.response().data, b"ok")
        clients[0].close()
        eventually(lambda: self.gateway.live()["connections"] == 3, 1)
        self.assertEqual(self.client().exchange().data, b"ok")

    def refused(self, answer):
        self.assertEqual(answer.status, 503)
        self.assertRegex(answer.head["Retry-After"], "^[1-9][0-9]*$")
        self.assertEqual(answer.head["Connection"], "close")
        from support import problem
        return problem(answer)

    def test_idle_connections_count_too(self):
        self.release.set()
        self.start("--connections-max", "2", script=self.hold)
        clients = [self.client() for _ in range(2)]
        for client in clients:
            self.assertEqual(client.exchange().data, b"ok")
        self.refused(self.client().response())
        self.assertEqual(clients[0].exchange().data, b"ok")

    def test_the_limit_is_each_workers(self):
        self.start("--connections-max", "3", workers=2)
        clients = [Client(self.gateway.address) for _ in range(40)]
        self.adopt(*clients)
        eventually(lambda: self.gateway.live()["connections"] == 6, 5)
        refused = [client for client in clients if not client.open_and_silent(0)]
        self.assertEqual(len(refused), 34)
        for client in refused:
            self.refused(client.response())


class TunnelConnectionsMax(GatewayCase):
    command = "tunnel"

    def test_more_are_closed(self):
        self.start("--connections-max", "2")
        clients = [self.client() for _ in range(2)]
        ups = [self.origin.accept() for _ in clients]
        extra = self.client()
        self.assertEqual(extra.wait_end(2).bytes, 0)
        clients[0].reset()
        ups[0].wait_end()
        eventually(lambda: self.gateway.live()["connections"] == 1, 1)
        again, up = self.client(), self.origin.accept()
        again.send(b"served")
        self.assertEqual(up.recv_exact(6), b"served")
        again.reset()
        clients[1].reset()
        self.assertTrue(self.origin.no_connection())


@unittest.skipIf(SANITIZED, "a sanitizer opens pipes to look at memory, and takes their want for a broken object")
class Descriptors(HeldCase):
    LIMIT = 64
    CLIENTS = 200

    def crowd(self):
        self.start("--header-timeout", "30s", script=self.hold, nofile=(self.LIMIT, self.LIMIT))
        clients = []
        for _ in range(self.CLIENTS):
            client = self.client()
            clients.append(client)
            try:
                client.request()
            except Cut:
                pass
        return clients

    def settled(self, clients):
        """How many have been answered by now, when no more are."""
        seen = [-1]

        def quiet():
            now = sum(not client.open_and_silent(0) for client in clients)
            same, seen[0] = now == seen[0], now
            return same

        eventually(quiet, 10)
        return seen[0]

    def test_shed_without_spinning_and_recover(self):
        clients = self.crowd()
        self.settled(clients)
        self.assertLess(self.cpu_in_a_second(), BUSY)
        answered = [client for client in clients if not client.open_and_silent(0)]
        self.assertGreater(len(answered), self.CLIENTS - self.LIMIT, "who is not served is told so")
        for client in answered:
            self.assertEqual(client.response().status, 503)
        for client in clients:
            client.close()
        self.release.set()
        begun = time.monotonic()
        eventually(self.is_served, 1 * SLACK)
        self.assertLess(time.monotonic() - begun, 1 * SLACK)

    def test_those_who_are_served_are_not_disturbed(self):
        clients = self.crowd()
        self.settled(clients)
        waiting = [client for client in clients if client.open_and_silent(0)]
        self.assertGreater(len(waiting), 10)
        self.release.set()
        statuses = [client.response().status for client in waiting]
        self.assertGreaterEqual(statuses.count(200), 10)
        self.assertLessEqual(set(statuses), {200, 503})

    def test_idle_connections_use_up_all_descriptors(self):
        """Clients that say nothing hold all descriptors. Those who come then are refused; when some leave, others are served."""
        self.release.set()
        self.start(script=self.hold, nofile=(self.LIMIT, self.LIMIT))
        clients = [self.client() for _ in range(self.CLIENTS)]
        self.settled(clients)
        self.assertLess(self.cpu_in_a_second(), BUSY)
        silent = [client for client in clients if client.open_and_silent(0)]
        self.assertGreater(len(silent), self.LIMIT // 2)
        self.assertLess(len(silent), self.LIMIT)
        for client in silent[:5]:
            client.close()
        eventually(self.is_served, 1 * SLACK)


if __name__ == "__main__":
    unittest.main()
