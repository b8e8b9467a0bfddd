#!/usr/bin/env python3
"""Upgrade and CONNECT: only what is allowed, nothing before the upstream agrees, and then a tunnel."""

import base64
import hashlib
import os
import signal
import unittest

from support import GatewayCase, request, response

KEY = base64.b64encode(bytes(range(16))).decode()
ACCEPT = base64.b64encode(hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
ASK = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")]
AGREE = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\n\r\n")


def frame(payload, mask=None):
    """A text frame of up to 125 bytes (RFC 6455, section 5.2)."""
    head = bytes([0x81, len(payload) | (0x80 if mask else 0)])
    if not mask:
        return head + payload
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


class UpgradeCase(GatewayCase):
    def switched(self, *flags, early=b"", late=b""):
        """A client and an upstream that speak WebSocket. `early` follows the request, `late` the 101."""
        self.start("--upgrade", "websocket", *flags)
        client = self.client()
        client.send(request("GET", "/chat", ASK) + early)
        upstream = self.origin.accept()
        upstream.recv_head()
        self.assertTrue(upstream.open_and_silent(), "no byte of the client before the 101")
        upstream.send(AGREE + late)
        self.assertEqual(client.recv_head().status, 101)
        self.adopt(upstream)  # when only the client ends, the tunnel goes on
        return client, upstream


class WebSocket(UpgradeCase):
    def test_the_handshake_passes_both_ways(self):
        self.start("--upgrade", "websocket")
        client = self.client()
        client.send(request("GET", "/chat?room=1", ASK))
        upstream = self.origin.accept()
        head = upstream.recv_head()
        self.assertEqual((head.method, head.target), ("GET", "/chat?room=1"))
        self.assertEqual(head["Connection"], "Upgrade")
        self.assertEqual(head["Upgrade"], "websocket")
        self.assertEqual(head["Sec-WebSocket-Key"], KEY)
        upstream.send(AGREE)
        answer = client.recv_head()
        self.assertEqual(answer.status, 101)
        self.assertEqual(answer["Connection"], "Upgrade")
        self.assertEqual(answer["Upgrade"], "websocket")
        self.assertEqual(answer["Sec-WebSocket-Accept"], ACCEPT)
        self.assertIn("headgate", answer["Via"])
        mask = os.urandom(4)
        client.send(frame(b"hello", mask))
        self.assertEqual(upstream.recv_exact(11), frame(b"hello", mask))
        upstream.send(frame(b"world"))
        self.assertEqual(client.recv_exact(7), frame(b"world"))
        upstream.close()
        self.assertTrue(client.is_closed())
        client.close()
        self.log(method="GET", target="/chat?room=1", status=101, up=11, down=7, end="complete")

    def test_what_came_too_early_waits_and_then_goes_first(self):
        client, upstream = self.switched(early=b"early", late=b"late")
        self.assertEqual(client.recv_exact(4), b"late")
        client.send(b"-then")
        self.assertEqual(upstream.recv_exact(10), b"early-then")

    def test_half_close(self):
        client, upstream = self.switched()
        client.send(b"last words")
        client.half_close()
        self.assertEqual(upstream.recv_to_end(), b"last words")
        upstream.send(b"answer" * 1000)
        upstream.close()
        self.assertEqual(client.recv_to_end(), b"answer" * 1000)
        self.log(status=101, up=10, down=6000, end="complete")

    def test_bulk_both_ways(self):
        client, upstream = self.switched()
        data = os.urandom(1 << 20) * 8
        upstream.in_background(lambda: (upstream.send(data), upstream.half_close()))
        client.in_background(lambda: (client.send(data), client.half_close()))
        self.assertEqual(hashlib.sha256(client.recv_to_end()).digest(), hashlib.sha256(data).digest())
        self.assertEqual(hashlib.sha256(upstream.recv_to_end()).digest(), hashlib.sha256(data).digest())
        self.log(status=101, up=len(data), down=len(data), end="complete")

    def test_a_reset_of_either_side_ends_both(self):
        for leaver in ("client", "upstream"):
            with self.subTest(leaver):
                self.start("--upgrade", "websocket")
                client, upstream = self.client(), None
                client.send(request("GET", "/", ASK))
                upstream = self.origin.accept()
                upstream.recv_head()
                upstream.send(AGREE)
                client.recv_head()
                first, second = (client, upstream) if leaver == "client" else (upstream, client)
                first.reset()
                self.assertEqual(second.wait_end(1).kind, "reset")
                self.log(status=101, end=f"{leaver}_reset")
                self.tearDown()
                self.setUp()

    def test_its_own_idle_limit(self):
        client, upstream = self.switched("--upgrade-idle-timeout", "400ms", "--client-idle-timeout", "1h")
        self.assertEqual(client.wait_end(5).kind, "reset")
        self.assertEqual(upstream.wait_end(1).kind, "reset")
        self.log(status=101, end="client_idle")

    def test_the_idle_limits_of_messages_do_not_count(self):
        client, upstream = self.switched("--client-idle-timeout", "100ms", "--upstream-idle-timeout", "100ms",
                                         "--keep-alive-timeout", "100ms", "--first-byte-timeout", "100ms")
        self.assertTrue(client.open_and_silent(0.5))
        client.send(b"still here")
        self.assertEqual(upstream.recv_exact(10), b"still here")

    def test_a_client_that_leaves_before_the_101(self):
        self.start("--upgrade", "websocket")
        client = self.client()
        client.send(request("GET", "/", ASK))
        upstream = self.origin.accept()
        upstream.recv_head()
        client.close()
        self.assertEqual(upstream.wait_end(1).kind, "reset")
        self.log(end="client_closed")

    def test_a_drain_that_runs_out(self):
        client, upstream = self.switched("--drain-timeout", "300ms")
        self.gateway.signal(signal.SIGTERM)
        self.assertEqual(client.wait_end(5).kind, "reset")
        self.assertEqual(upstream.wait_end(1).kind, "reset")
        self.assertEqual(self.gateway.wait_exit(), 0)


class NotSwitched(UpgradeCase):
    def test_another_answer_is_an_ordinary_one(self):
        self.start("--upgrade", "websocket")
        client = self.client()
        for status in (200, 403, 426):
            client.send(request("GET", "/", ASK))
            if status == 200:
                upstream = self.origin.accept()
            upstream.recv_head()
            upstream.send(response(status, body=b"no"))
            answer = client.response()
            self.assertEqual((answer.status, answer.data), (status, b"no"))
        self.assertEqual(len(self.origin.connections), 1, "and the connections go on")

    def test_it_must_be_allowed(self):
        for flags, ask in [([], ASK), (["--upgrade", "other"], ASK),
                           (["--upgrade", "websocket"], [("Connection", "Upgrade"), ("Upgrade", "h2c")]),
                           (["--upgrade", "websocket"], [("Upgrade", "websocket")])]:
            with self.subTest(flags=flags, ask=ask):
                self.start(*flags)
                client = self.client()
                client.send(request("GET", "/", ask))
                upstream = self.origin.accept()
                head = upstream.recv_head()
                self.assertIsNone(head.get("Upgrade"))
                self.assertIsNone(head.get("Connection"))
                upstream.send(response(200, body=b"plain"))
                self.assertEqual(client.response().data, b"plain")
                self.tearDown()
                self.setUp()

    def test_of_several_only_what_is_allowed_is_asked_for(self):
        self.start("--upgrade", "WebSocket,irc")
        client = self.client()
        client.send(request("GET", "/", [("Connection", "upgrade"), ("Upgrade", "h2c, IRC/6.9, WEBSOCKET")]))
        upstream = self.origin.accept()
        self.assertEqual(upstream.recv_head()["Upgrade"], "websocket")
        upstream.send(response(200, body=b"no"))
        self.assertEqual(client.response().data, b"no")

    def test_with_a_body_it_is_an_ordinary_request(self):
        self.start("--upgrade", "websocket")
        client = self.client()
        client.send(request("POST", "/", ASK, b"body"))
        upstream = self.origin.accept()
        head, body = upstream.recv_request()
        self.assertEqual((head.get("Upgrade"), body.data), (None, b"body"))
        upstream.send(response(200, body=b"ok"))
        self.assertEqual(client.response().data, b"ok")

    def test_a_101_that_does_not_fit(self):
        for answer in (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
                       b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"):
            self.start("--upgrade", "websocket")
            client = self.client()
            client.send(request("GET", "/", ASK))
            upstream = self.origin.accept()
            upstream.recv_head()
            upstream.send(answer)
            self.assertEqual(client.response().status, 502)
            self.log(status=502, end="upstream_protocol")
            self.tearDown()
            self.setUp()


class Connect(GatewayCase):
    ASK = b"CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n"

    def test_refused_unless_enabled(self):
        self.start()
        client = self.client()
        client.send(self.ASK)
        self.assertEqual(client.response().status, 405)
        self.assertTrue(client.is_closed())
        self.assertTrue(self.origin.no_connection())

    def test_a_tunnel_to_the_upstream(self):
        self.start("--connect", "on")
        client = self.client()
        client.send(self.ASK + b"first")
        upstream = self.origin.accept()
        self.assertEqual(upstream.recv_exact(5), b"first")
        head = client.recv_head("CONNECT")
        self.assertEqual((head.status, head.get("Content-Length"), head.get("Transfer-Encoding")), (200, None, None))
        upstream.send(b"answer")
        upstream.half_close()
        self.assertEqual(client.recv_to_end(), b"answer")
        client.send(b"more")
        client.close()
        self.assertEqual(upstream.recv_to_end(), b"more")
        self.log(method="CONNECT", target="db.example:5432", status=200, up=9, down=6, end="complete")

    def test_an_upstream_that_refuses(self):
        self.start("--connect", "on")
        self.origin.stop_listening()
        client = self.client()
        client.send(self.ASK)
        self.assertEqual(client.response().status, 502)
        self.log(method="CONNECT", status=502, end="upstream_refused")

    def test_with_a_body_it_is_refused(self):
        self.start("--connect", "on")
        client = self.client()
        client.send(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\n\r\nabc")
        self.assertEqual(client.response().status, 400)
        self.assertTrue(self.origin.no_connection())


if __name__ == "__main__":
    unittest.main()
