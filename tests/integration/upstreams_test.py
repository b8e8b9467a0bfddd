#!/usr/bin/env python3
"""How much of an upstream is used: connections that may be in use, who waits for one, and how long one lives."""

import time
import unittest

from support import GatewayCase, eventually


def numbered(connection):
    """Answers every request with the number of its connection."""
    connection.serve(lambda conn, head: conn.respond(200, [], b"%d" % conn.number))


class Queue(GatewayCase):
    def start_limited(self, connections, *flags, **how):
        self.start("--upstream-connections-max", str(connections), *flags, **how)

    def ask(self, target):
        client = self.client()
        client.request("GET", target)
        return client

    def wait_requests(self, count):
        eventually(lambda: self.gateway.live()["requests"] == count, 5, f"{count} requests are in progress")

    def test_a_freed_connection_goes_to_who_has_waited_longest(self):
        self.start_limited(1)
        first = self.ask("/1")
        upstream = self.origin.accept()
        self.assertEqual(upstream.recv_head().target, "/1")
        waiting = []
        for i in range(2, 6):
            waiting.append(self.ask(f"/{i}"))
            self.wait_requests(i)
        self.assertTrue(self.origin.no_connection())
        upstream.respond(body=b"1")
        self.assertEqual(first.response().data, b"1")
        for i, client in enumerate(waiting, 2):
            self.assertEqual(upstream.recv_head().target, f"/{i}")
            self.assertTrue(client.open_and_silent())
            upstream.respond(body=b"%d" % i)
            self.assertEqual(client.response().data, b"%d" % i)
        self.assertTrue(self.origin.no_connection(), "one connection is enough for all")

    def test_who_finds_the_queue_full_is_told_at_once(self):
        self.start_limited(1, "--upstream-queue-max", "1")
        first = self.ask("/1")
        upstream = self.origin.accept()
        second = self.ask("/2")
        self.wait_requests(2)
        third = self.ask("/3")
        answer = third.response()
        members = self.assert_problem(answer, 503)
        self.assertRegex(members["detail"], "all connections to the upstream are in use")
        self.assertRegex(answer.head["Retry-After"], "^[1-9][0-9]*$")
        self.log(target="/3", end="upstream_busy", status=503)
        for client, body in ((first, b"1"), (second, b"2")):
            upstream.recv_head()
            upstream.respond(body=body)
            self.assertEqual(client.response().data, body)
        third.request("GET", "/3")
        upstream.recv_head()
        upstream.respond(body=b"3")
        self.assertEqual(third.response().data, b"3", "its own connection was kept")

    def test_who_waits_for_too_long_is_told(self):
        self.start_limited(1, "--upstream-queue-timeout", "300ms")
        first = self.ask("/1")
        upstream = self.origin.accept()
        begun = time.monotonic()
        second = self.ask("/2")
        answer = second.response()
        self.assertGreaterEqual(time.monotonic() - begun, 0.3)
        self.assertRegex(self.assert_problem(answer, 503)["detail"], "none became free in time")
        self.log(target="/2", end="upstream_busy", status=503)
        upstream.recv_head()
        upstream.respond(body=b"1")
        self.assertEqual(first.response().data, b"1")

    def test_a_client_that_leaves_while_it_waits_leaves_its_place(self):
        self.start_limited(1, "--upstream-queue-max", "1")
        first = self.ask("/1")
        upstream = self.origin.accept()
        upstream.recv_head()
        for leave, end in (("close", "client_closed"), ("reset", "client_reset")):
            second = self.ask("/2")
            self.wait_requests(2)
            getattr(second, leave)()
            self.log(target="/2", end=end)
            self.wait_requests(1)
        third = self.ask("/3")
        self.wait_requests(2)
        upstream.respond(body=b"1")
        self.assertEqual(first.response().data, b"1")
        self.assertEqual(upstream.recv_head().target, "/3", "nothing was sent for those who left")
        upstream.respond(body=b"3")
        self.assertEqual(third.response().data, b"3")

    def test_a_connection_that_broke_lets_the_next_one_in(self):
        self.start_limited(1)
        first = self.ask("/1")
        self.origin.accept().reset()
        self.assert_problem(first.response(), 502)
        second = self.ask("/2")
        upstream = self.origin.accept()
        third = self.ask("/3")
        self.wait_requests(2)
        second.reset()  # with its connection
        upstream = self.origin.accept()
        self.assertEqual(upstream.recv_head().target, "/3")
        upstream.respond(body=b"3")
        self.assertEqual(third.response().data, b"3")

    def test_many_clients_share_few_connections(self):
        self.start_limited(3, script=numbered)
        clients = [self.client() for _ in range(50)]
        for _ in range(5):
            for client in clients:
                client.request()
            for client in clients:
                self.assertEqual(client.response().status, 200)
        self.assertLessEqual(len(self.origin.connections), 3)

    def test_a_switched_connection_counts_until_its_end(self):
        self.start_limited(1, "--upgrade", "websocket", "--upstream-queue-max", "0")
        first = self.client()
        first.request("GET", "/1", ("Connection", "Upgrade"), ("Upgrade", "websocket"))
        upstream = self.origin.accept()
        upstream.recv_head()
        upstream.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        self.assertEqual(first.recv_head().status, 101)
        second = self.ask("/2")
        self.assert_problem(second.response(), 503)
        first.reset()
        self.log(target="/1", status=101)
        second.request("GET", "/2")
        upstream = self.origin.accept()
        upstream.recv_head()
        upstream.respond(body=b"2")
        self.assertEqual(second.response().data, b"2")


class TunnelQueue(GatewayCase):
    command = "tunnel"

    def test_a_tunnel_waits_for_another_to_end(self):
        self.start("--upstream-connections-max", "1", "--upstream-queue-max", "1")
        first = self.client()
        upstream = self.origin.accept()
        second = self.client()
        second.send(b"second")
        eventually(lambda: self.gateway.live()["requests"] == 2, 5)
        third = self.client()
        self.assertEqual(third.wait_end().kind, "reset")
        self.log(client=third.name, end="upstream_busy")
        self.assertTrue(self.origin.no_connection())
        first.reset()
        self.assertEqual(upstream.wait_end().kind, "reset")
        self.assertEqual(self.origin.accept().recv_exact(6), b"second")
        second.reset()


class Age(GatewayCase):
    def numbers(self, count):
        client = self.client()
        return [int(client.exchange().data) for _ in range(count)]

    def test_so_many_requests_on_a_connection(self):
        self.start("--upstream-requests-per-connection-max", "3", script=numbered)
        self.assertEqual(self.numbers(8), [1, 1, 1, 2, 2, 2, 3, 3])

    def test_so_long_a_connection_lives(self):
        self.start("--upstream-connection-lifetime-max", "400ms", script=numbered)
        self.assertEqual(self.numbers(2), [1, 1])
        self.assertEqual(self.gateway.live()["upstream_idle"], 1)
        eventually(lambda: self.gateway.live()["upstream_idle"] == 0, 5, "it is closed though nobody asks")
        self.assertEqual(self.numbers(1), [2])

    def test_a_connection_in_use_is_not_cut_for_its_age(self):
        self.start("--upstream-connection-lifetime-max", "1ms")
        client = self.client()
        client.request()
        upstream = self.origin.accept()
        upstream.recv_head()
        self.assertTrue(upstream.open_and_silent(0.05))
        upstream.respond(body=b"whole")
        self.assertEqual(client.response().data, b"whole")
        self.assertEqual(upstream.wait_end().kind, "fin")


if __name__ == "__main__":
    unittest.main()
