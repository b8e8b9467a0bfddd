#!/usr/bin/env python3
"""SIGTERM: nothing new, what runs may end, what does not is ended; and the exit code is 0."""

import signal
import time
import unittest

from support import SLACK, GatewayCase, chunk, eventually, request, response

GIB = 1 << 30


class DrainCase(GatewayCase):
    def term(self, number=signal.SIGTERM):
        self.gateway.signal(number)
        return time.monotonic()

    def assert_exits(self, since, least=0.0, most=1.0):
        self.assertEqual(self.gateway.wait_exit(most * SLACK + 5), 0)
        took = time.monotonic() - since
        self.assertLess(took, most * SLACK)
        self.assertGreaterEqual(took, least)

    def download(self, drain_timeout="5s", *flags):
        """A request whose response has begun."""
        self.start("--drain-timeout", drain_timeout, *flags)
        client = self.client()
        client.request()
        up = self.origin.accept()
        up.recv_head()
        up.send(response(200, [("Content-Length", "10")]) + b"half ")
        self.assertEqual(client.recv_head().status, 200)
        self.assertEqual(client.recv_exact(5), b"half ")
        return client, up


class Drain(DrainCase):
    def test_at_rest(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                self.start(workers=2)
                self.assert_exits(self.term(number))
                self.gateway.stop()

    def test_idle_connections_are_closed_at_once(self):
        self.start(script=lambda conn: conn.serve(lambda c, head: c.respond(200, [], b"ok")), workers=2)
        used = [self.client() for _ in range(10)]
        for client in used:
            self.assertEqual(client.exchange().data, b"ok")
        new = [self.client() for _ in range(10)]
        eventually(lambda: self.gateway.live()["connections"] == 20)
        since = self.term()
        for client in used + new:
            self.assertTrue(client.is_closed(1))
        self.assert_exits(since)
        eventually(lambda: all(connection.end for connection in self.origin.connections))
        for connection in self.origin.connections:
            self.assertEqual(connection.end.kind, "fin")

    def test_a_request_in_progress_ends_well(self):
        client, up = self.download()
        since = self.term()
        eventually(self.gateway.refuses, 1 * SLACK)
        self.assertTrue(client.open_and_silent(0.2))
        up.send(b"whole")
        self.assertEqual(client.recv_exact(5), b"whole")
        self.assertTrue(client.is_closed(1), "there will be no other request")
        self.assert_exits(since, most=2)
        self.log(status=200, end="complete", down=10)

    def test_an_answer_that_begins_while_draining_says_close(self):
        self.start("--drain-timeout", "5s")
        client = self.client()
        client.request()
        up = self.origin.accept()
        up.recv_head()
        since = self.term()
        eventually(self.gateway.refuses, 1 * SLACK)
        up.respond(body=b"late")
        answer = client.response()
        self.assertEqual((answer.data, answer.head.get("Connection")), (b"late", "close"))
        self.assertTrue(client.is_closed(1))
        self.assert_exits(since, most=2)
        self.assertIn(up.wait_end(1).kind, ("fin", "reset"))

    def test_a_head_on_its_way_is_still_served(self):
        self.start("--drain-timeout", "5s")
        client = self.client()
        client.send(b"GET /late HTTP/1.1\r\nHost: te")
        eventually(lambda: self.gateway.live()["connections"] == 1)
        self.assertTrue(client.open_and_silent())
        since = self.term()
        eventually(self.gateway.refuses, 1 * SLACK)
        client.send(b"st.example\r\n\r\n")
        up = self.origin.accept()
        self.assertEqual(up.recv_head().target, "/late")
        up.respond(body=b"ok")
        answer = client.response()
        self.assertEqual((answer.data, answer.head.get("Connection")), (b"ok", "close"))
        self.assert_exits(since, most=2)

    def test_an_upload_in_progress_ends_well(self):
        self.start("--drain-timeout", "5s")
        client = self.client()
        client.send(request("POST", "/", [("Transfer-Encoding", "chunked")]) + chunk(b"first"))
        up = self.origin.accept()
        head = up.recv_head()
        since = self.term()
        eventually(self.gateway.refuses, 1 * SLACK)
        client.send(chunk(b"second") + b"0\r\n\r\n")
        self.assertEqual(up.recv_body(head).data, b"firstsecond")
        up.respond(body=b"got it")
        self.assertEqual(client.response().data, b"got it")
        self.assert_exits(since, most=2)

    def test_pipelined_requests_are_not_begun(self):
        self.start("--drain-timeout", "5s")
        client = self.client()
        client.send(request("GET", "/1") + request("GET", "/2"))
        up = self.origin.accept()
        up.recv_head()
        since = self.term()
        eventually(self.gateway.refuses, 1 * SLACK)
        up.respond(body=b"one")
        answer = client.response()
        self.assertEqual((answer.data, answer.head.get("Connection")), (b"one", "close"))
        client.wait_end(2)
        client.close()
        self.assert_exits(since, most=3)
        self.assertTrue(self.origin.no_connection())

    def test_a_stuck_response_is_reset_at_the_deadline(self):
        client, up = self.download("400ms")
        since = self.term()
        self.assert_gone(client, since + 0.4, "reset", 0.5)
        self.assertEqual(up.wait_end(1).kind, "reset")
        self.assert_exits(since, 0.35, 1.5)
        self.log(status=200, end="drained", down=5)

    def test_a_stuck_request_is_answered_at_the_deadline(self):
        self.start("--drain-timeout", "400ms")
        client = self.client()
        client.request()
        up = self.origin.accept()
        up.recv_head()
        since = self.term()
        answer = client.response()
        self.assert_problem(answer, 503)
        self.assertEqual(answer.head["Connection"], "close")
        self.assertIn("Retry-After", answer.head)
        self.assertEqual(up.wait_end(1).kind, "reset")
        client.close()
        self.assert_exits(since, 0.35, 2)
        self.log(status=503, end="drained")

    def test_a_stalled_client_is_reset_at_the_deadline(self):
        client, up = self.download("400ms", "--client-idle-timeout", "60s")
        up.close()
        client.wait_end()
        client.close()
        client = self.client()
        client.request()
        up = self.origin.accept()
        up.recv_head()
        up.send(response(200, [("Content-Length", str(GIB))]))
        up.fill(b"x" * 65536)
        since = self.term()
        up.wait_end_unread(2)
        self.assertEqual(up.wait_end().kind, "reset")
        self.assertEqual(client.wait_end(2).kind, "reset")
        self.assert_exits(since, 0.35, 1.5)
        self.log(status=200, end="drained")

    def test_a_second_signal_ends_at_once(self):
        client, up = self.download("30s")
        self.term()
        eventually(self.gateway.refuses, 1 * SLACK)
        self.assertTrue(client.open_and_silent(0.1))
        since = self.term()
        self.assert_exits(since, most=1.5)
        self.assertEqual(client.wait_end(1).kind, "reset")
        self.assertEqual(up.wait_end(1).kind, "reset")

    def test_what_is_alive_is_told_while_draining(self):
        client, up = self.download("30s")
        since = self.term()
        eventually(self.gateway.refuses, 1 * SLACK)
        self.assertEqual(self.gateway.live()["requests"], 1)
        up.send(b"whole")
        client.recv_exact(5)
        client.close()
        self.assert_exits(since, most=3)

    def test_workers_that_have_ended_already(self):
        """One worker is done long before the other: signals and reports go on."""
        self.start("--drain-timeout", "700ms", workers=2)
        client = self.client()
        client.request()
        up = self.origin.accept()
        up.recv_head()
        since = self.term()
        for _ in range(5):
            self.assertEqual(self.gateway.live()["requests"], 1)
        self.assert_problem(client.response(), 503)
        client.close()
        self.assert_exits(since, 0.6, 2)


class DrainTunnel(DrainCase):
    command = "tunnel"

    def pair(self, *flags):
        self.start(*flags)
        client = self.client()
        up = self.origin.accept()
        client.send(b"x")
        up.recv_exact(1)
        return client, up

    def test_a_tunnel_may_end(self):
        client, up = self.pair("--drain-timeout", "5s")
        since = self.term()
        eventually(self.gateway.refuses, 1 * SLACK)
        up.send(b"still")
        self.assertEqual(client.recv_exact(5), b"still")
        client.half_close()
        up.wait_end()
        up.half_close()
        self.assertEqual(client.wait_end().kind, "fin")
        self.assert_exits(since, most=2)
        self.log(end="complete")

    def test_a_tunnel_is_reset_at_the_deadline(self):
        client, up = self.pair("--drain-timeout", "400ms")
        since = self.term()
        self.assertEqual(client.wait_end(2).kind, "reset")
        self.assertEqual(up.wait_end(1).kind, "reset")
        self.assert_exits(since, 0.35, 1.5)
        self.log(end="drained")


if __name__ == "__main__":
    unittest.main()
