#!/usr/bin/env python3
"""What one client or one upstream may ask of the gateway: each bound is met with its own answer."""

import threading
import time
import unittest

from support import SLACK, GatewayCase, chunk, eventually, problem, request, response


def sink(conn):
    """An origin that takes whole requests."""
    conn.serve(lambda conn, head: (conn.recv_body(head), conn.respond(body=b"ok")) and True)


class Bodies(GatewayCase):
    def refused(self, client, **wanted):
        answer = client.response()
        self.assert_problem(answer, 413)
        self.assertTrue(client.is_closed())
        self.log(status=413, end="client_too_large", **wanted)
        return problem(answer)

    def test_a_length_above_the_limit_goes_nowhere(self):
        self.start("--request-body-max", "1KiB", script=sink)
        self.assertEqual(self.client().exchange("POST", "/", body=b"x" * 1024).status, 200)
        client = self.client()
        client.send(request("POST", "/", [("Content-Length", "1025"), ("Expect", "100-continue")]))
        detail = self.refused(client, up=0)["detail"]
        self.assertIn("1025", detail)
        self.assertIn("1024", detail)
        self.assertEqual(len(self.origin.connections), 1)

    def test_chunks_above_the_limit_are_cut(self):
        self.start("--request-body-max", "100KiB")
        client = self.client()
        client.send(request("POST", "/", [("Transfer-Encoding", "chunked")]) + chunk(b"x" * 102_400))
        upstream = self.origin.accept()
        head = upstream.recv_head()
        client.send(chunk(b"y"))
        self.refused(client)
        got = bytearray()
        try:
            for piece in upstream.pieces(head):
                got += piece
        except Exception:  # pylint: disable=broad-except
            pass
        self.assertEqual(bytes(got).strip(b"x"), b"", "nothing beyond the limit")
        self.assertEqual(upstream.end.kind, "reset")

    def test_a_response_may_be_as_long_as_it_likes(self):
        self.start("--request-body-max", "1KiB", script=lambda c: c.serve(lambda c, _: c.respond(body=b"z" * 100_000)))
        self.assertEqual(len(self.client().exchange().data), 100_000)


class Chunks(GatewayCase):
    def test_a_chunk_line(self):
        self.start("--chunk-line-max", "64", script=sink)
        for extension, status in [(b";" + b"e" * 59, 200), (b";" + b"e" * 70, 400)]:
            client = self.client()
            client.send(request("POST", "/", [("Transfer-Encoding", "chunked")]) + b"1" + extension + b"\r\nx\r\n0\r\n\r\n")
            self.assertEqual(client.response().status, status)
            self.log(status=status)

    def test_trailers(self):
        self.start("--trailer-bytes-max", "64", script=sink)
        for size, status in [(40, 200), (80, 400)]:
            client = self.client()
            client.send(request("POST", "/", [("Transfer-Encoding", "chunked")]) + b"1\r\nx\r\n0\r\nX-T: " + b"t" * size + b"\r\n\r\n")
            self.assertEqual(client.response().status, status)
            self.log(status=status)


class Heads(GatewayCase):
    def test_a_request_line(self):
        self.start("--request-line-max", "100", script=sink)
        self.assertEqual(self.client().exchange("GET", "/" + "a" * 80).status, 200)
        self.assertEqual(self.client().exchange("GET", "/" + "a" * 100).status, 414)
        self.log(status=414, end="client_protocol")

    def test_a_responses_head_has_its_own_limit(self):
        def long_head(conn):
            conn.serve(lambda c, head: c.respond(200, [("X-Long", "v" * int(head.target[1:]))], b"ok") or True)

        self.start("--response-head-bytes-max", "2KiB", "--head-bytes-max", "8KiB", script=long_head)
        self.assertEqual(self.client().exchange("GET", "/1500", ("X-Long", "v" * 5000)).status, 200)
        self.assertEqual(self.client().exchange("GET", "/3000").status, 502)
        self.log(status=502, end="upstream_protocol")

    def test_interim_responses(self):
        self.start("--interim-responses-max", "2")
        for count, status in [(2, 200), (3, 502)]:
            client = self.client()
            client.request()
            upstream = self.origin.accept()
            upstream.recv_head()
            upstream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * count + response(200, body=b"ok"))
            answer = client.response()
            self.assertEqual((answer.status, len(answer.interim)), (status, 2))
            self.log(status=status)
            client.close()
            upstream.close()


class Connections(GatewayCase):
    def test_the_last_request_of_a_connection(self):
        self.start("--requests-per-connection-max", "3", script=sink)
        client = self.client()
        for i in range(3):
            answer = client.exchange()
            self.assertEqual(answer.head.get("Connection"), "close" if i == 2 else None)
        self.assertTrue(client.is_closed())
        client = self.client()
        client.send(request("GET", "/") * 5)
        self.assertEqual([client.response().status for _ in range(3)], [200] * 3)
        self.assertTrue(client.is_closed(), "the other two are not answered, and may be sent again")

    def test_connections_of_one_client(self):
        self.start("--connections-per-client-max", "3", script=sink, workers=2)
        held = [self.client() for _ in range(3)]
        for client in held:
            self.assertEqual(client.exchange().status, 200)
        for _ in range(20):
            extra = self.client()
            answer = extra.response()
            self.assertEqual(answer.status, 429)
            self.assertRegex(answer.head["Retry-After"], "^[1-9][0-9]*$")
            self.assertIn("client", problem(answer)["detail"])
            extra.close()
        self.assertEqual(held[0].exchange().status, 200)
        held[1].close()
        eventually(lambda: self.gateway.live()["connections"] == 2)
        self.assertEqual(self.client().exchange().status, 200)


class Rates(GatewayCase):
    """Slow peers keep a connection busy for as long as they like, were it not for a minimum."""

    FLAGS = ("--rate-grace", "500ms", "--client-idle-timeout", "1h", "--upstream-idle-timeout", "1h")

    def dribble(self, wire, data, pause, pieces):
        stop = threading.Event()
        self.addCleanup(stop.set)

        def run():
            for _ in range(pieces):
                wire.send(data)
                if stop.wait(pause):
                    return

        wire.in_background(run)

    def test_a_body_that_dribbles_in(self):
        self.start(*self.FLAGS, "--client-rate-min", "1000")
        client = self.client()
        client.send(request("POST", "/", [("Content-Length", "100000")]))
        upstream = self.origin.accept()
        upstream.recv_head()
        since = time.monotonic()
        self.dribble(client, b"x", 0.05, 400)
        end = upstream.wait_end(10 * SLACK)
        self.assertEqual(end.kind, "reset")
        self.assertGreater(end.at - since, 0.4)
        answer = client.response()
        self.assert_problem(answer, 408)
        self.assertIn("minimum rate", problem(answer)["detail"])
        self.log(status=408, end="client_idle")

    def test_a_body_that_is_fast_enough(self):
        self.start(*self.FLAGS, "--client-rate-min", "1000")
        client = self.client()
        client.send(request("POST", "/", [("Content-Length", "10000")]))
        upstream = self.origin.accept()
        head = upstream.recv_head()
        self.dribble(client, b"x" * 500, 0.05, 20)
        self.assertEqual(upstream.recv_body(head).length, 10000)
        upstream.respond(body=b"ok")
        self.assertEqual(client.response().data, b"ok")

    def test_a_response_that_dribbles_in(self):
        self.start(*self.FLAGS, "--upstream-rate-min", "1000")
        client = self.client()
        client.request()
        upstream = self.origin.accept()
        upstream.recv_head()
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        self.dribble(upstream, b"x", 0.05, 400)
        self.assertEqual(client.wait_end(10 * SLACK).kind, "reset")
        self.log(status=200, end="upstream_idle")

    def test_an_event_stream_may_be_slow(self):
        self.start(*self.FLAGS, "--client-rate-min", "100000")
        client = self.client()
        client.request()
        upstream = self.origin.accept()
        upstream.recv_head()
        upstream.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(12):
            event = b"data: %d\n\n" % i
            upstream.send(chunk(event))
            if i == 0:
                head = client.recv_head()
                events = client.pieces(head)
            self.assertEqual(next(events), event)
            time.sleep(0.1)
        upstream.send(b"0\r\n\r\n")
        self.assertEqual(list(events), [])

    def test_a_reader_that_crawls(self):
        self.start(*self.FLAGS, "--client-rate-min", "1MiB")
        client = self.client(receive_buffer=16 * 1024)
        client.request()
        upstream = self.origin.accept()
        upstream.recv_head()
        upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        upstream.in_background(upstream.fill, b"x" * 65536, 60, 1 << 30)
        deadline = time.monotonic() + 20 * SLACK
        while time.monotonic() < deadline and client.end is None:
            try:
                client.recv_exact(2048)  # 40 KB a second, of what the systems hold
            except Exception:  # pylint: disable=broad-except
                break
            time.sleep(0.05)
        self.assertEqual(client.end.kind, "reset")
        self.log(status=200, end="client_idle")


class Dead(GatewayCase):
    def test_sockets_ask_whether_their_peer_is_alive(self):
        import subprocess
        self.start("--tcp-keepalive-time", "90s")
        client = self.client()
        client.request()
        self.origin.accept().recv_head()
        for port in (client.sock.getsockname()[1], self.origin.address[1]):
            out = subprocess.run(["ss", "-tnoHp", f"dport = :{port}"], capture_output=True, text=True, check=True).stdout
            ours = [line for line in out.splitlines() if f"pid={self.gateway.pid}," in line]
            self.assertEqual(len(ours), 1, out)
            self.assertRegex(ours[0], r"timer:\(keepalive,1min[0-9]+sec,0\)")


if __name__ == "__main__":
    unittest.main()
