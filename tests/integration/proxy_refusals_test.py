#!/usr/bin/env python3
"""What the proxy refuses, from clients and from upstreams, and how it says so."""

import unittest

from support import GatewayCase, eventually, full_listener, process, request, response

HOST = b"Host: test.example\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST
POST = b"POST / HTTP/1.1\r\n" + HOST

# name: (status, what the client sends)
BAD_REQUESTS = {
    "no version": (400, b"GET /\r\n" + HOST + b"\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "HTTP/2 preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/2.0": (505, b"GET / HTTP/2.0\r\n" + HOST + b"\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40 + b"\r\n\r\n"),
    "two spaces": (400, b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "space in target": (400, b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "control in target": (400, b"GET /a\x01b HTTP/1.1\r\n" + HOST + b"\r\n"),
    "lower case version": (400, b"GET / http/1.1\r\n" + HOST + b"\r\n"),
    "method with slash": (400, b"G/T / HTTP/1.1\r\n" + HOST + b"\r\n"),
    "bare LF": (400, b"GET / HTTP/1.1\n" + HOST + b"\r\n"),
    "bare LF in fields": (400, GET + b"A: b\nC: d\r\n\r\n"),
    "bare CR": (400, GET + b"A: b\rc\r\n\r\n"),
    "NUL": (400, GET + b"A: b\0c\r\n\r\n"),
    "space before colon": (400, GET + b"A : b\r\n\r\n"),
    "no colon": (400, GET + b"A\r\n\r\n"),
    "empty name": (400, GET + b": b\r\n\r\n"),
    "obs-fold": (400, GET + b"A: b\r\n c\r\n\r\n"),
    "leading space": (400, b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, GET + HOST + b"\r\n"),
    "bad Host": (400, b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    "user in Host": (400, b"GET / HTTP/1.1\r\nHost: user@test.example\r\n\r\n"),
    "asterisk for GET": (400, b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    "relative target": (400, b"GET a HTTP/1.1\r\n" + HOST + b"\r\n"),
    "strange scheme": (400, b"GET ftp://x/ HTTP/1.1\r\n" + HOST + b"\r\n"),
    "two lengths": (400, POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    "the same length twice": (400, POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    "list of lengths": (400, POST + b"Content-Length: 3, 3\r\n\r\nabc"),
    "signed length": (400, POST + b"Content-Length: +3\r\n\r\nabc"),
    "negative length": (400, POST + b"Content-Length: -1\r\n\r\n"),
    "hex length": (400, POST + b"Content-Length: 0x3\r\n\r\nabc"),
    "huge length": (400, POST + b"Content-Length: 18446744073709551617\r\n\r\n"),
    "empty length": (400, POST + b"Content-Length: \r\n\r\n"),
    "length and chunked": (400, POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunked and length": (400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    "chunked twice": (400, POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    "xchunked": (400, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "chunked with parameter": (400, POST + b"Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n"),
    "chunked not last": (400, POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "identity": (400, POST + b"Transfer-Encoding: identity\r\n\r\n"),
    "gzip, chunked": (501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunked in HTTP/1.0": (400, b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "long target": (414, b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"),
    "endless request line": (414, b"GET /" + b"x" * 100_000),
    "long field": (431, GET + b"A: " + b"x" * 17_000 + b"\r\n\r\n"),
    "endless field": (431, GET + b"A: " + b"x" * 100_000),
    "many fields": (431, GET + b"A: b\r\n" * 101 + b"\r\n"),
    "endless fields": (431, GET + b"A: b\r\n" * 30_000),
    "CONNECT": (405, b"CONNECT test.example:443 HTTP/1.1\r\n" + HOST + b"\r\n"),
    "bytes after a refusal": (400, b"GET / HTTP/1.1\r\n\r\n" + b"x" * 60_000),
}

# name: what follows a good head that announces a chunked body
BAD_CHUNKS = {
    "no size": b"\r\nabc\r\n",
    "not hex": b"xyz\r\nabc\r\n",
    "prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "huge": b"11111111111111111\r\nabc",
    "too long": b"3\r\nabcd\r\n0\r\n\r\n",
    "bare LF": b"3\nabc\r\n0\r\n\r\n",
    "bare LF after": b"3\r\nabc\n0\r\n\r\n",
    "bare LF in an extension": b"3;a\n\r\nabc\r\n0\r\n\r\n",
    "endless extension": b"3;" + b"x" * 5000,
    "bad trailer": b"3\r\nabc\r\n0\r\nA : b\r\n\r\n",
    "huge trailer": b"0\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
}

# name: what the upstream sends; nothing of it may reach the client
BAD_RESPONSES = {
    "garbage": b"garbage garbage garbage\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "bad status": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status 99": b"HTTP/1.1 099 OK\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "control": b"HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n",
    "obs-fold": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "other coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "endless status line": b"HTTP/1.1 200 " + b"x" * 100_000,
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 30_000,
}


class BadRequests(GatewayCase):
    def test_table(self):
        self.start()
        for name, (status, data) in BAD_REQUESTS.items():
            with self.subTest(name):
                client = self.client()
                sender = client.in_background(client.send, data)
                answer = client.response()
                self.assertEqual(answer.status, status, answer.data)
                members = self.assert_problem(answer, status)
                self.assertNotIn("headgate::", members["detail"])
                self.assertEqual(answer.head["Connection"], "close")
                client.close()
                sender.join(5)
                end = "client_method" if status == 405 else "client_protocol"
                self.log(end=end, status=status, client=client.name, up=0, id=members["instance"])
        self.assertEqual(self.origin.connections, [])

    def test_the_answer_survives_unread_bytes(self):
        """Closing with unread bytes in the system's buffer would reset the connection before the client has the answer."""
        self.start()
        client = self.client()
        client.send(b"nonsense\r\n\r\n" + b"x" * 30_000)
        client.wait_end_unread(3)
        self.assert_problem(client.response(), 400)
        self.assertEqual(client.wait_end(3).bytes, 0)

    def test_a_client_that_goes_on_sending_is_cut_off(self):
        self.start()
        client = self.client()
        client.send(b"nonsense\r\n\r\n")
        thread = client.in_background(lambda: [client.send(b"x" * 1000) for _ in range(1_000_000)])
        self.assert_problem(client.response(), 400)
        thread.join(5)
        self.assertFalse(thread.is_alive())

    def test_response_to_head_has_no_body(self):
        self.start(to="http://127.0.0.1:1")
        client = self.client()
        client.request("HEAD")
        answer = client.response("HEAD")
        self.assertEqual(answer.status, 502)
        self.assertEqual(answer.head["Content-Type"], "application/problem+json")
        client.half_close()
        self.assertEqual(client.wait_end().bytes, 0)

    def test_response_to_a_malformed_head_has_no_body(self):
        self.start()
        client = self.client()
        client.send(b"HEAD / HTTP/1.1\r\n\r\n")
        self.assertEqual(client.response("HEAD").status, 400)
        self.assertEqual(client.wait_end().bytes, 0)

    def test_expectations_that_are_not_known(self):
        """Passed on: it is for the origin to judge."""
        self.start(script=lambda conn: conn.serve(lambda c, head: c.respond(200, [("X-Expect", head["Expect"])], b"")))
        self.assertEqual(self.client().exchange("GET", "/", ("Expect", "miracles")).head["X-Expect"], "miracles")


class BadBodies(GatewayCase):
    def test_chunks_of_requests(self):
        """Malformed after the head went on: the upstream must not take what came for a whole request."""
        self.start()
        for name, data in BAD_CHUNKS.items():
            with self.subTest(name):
                client = self.client()
                client.send(request("POST", "/", [("Transfer-Encoding", "chunked")]))
                up = self.origin.accept()
                head = up.recv_head()
                sender = client.in_background(client.send, data)
                with self.assertRaises(Exception) as cut:
                    up.recv_body(head)
                self.assertEqual(getattr(cut.exception, "kind", cut.exception), "reset")
                self.assert_problem(client.response(), 400)
                sender.join(5)
                client.close()
                self.log(end="client_protocol", status=400)

    def test_chunks_of_requests_after_the_response_has_begun(self):
        self.start()
        client = self.client()
        client.send(request("POST", "/", [("Transfer-Encoding", "chunked")]))
        up = self.origin.accept()
        up.recv_head()
        up.send(response(200, [("Content-Length", "100")]) + b"some")
        self.assertEqual(client.recv_head().status, 200)
        self.assertEqual(client.recv_exact(4), b"some")
        client.send(b"xyz\r\n")
        self.assertEqual(up.wait_end().kind, "reset")
        self.assertEqual(client.wait_end().kind, "reset")
        self.log(end="client_protocol", status=200)

    def test_chunks_of_responses(self):
        """Malformed after the head went on: the client must not take what came for a whole response."""
        self.start()
        for name, data in BAD_CHUNKS.items():
            with self.subTest(name):
                client = self.client()
                client.request("GET", "/")
                up = self.origin.accept()
                up.recv_head()
                up.send(response(200, [("Transfer-Encoding", "chunked")]))
                head = client.recv_head()
                sender = up.in_background(up.send, data)
                with self.assertRaises(Exception) as cut:
                    client.recv_body(head)
                self.assertEqual(getattr(cut.exception, "kind", cut.exception), "reset")
                sender.join(5)
                up.wait_end()
                self.log(end="upstream_protocol", status=200)


class BadResponses(GatewayCase):
    def test_table(self):
        self.start()
        client = self.client()
        for name, data in BAD_RESPONSES.items():
            with self.subTest(name):
                client.request("GET", f"/{name.replace(' ', '-')}")
                up = self.origin.accept()
                up.recv_head()
                sender = up.in_background(up.send, data)
                self.assert_problem(client.response(), 502)
                up.wait_end(2)
                sender.join(5)
                self.log(status=502, end="upstream_protocol")


class NotConnected(GatewayCase):
    def test_refused(self):
        self.start_origin()
        self.start()
        self.origin.stop_listening()
        client = self.client()
        for _ in range(3):
            answer = client.exchange()
            self.assert_problem(answer, 502)
            self.assertNotIn("Connection", answer.head, "the client's connection is none the worse for it")
            self.log(status=502, end="upstream_refused")

    def test_refused_with_a_body_on_its_way(self):
        self.start_origin()
        self.start()
        self.origin.stop_listening()
        client = self.client()
        client.request("POST", "/", body=b"x" * 1000)
        self.assert_problem(client.response(), 502)
        self.log(status=502, end="upstream_refused")

    def test_unreachable(self):
        """To a multicast address there is no connection, and no packet leaves."""
        self.start(to="http://224.0.0.1:80")
        self.assert_problem(self.client().exchange(), 502)
        self.log(status=502, end="upstream_unreachable")

    def test_connect_timeout(self):
        self.start("--connect-timeout", "300ms", to="http://%s:%d" % full_listener(self))
        client = self.client()
        answer = client.exchange()
        self.assert_problem(answer, 504)
        line = self.log(status=504, end="upstream_connect_timeout")
        self.assertGreaterEqual(line.ms, 300)
        self.assertLess(line.ms, 3000)

    def test_client_leaves_while_connecting(self):
        host, port = full_listener(self)
        for end in ("close", "reset"):
            with self.subTest(end):
                if self.gateway is None:
                    self.start("--connect-timeout", "30s", to=f"http://{host}:{port}")
                before = self.gateway.descriptors()["socket"]
                client = self.client()
                client.request()
                eventually(lambda: self.gateway.descriptors()["socket"] == before + 2, what="a connection is being made")
                self.assertIn("syn_sent", process.sockets_to(port))
                getattr(client, end)()
                eventually(lambda: self.gateway.descriptors()["socket"] == before, 1, "it is given up")
                self.log(status=None, end={"close": "client_closed", "reset": "client_reset"}[end])


if __name__ == "__main__":
    unittest.main()
