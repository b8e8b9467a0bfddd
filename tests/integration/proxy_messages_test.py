#!/usr/bin/env python3
"""Messages through the proxy: bodies in every framing and direction, fields, interim responses, trailers."""

import hashlib
import threading
import unittest

from support import Cut, GatewayCase, chunk, request, response


def echo(connection):
    """Answers with the request's body, while it is being received, in the framing it came in; its trailers too."""

    def handle(conn, head):
        fields = [("X-Method", head.method), ("X-Target", head.target)]
        if head.framing == "length":
            conn.send(response(200, fields + [("Content-Length", str(head.length))]))
            for piece in conn.pieces(head):
                conn.send(piece)
        elif head.framing == "chunked":
            conn.send(response(200, fields + [("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")]))
            for piece in conn.pieces(head):
                conn.send(chunk(piece))
            lines = "".join(f"{name}: {value}\r\n" for name, value in conn.trailers.lines)
            conn.send(b"0\r\n" + lines.encode() + b"\r\n")
        else:
            conn.respond(200, fields, b"" if head.method != "HEAD" else None)

    connection.serve(handle)


class Framings(GatewayCase):
    def test_methods(self):
        self.start(script=echo)
        client = self.client()
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "X-UNKNOWN", "get"]:
            with self.subTest(method):
                answer = client.exchange(method, "/a?b=c")
                self.assertEqual((answer.status, answer.head["X-Method"]), (200, method))
                self.assertEqual(answer.head["X-Target"], "/a?b=c")
                self.log(method=method, target="/a?b=c", status=200, end="complete")

    def test_targets(self):
        self.start(script=echo)
        client = self.client()
        for sent, seen in [("/", "/"), ("/a%20b/%2e%2e?x=%00&y", "/a%20b/%2e%2e?x=%00&y"), ("/?", "/?"), ("//x", "//x"),
                           ("http://test.example/abs?q", "/abs?q"), ("http://test.example", "/"), ("/a/../b", "/a/../b"),
                           ("/[]{}|^`", "/[]{}|^`"), ("/" + "x" * 4000, "/" + "x" * 4000)]:
            with self.subTest(sent[:40]):
                self.assertEqual(client.exchange("GET", sent).head["X-Target"], seen)

    def test_options_asterisk(self):
        self.start(script=echo)
        answer = self.client().exchange("OPTIONS", "*")
        self.assertEqual((answer.head["X-Method"], answer.head["X-Target"]), ("OPTIONS", "*"))

    def test_bodies_of_many_sizes(self):
        self.start(script=echo)
        client = self.client()
        for size in [0, 1, 100, 16383, 16384, 16385, 65535, 65536, 65537, 200_000, 3_000_001]:
            data = hashlib.sha256(str(size).encode()).digest() * (size // 32 + 1)
            data = data[:size]
            digest = hashlib.sha256(data).hexdigest()
            for coded in (False, True):
                with self.subTest(size=size, chunked=coded):
                    pieces = [data[i:i + 70_001] for i in range(0, size, 70_001)]
                    message = request("POST", "/", body=pieces if coded else data, chunked=coded)
                    client.in_background(client.send, message)
                    answer = client.response(keep=False)
                    self.assertEqual((answer.status, answer.body.length, answer.body.sha256), (200, size, digest))
                    line = self.log(method="POST", end="complete")
                    self.assertEqual((line.up, line.down), (size, size))

    def test_both_ways_at_once_length(self):
        """Each piece comes back before the next is sent: nothing waits for more."""
        self.start(script=echo)
        client = self.client()
        client.send(request("POST", "/", [("Content-Length", "2000")]))
        for i in range(20):
            piece = b"%02d" % i * 50
            client.send(piece)
            if i == 0:
                self.assertEqual(client.recv_head().length, 2000)
            self.assertEqual(client.recv_exact(100), piece)
        self.log(up=2000, down=2000, end="complete")

    def test_both_ways_at_once_chunked(self):
        self.start(script=echo)
        client = self.client()
        client.send(request("POST", "/", [("Transfer-Encoding", "chunked")]))
        body = None
        for i in range(20):
            piece, came = b"%02d" % i * 50, b""
            client.send(chunk(piece))
            if body is None:
                body = client.pieces(client.recv_head())
            while len(came) < len(piece):
                came += next(body)
            self.assertEqual(came, piece)
        client.send(b"0\r\n\r\n")
        self.assertEqual(list(body), [])
        self.log(up=2000, down=2000, end="complete")
        self.assertEqual(client.exchange().status, 200)

    def test_no_body(self):
        """204, 304 and answers to HEAD have none; their Content-Length says what there would be."""

        def script(conn):
            def handle(conn, head):
                if head.target == "/204":
                    conn.send(response(204, reason="No Content"))
                elif head.target == "/304":
                    conn.send(response(304, [("Content-Length", "1234"), ("ETag", '"x"')], reason="Not Modified"))
                else:
                    conn.send(response(200, [("Content-Length", "5678")] if head.target == "/length"
                                       else [("Transfer-Encoding", "chunked")]))

            conn.serve(handle)

        self.start(script=script)
        client = self.client()
        answer = client.exchange("GET", "/204")
        self.assertEqual((answer.status, answer.head.framing), (204, "none"))
        answer = client.exchange("GET", "/304")
        self.assertEqual((answer.status, answer.head["Content-Length"], answer.head["ETag"]), (304, "1234", '"x"'))
        answer = client.exchange("HEAD", "/length")
        self.assertEqual((answer.status, answer.head["Content-Length"]), (200, "5678"))
        answer = client.exchange("HEAD", "/chunked")
        self.assertEqual((answer.status, answer.data), (200, b""))
        for method in ["GET", "GET", "HEAD", "HEAD"]:
            self.log(method=method, down=0, end="complete")
        self.assertEqual(len(self.origin.connections), 1)

    def close_delimited(self, size):
        """Stays delimited by close, so that a client that knows nothing of it never believes a cut one whole."""
        self.start(script=lambda conn: (conn.recv_head(), conn.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * size)))
        answer = self.client().exchange()
        self.assertEqual((answer.head.framing, answer.body.length), ("close", size))
        self.assertEqual(answer.head.get("Connection"), "close")
        self.log(down=size, end="complete")

    def test_close_delimited_empty(self):
        self.close_delimited(0)

    def test_close_delimited_short(self):
        self.close_delimited(10)

    def test_close_delimited_long(self):
        self.close_delimited(3_000_000)

    def test_body_byte_by_byte(self):
        def script(conn):
            head, body = conn.recv_request()
            conn.send(response(200, [("Transfer-Encoding", "chunked"), ("X-Got", body.data.decode())]))
            conn.send_slowly(chunk(b"hello") + chunk(b", world", b";a=b") + b"0\r\nX-T: 1\r\n\r\n")
            conn.recv_head()
            conn.send(response(200, [("Content-Length", "12")]))
            conn.send_slowly(b"hello, again")
            conn.wait_end()

        self.start(script=script)
        client = self.client()
        client.send(request("POST", "/", [("Transfer-Encoding", "chunked")]))
        client.send_slowly(b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        answer = client.response()
        self.assertEqual((answer.head["X-Got"], answer.data), ("abcde", b"hello, world"))
        self.assertEqual(answer.body.trailers.lines, [("X-T", "1")])
        self.assertEqual(client.exchange().data, b"hello, again")

    def test_heads_byte_by_byte(self):
        def script(conn):
            conn.recv_head()
            conn.send_slowly(response(200, [("X-Some", "thing")], b"ok"))
            conn.wait_end()

        self.start(script=script)
        client = self.client()
        client.send_slowly(request("GET", "/slow", [("Accept", "*/*")]))
        answer = client.response()
        self.assertEqual((answer.status, answer.head["X-Some"], answer.data), (200, "thing", b"ok"))

    def test_chunk_extensions_end_here(self):
        """Both ways; the strict readers on either side would refuse them."""

        def script(conn):
            _, body = conn.recv_request()
            conn.send(response(200, [("Transfer-Encoding", "chunked")]))
            conn.send(chunk(body.data, b";down=1") + b"0;last\r\n\r\n")
            conn.wait_end()

        self.start(script=script)
        client = self.client()
        client.send(request("POST", "/", [("Transfer-Encoding", "chunked")]))
        client.send(chunk(b"data", b';up="quoted \\" ; value"') + b"000;x\r\n\r\n")
        self.assertEqual(client.response().data, b"data")

    def test_trailers(self):
        self.start(script=echo)
        client = self.client()
        trailers = [("X-Sum", "1234"), ("X-Other", "a b")]
        client.request("POST", "/", ("TE", "trailers"), ("Trailer", "X-Sum"), body=[b"some", b"data"], chunked=True,
                       trailers=trailers)
        answer = client.response()
        self.assertEqual((answer.data, answer.body.trailers.lines), (b"somedata", trailers))
        self.assertEqual(answer.head["Trailer"], "X-Sum")

    def test_forbidden_trailers_are_dropped(self):
        self.start(script=echo)
        client = self.client()
        client.request("POST", "/", body=[b"data"], chunked=True,
                       trailers=[("Content-Length", "3"), ("X-Fine", "1"), ("Transfer-Encoding", "x"), ("Host", "evil")])
        answer = client.response()
        self.assertEqual((answer.data, answer.body.trailers.lines), (b"data", [("X-Fine", "1")]))

    def test_big_heads(self):
        """Just below the limit (16 KiB, 100 field lines), both ways."""
        value = "v" * 150

        def script(conn):
            head = conn.recv_head()
            fields = [(name, v) for name, v in head.lines if name.startswith("X-Big")]
            conn.respond(200, fields, b"ok")
            conn.wait_end()

        self.start(script=script)
        fields = [(f"X-Big-{i}", value) for i in range(90)]
        answer = self.client().exchange("GET", "/", *fields)
        self.assertEqual([f for f in answer.head.lines if f[0].startswith("X-Big")], fields)

    def test_obscure_but_legal_fields_pass(self):
        def script(conn):
            head = conn.recv_head()
            conn.respond(200, [("X-Seen", head["X-In"]), ("X-Latin", "caf\xe9"), ("Set-Cookie", "a=1"),
                               ("Set-Cookie", "b=2"), ("X-Empty", "")], b"ok", reason="Very \xe9 Fine")
            conn.wait_end()

        self.start(script=script)
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nhOsT:test.example\r\nX-In: \t a\tb  c\xff \t\r\n\r\n")
        answer = client.response()
        self.assertEqual(answer.head["X-Seen"], "a\tb  c\xff")
        self.assertEqual((answer.head["X-Latin"], answer.head["X-Empty"]), ("caf\xe9", ""))
        self.assertEqual(answer.head.all("Set-Cookie"), ["a=1", "b=2"])
        self.assertEqual(answer.head.reason, "Very \xe9 Fine")


class Fields(GatewayCase):
    def seen(self, client_bytes, answer=None):
        """What the origin sees of a request, and the client of an answer."""
        client = self.client()
        client.send(client_bytes)
        up = self.origin.accept()
        head = up.recv_head()
        up.send(answer or response(200, body=b"ok"))
        received = client.response(head.method)
        client.close()
        up.close()
        return head, received.head

    def test_added_to_requests(self):
        self.start()
        client = self.client()
        client.request("GET", "/")
        up = self.origin.accept()
        head = up.recv_head()
        up.respond(body=b"ok")
        received = client.response().head
        self.assertEqual(head["Host"], "test.example")
        self.assertEqual(head["Via"], "1.1 headgate")
        self.assertEqual(head["X-Forwarded-For"], client.name.split(":")[0])
        self.assertEqual(head["X-Forwarded-Host"], "test.example")
        self.assertEqual(head["X-Forwarded-Proto"], "http")
        self.assertRegex(head["X-Request-Id"], r"^[0-9A-Za-z-]{8,128}$")
        self.assertEqual(received["X-Request-Id"], head["X-Request-Id"])
        self.assertEqual(received["Via"], "1.1 headgate")
        line = self.log(id=head["X-Request-Id"], end="complete", client=client.name, upstream=self.origin.name)
        self.assertEqual((line.status, line.method, line.target, line.up, line.down), (200, "GET", "/", 0, 2))

    def test_forwarded_fields_of_earlier_hops(self):
        self.start()
        head, received = self.seen(
            request("GET", "/", [("X-Forwarded-For", "192.0.2.1, 192.0.2.2"), ("X-Forwarded-For", "192.0.2.3"),
                                 ("Via", "1.0 first"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil")]),
            response(200, [("Via", "1.1 inner")], b"ok"))
        self.assertEqual(head["X-Forwarded-For"], "127.0.0.1", "nobody is trusted who is not named")
        self.assertEqual(head.all("Via"), ["1.0 first", "1.1 headgate"])
        self.assertEqual(head["X-Forwarded-Proto"], "http")
        self.assertEqual(head["X-Forwarded-Host"], "test.example")
        self.assertEqual(received.all("Via"), ["1.1 inner", "1.1 headgate"])

    def test_request_id(self):
        self.start()
        head, received = self.seen(request("GET", "/", [("X-Request-Id", "abc-123_x.y")]))
        self.assertEqual((head["X-Request-Id"], received["X-Request-Id"]), ("abc-123_x.y", "abc-123_x.y"))
        self.log(id="abc-123_x.y")
        made = set()
        for bad in ["", "a b", 'a"b', "x" * 129, "caf\xe9", "a{b}"]:
            with self.subTest(bad):
                head, received = self.seen(request("GET", "/", [("X-Request-Id", bad)]))
                self.assertNotEqual(head["X-Request-Id"], bad)
                self.assertEqual(received["X-Request-Id"], head["X-Request-Id"])
                made.add(head["X-Request-Id"])
        self.assertEqual(len(made), 6)

    def test_hop_by_hop_fields_of_requests(self):
        self.start()
        head, _ = self.seen(request("GET", "/", [
            ("Connection", "X-Secret, keep-alive, , x-other"), ("Connection", "Accept"), ("X-Secret", "1"), ("X-OTHER", "2"),
            ("Accept", "*/*"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("TE", "gzip"),
            ("Upgrade", "websocket"), ("Proxy-Authorization", "Basic eDp5"), ("X-Kept", "3")]))
        self.assertEqual(head["Accept"], "*/*", "end-to-end, and so not for Connection to name")
        for name in ["X-Secret", "X-Other", "Keep-Alive", "Proxy-Connection", "TE", "Upgrade",
                     "Proxy-Authorization"]:
            self.assertNotIn(name, head)
        self.assertEqual(head["X-Kept"], "3")
        self.assertNotIn("keep-alive", head.get("Connection", ""))

    def test_connection_cannot_remove_what_routes_and_frames(self):
        self.start()
        head, _ = self.seen(request("POST", "/", [("Connection", "Host, Content-Length, X-Forwarded-For, Via")],
                                    body=b""))
        self.assertEqual((head["Host"], head["Content-Length"]), ("test.example", "0"))
        self.assertEqual((head["Via"], head["X-Forwarded-For"]), ("1.1 headgate", "127.0.0.1"))

    def test_te_trailers_is_asked_for_again(self):
        self.start()
        head, _ = self.seen(request("GET", "/", [("TE", "trailers"), ("Connection", "TE")]))
        self.assertEqual(head.get("TE"), "trailers")

    def test_hop_by_hop_fields_of_responses(self):
        self.start()
        _, received = self.seen(request("GET", "/"), response(200, [
            ("Connection", "X-Internal"), ("X-Internal", "1"), ("Keep-Alive", "timeout=5"), ("Proxy-Authenticate", "Basic"),
            ("Upgrade", "h2c"), ("X-Kept", "2")], b"ok"))
        for name in ["X-Internal", "Keep-Alive", "Proxy-Authenticate", "Upgrade"]:
            self.assertNotIn(name, received)
        self.assertEqual(received["X-Kept"], "2")

    def test_host_and_absolute_target(self):
        """The authority of an absolute target counts, and Host follows it (RFC 9112, section 3.2.2)."""
        self.start()
        head, _ = self.seen(request("GET", "http://other.example:81/x", host="test.example"))
        self.assertEqual((head.target, head["Host"], head["X-Forwarded-Host"]),
                         ("/x", "other.example:81", "other.example:81"))

    def test_long_host(self):
        self.start()
        host = ".".join(["h" * 60] * 4)
        head, _ = self.seen(request("GET", "/", host=host))
        self.assertEqual((head["Host"], head["X-Forwarded-Host"]), (host, host))


class Interim(GatewayCase):
    def test_expect_continue(self):
        self.start()
        client = self.client()
        client.send(request("POST", "/", [("Content-Length", "5"), ("Expect", "100-continue")]))
        up = self.origin.accept()
        head = up.recv_head()
        self.assertEqual(head["Expect"], "100-continue")
        self.assertTrue(client.open_and_silent(), "it is the origin that answers")
        up.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(client.recv_head().status, 100)
        client.send(b"hello")
        self.assertEqual(up.recv_body(head).data, b"hello")
        up.respond(201, body=b"made")
        answer = client.response()
        self.assertEqual((answer.status, answer.data), (201, b"made"))
        self.log(status=201, up=5, down=4, end="complete")

    def test_expect_continue_refused(self):
        """A final status instead of 100: the body never comes, and both connections end."""
        self.start()
        client = self.client()
        client.send(request("POST", "/", [("Content-Length", "5"), ("Expect", "100-continue")]))
        up = self.origin.accept()
        up.recv_head()
        up.respond(417, body=b"no", reason="Expectation Failed")
        answer = client.response()
        self.assertEqual((answer.status, answer.data), (417, b"no"))
        self.assertEqual(answer.head.get("Connection"), "close")
        client.close()
        self.log(status=417, up=0, down=2)

    def test_other_interim_responses(self):
        self.start()
        client = self.client()
        client.request("GET", "/")
        up = self.origin.accept()
        up.recv_head()
        up.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nConnection: X-Y\r\nX-Y: 1\r\n\r\n")
        hints = client.recv_head()
        self.assertEqual((hints.status, hints["Link"]), (103, "</style.css>; rel=preload"))
        self.assertNotIn("X-Y", hints)
        up.send(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + response(200, body=b"ok"))
        answer = client.response()
        self.assertEqual(([head.status for head in answer.interim], answer.data), ([102, 102], b"ok"))
        self.log(status=200, end="complete")

    def test_not_to_http_1_0(self):
        self.start()
        client = self.client()
        client.send(b"GET / HTTP/1.0\r\nHost: test.example\r\n\r\n")
        up = self.origin.accept()
        up.recv_head()
        up.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + response(200, body=b"ok"))
        answer = client.response()
        self.assertEqual((answer.interim, answer.status, answer.data), ([], 200, b"ok"))

    def test_endless_interim_responses(self):
        self.start()
        client = self.client()
        client.request("GET", "/")
        up = self.origin.accept()
        up.recv_head()
        try:
            up.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000)
        except Cut:
            pass
        self.assert_problem(client.response(), 502)
        self.log(status=502, end="upstream_protocol")

    def test_switching_protocols_was_not_asked_for(self):
        self.start()
        client = self.client()
        client.request("GET", "/", ("Connection", "upgrade"), ("Upgrade", "websocket"))
        up = self.origin.accept()
        self.assertNotIn("Upgrade", up.recv_head())
        up.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        self.assert_problem(client.response(), 502)
        self.log(status=502, end="upstream_protocol")
        self.assertIn(up.wait_end().kind, ("reset", "fin"))


class EarlyResponse(GatewayCase):
    def early(self, framing, size):
        """An answer in the midst of an upload: the client gets all of it, though it goes on sending."""
        self.start()
        client = self.client()
        data = b"e" * size
        client.send(request("POST", "/", [("Content-Length", str(1 << 40))]))
        client.send(b"u" * 10_000)
        up = self.origin.accept()
        up.recv_head()
        up.recv_exact(10_000)
        stop = threading.Event()

        def go_on():
            while not stop.is_set():
                client.send(b"u" * 16_384)

        client.in_background(go_on)
        if framing == "length":
            up.respond(413, body=data, reason="Too Large")
        else:
            up.respond(413, body=[data[i:i + 10_000] for i in range(0, size, 10_000)], chunked=True, reason="Too Large")
        answer = client.response()
        stop.set()
        self.assertEqual((answer.status, answer.data), (413, data))
        up.wait_end(3)
        client.wait_end(3)
        self.log(status=413, down=size, end="complete")

    def test_early_response_short(self):
        self.early("length", 10)

    def test_early_response_long(self):
        self.early("length", 3_000_000)

    def test_early_response_chunked(self):
        self.early("chunked", 300_000)

    def test_answered_and_reset(self):
        """A server that answers and closes with the upload unread resets the connection; the answer counts."""
        self.start()
        client = self.client()
        client.send(request("POST", "/", [("Content-Length", str(1 << 40))]) + b"u" * 100_000)
        up = self.origin.accept()
        up.recv_head()
        up.respond(413, body=b"e" * 10_000, reason="Too Large")
        up.reset()
        answer = client.response()
        self.assertEqual((answer.status, answer.body.length), (413, 10_000))
        client.close()
        self.log(status=413, down=10_000, end="complete")

    def test_the_client_stops_sending(self):
        """An answer in the midst of an upload that the client then ends by FIN."""
        self.start()
        client = self.client()
        client.send(request("POST", "/", [("Transfer-Encoding", "chunked")]) + chunk(b"abc"))
        up = self.origin.accept()
        up.recv_head()
        up.respond(200, body=b"enough")
        answer = client.response()
        self.assertEqual((answer.status, answer.data), (200, b"enough"))
        client.close()
        up.wait_end()
        self.log(status=200, down=6, end="complete")


if __name__ == "__main__":
    unittest.main()
