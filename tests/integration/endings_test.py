#!/usr/bin/env python3
"""Either side of the proxy leaves, breaks or stalls, at every stage of an exchange.

Whatever happens: the other side sees a failure as a failure, what was behind it is gone within a second, the log names the
first cause, and nothing is left.
"""

import time
import unittest

from support import GatewayCase, chunk, eventually, request, response

BULK = 4 << 20  # enough that the gateway goes over to splice(2)
GIB = 1 << 30
SHORT = "500ms"
PIECE = b"0123456789abcdef" * 4096


def leave(wire, how):
    """Ends one direction by FIN, or the connection by RST. Returns when."""
    now = time.monotonic()
    if how == "fin":
        wire.half_close()
    else:
        wire.reset()
    return now


class Stages(GatewayCase):
    """Each brings a client and an upstream connection to one stage of an exchange, and gives both."""

    def waiting(self, *flags, method="GET"):
        """The request was sent; nothing has come back."""
        self.start(*flags)
        client = self.client()
        client.request(method, "/", body=b"body" if method == "POST" else None)
        up = self.origin.accept()
        up.recv_request()
        return client, up

    def response_head(self, *flags):
        """Half of the response's head has come."""
        client, up = self.waiting(*flags)
        up.send(b"HTTP/1.1 200 OK\r\nContent-Len")
        self.assertTrue(client.open_and_silent())
        return client, up

    def interim(self, *flags):
        """An interim response has come, and no more."""
        client, up = self.waiting(*flags)
        up.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        self.assertEqual(client.recv_head().status, 103)
        return client, up

    def upload(self, framing, *flags, bulk=False):
        """Part of the request's body was sent and has arrived; nothing has come back."""
        self.start(*flags)
        client = self.client()
        if framing == "length":
            client.send(request("POST", "/", [("Content-Length", str(GIB))]) + b"begin")
        else:
            client.send(request("POST", "/", [("Transfer-Encoding", "chunked")]) + b"%x\r\nbegin" % GIB)
        up = self.origin.accept()
        head = up.recv_head()
        self.assertEqual(head.framing, framing)
        body = up.pieces(head)
        count = len(next(body))
        if bulk:
            sender = client.in_background(client.send, b"x" * BULK)
            while count < BULK + 5:
                count += len(next(body))
            sender.join(10)
        return client, up

    def upload_length(self, *flags):
        return self.upload("length", *flags)

    def upload_chunked(self, *flags):
        return self.upload("chunked", *flags)

    def upload_length_bulk(self, *flags):
        return self.upload("length", *flags, bulk=True)

    def upload_chunked_bulk(self, *flags):
        return self.upload("chunked", *flags, bulk=True)

    def download(self, framing, *flags, bulk=False, big_chunks=True):
        """Part of the response's body was sent and has arrived."""
        client, up = self.waiting(*flags)
        fields = {"length": [("Content-Length", str(GIB))], "chunked": [("Transfer-Encoding", "chunked")], "close": []}
        up.send(response(200, fields[framing]) + (b"%x\r\n" % GIB if framing == "chunked" and big_chunks else b""))
        first = b"begin" if big_chunks else chunk(b"begin")
        up.send(first)
        head = client.recv_head()
        self.assertEqual((head.status, head.framing), (200, framing))
        body = client.pieces(head)
        count = len(next(body))
        if bulk:
            if big_chunks:
                sender = up.in_background(up.send, b"x" * BULK)
            else:
                sender = up.in_background(lambda: [up.send(chunk(PIECE)) for _ in range(BULK // len(PIECE))])
            while count < BULK + 5:
                count += len(next(body))
            sender.join(10)
        return client, up

    def download_length(self, *flags):
        return self.download("length", *flags)

    def download_chunked(self, *flags):
        return self.download("chunked", *flags)

    def download_close(self, *flags):
        return self.download("close", *flags)

    def download_length_bulk(self, *flags):
        return self.download("length", *flags, bulk=True)

    def download_chunked_bulk(self, *flags):
        return self.download("chunked", *flags, bulk=True)

    def download_many_chunks_bulk(self, *flags):
        return self.download("chunked", *flags, bulk=True, big_chunks=False)

    def download_close_bulk(self, *flags):
        return self.download("close", *flags, bulk=True)

    def stalled(self, framing, *flags):
        """In a download whose client does not read, so that every buffer on the way is full."""
        client, up = self.download(framing, *flags, bulk=True)
        up.fill(b"y" * 65536)
        return client, up

    def stalled_length(self, *flags):
        return self.stalled("length", *flags)

    def stalled_chunked(self, *flags):
        return self.stalled("chunked", *flags)

    def stalled_close(self, *flags):
        return self.stalled("close", *flags)

    def answer_and_upload(self, *flags):
        """A response is on its way while the request still is."""
        client, up = self.upload("length", *flags)
        up.send(response(200, [("Content-Length", str(GIB))]) + b"some")
        self.assertEqual(client.recv_head().status, 200)
        self.assertEqual(client.recv_exact(4), b"some")
        return client, up


BEFORE_ANSWER = ["waiting", "response_head", "interim", "upload_length", "upload_chunked", "upload_length_bulk",
                 "upload_chunked_bulk"]
DOWNLOADS = ["download_length", "download_chunked", "download_close", "download_length_bulk", "download_chunked_bulk",
             "download_many_chunks_bulk", "download_close_bulk", "answer_and_upload"]
STALLED = ["stalled_length", "stalled_chunked", "stalled_close"]


def each(stages, hows):
    """Makes a test of every pair."""

    def decorate(function):
        def add(owner):
            for stage in stages:
                for how in hows:
                    def test(self, stage=stage, how=how):
                        function(self, stage, how)

                    test.__doc__ = function.__doc__
                    setattr(owner, f"{function.__name__}_{how}_{stage}".replace("play", "test"), test)

        function.add = add
        return function

    return decorate


def with_each(cls):
    for value in list(vars(cls).values()):
        if add := getattr(value, "add", None):
            add(cls)
    return cls


@with_each
class ClientLeaves(Stages):
    @each(BEFORE_ANSWER + DOWNLOADS + STALLED, ["fin", "reset"])
    def play_client(self, stage, how):
        """The client's FIN or RST ends the upstream connection, by RST, at once."""
        client, up = getattr(self, stage)()
        since = leave(client, how)
        self.assert_gone(up, since, "reset")
        answered = stage not in BEFORE_ANSWER
        self.log(status=200 if answered else None, end="client_closed" if how == "fin" else "client_reset",
                 client=client.name, upstream=self.origin.name)
        if how == "fin" and answered:
            self.assertEqual(client.wait_end().kind, "reset", "what has come must not look whole")

    @each(["length", "chunked"], ["reset"])
    def play_client_in_stalled_upload(self, framing, how):
        """The upstream does not read: the client's RST is noticed though nobody reads what it has sent."""
        client, up = self.upload(framing)
        client.fill(b"x" * 65536)
        since = leave(client, how)
        up.wait_end_unread(3)
        self.assertLess(time.monotonic() - since, 1)
        self.assertEqual(up.wait_end().kind, "reset")
        self.log(status=None, end="client_reset")

    @each(["length", "chunked", "close"], ["fin", "reset"])
    def play_client_in_motion(self, framing, how):
        """The upstream sends on and on, and the client reads until it leaves."""
        client, up = self.download(framing)

        def send():
            while True:
                up.send(PIECE)

        sender = up.in_background(send)
        for _ in range(BULK // 65536):
            client.recv_exact(65536)
        since = leave(client, how)
        sender.join(5)
        self.assertFalse(sender.is_alive())
        self.assertEqual(up.wait_end().kind, "reset")
        self.assertLess(up.end.at - since, 1)
        line = self.log(status=200, end="client_closed" if how == "fin" else "client_reset")
        self.assertGreaterEqual(line.down, BULK * 98 // 100, "what it has, but for framing")

    @each(["nothing", "some"], ["fin", "reset"])
    def play_client_before_its_request(self, sent, how):
        """Nobody is troubled with a connection that has said nothing yet; half a head is worth a line."""
        self.start()
        client = self.client()
        if sent == "some":
            client.send(b"GET / HTTP/1.1\r\nHo")
        self.wait_connections(1)
        leave(client, how)
        self.wait_connections(0)
        if sent == "some":
            self.log(status=None, method="-", end="client_closed" if how == "fin" else "client_reset", client=client.name)
        self.assert_no_more_logs()
        self.assertTrue(self.origin.no_connection())

    def wait_connections(self, count):
        eventually(lambda: self.gateway.live()["connections"] == count, 1)

    @each(["idle"], ["fin", "reset"])
    def play_client_between_requests(self, _, how):
        """Only its own connection ends: the upstream's stays in the pool."""
        client, up = self.waiting()
        up.respond(body=b"ok")
        self.assertEqual(client.response().data, b"ok")
        leave(client, how)
        self.wait_connections(0)
        self.log(status=200, end="complete")
        self.assert_no_more_logs()
        self.assertEqual(self.gateway.live()["upstream_idle"], 1)
        self.assertTrue(up.open_and_silent())
        if how == "fin":
            self.assertEqual(client.wait_end(1).kind, "fin")

    @each(["pipelined"], ["fin", "reset"])
    def play_client_with_requests_behind(self, _, how):
        """What is behind the request in progress never starts."""
        self.start()
        client = self.client()
        client.send(request("GET", "/1") + request("GET", "/2") + request("GET", "/3"))
        up = self.origin.accept()
        self.assertEqual(up.recv_head().target, "/1")
        since = leave(client, how)
        self.assert_gone(up, since, "reset")
        self.log(target="/1", end="client_closed" if how == "fin" else "client_reset")
        self.leaks.wait_idle()
        self.assert_no_more_logs()
        self.assertTrue(self.origin.no_connection())


@with_each
class UpstreamLeaves(Stages):
    @each(BEFORE_ANSWER, ["fin", "reset"])
    def play_upstream_before_its_answer(self, stage, how):
        """The client gets a 502, whole, also while it still sends."""
        client, up = getattr(self, stage)()
        since = leave(up, how)
        answer = client.response()
        self.assertLess(time.monotonic() - since, 1)
        self.assert_problem(answer, 502)
        if how == "fin":
            self.assert_gone(up, since, "reset")
        if stage.startswith("upload"):
            self.assertEqual(answer.head.get("Connection"), "close")
            client.close()
        else:
            self.assertNotIn("Connection", answer.head)
            client.request("GET", "/next")
            second = self.origin.accept()
            second.recv_head()
            second.respond(body=b"next")
            self.assertEqual(client.response().data, b"next")
        self.log(status=502, end="upstream_closed" if how == "fin" else "upstream_reset", id=answer.head["X-Request-Id"])

    @each(["length", "chunked"], ["reset"])
    def play_upstream_in_stalled_upload(self, framing, how):
        """A client that is still sending, and held up, gets its 502."""
        client, up = self.upload(framing)
        client.fill(b"x" * 65536)
        leave(up, how)
        self.assert_problem(client.response(), 502)
        client.close()
        self.log(status=502, end="upstream_reset")

    @each(DOWNLOADS, ["fin", "reset"])
    def play_upstream_midway(self, stage, how):
        """A cut response never looks whole, except where its end is the connection's."""
        client, up = getattr(self, stage)()
        since = leave(up, how)
        whole = "close" in stage and how == "fin"
        self.assert_gone(client, since, "fin" if whole else "reset")
        client.close()
        if how == "fin":
            up.wait_end(2)
        end = "complete" if whole else "upstream_closed" if how == "fin" else "upstream_reset"
        self.log(status=200, end=end)

    @each(["length", "chunked", "close"], ["reset"])
    def play_upstream_with_a_stalled_client(self, framing, how):
        """What came before the RST is still given to a client that takes its time; and then its end is a failure."""
        client, up = self.stalled(framing)
        leave(up, how)
        self.assertEqual(client.wait_end().kind, "reset")
        self.log(status=200, end="upstream_reset")

    @each(["pooled"], ["fin", "reset"])
    def play_upstream_while_idle(self, _, how):
        """An unused connection that ends leaves the pool at once, and nobody hears of it."""
        client, up = self.waiting()
        up.respond(body=b"ok")
        client.response()
        eventually(lambda: self.gateway.live()["upstream_idle"] == 1)
        since = leave(up, how)
        eventually(lambda: self.gateway.live()["upstream_idle"] == 0, 1)
        if how == "fin":
            self.assert_gone(up, since, "fin")
        client.request("GET", "/next")
        second = self.origin.accept()
        second.recv_head()
        second.respond(body=b"next")
        self.assertEqual(client.response().data, b"next")
        self.log(target="/", end="complete")
        self.log(target="/next", end="complete")


@with_each
class Stale(Stages):
    """The upstream closes an idle connection just as a request is sent on it."""

    def reused(self, message, how, method="GET", partly=b""):
        client, up = self.waiting()
        up.respond(body=b"ok")
        client.response()
        client.send(message)
        up.recv_request()
        if partly:
            up.send(partly)
        leave(up, how)
        return client

    @each(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"], ["fin", "reset"])
    def play_retried(self, method, how):
        """What can do no harm is sent once more."""
        body = b"small body" if method == "PUT" else None
        client = self.reused(request(method, "/again", body=body), how)
        second = self.origin.accept()
        head, received = second.recv_request()
        self.assertEqual((head.method, head.target, received.data), (method, "/again", body or b""))
        second.send(response(200, [("Content-Length", "3")]) + (b"" if method == "HEAD" else b"yes"))
        self.assertEqual(client.response(method).status, 200)
        self.log(method=method, target="/again", status=200, end="complete")

    @each(["POST", "PATCH", "UNKNOWN"], ["fin", "reset"])
    def play_not_retried(self, method, how):
        """What might have been done already is not done again."""
        client = self.reused(request(method, "/again", body=b"x"), how)
        self.assert_problem(client.response(), 502)
        self.log(method=method, end="upstream_closed" if how == "fin" else "upstream_reset")
        self.assertTrue(self.origin.no_connection())

    def test_not_retried_after_a_byte(self):
        client = self.reused(request("GET", "/again"), "fin", partly=b"H")
        self.assert_problem(client.response(), 502)
        self.log(target="/again", end="upstream_closed")
        self.assertTrue(self.origin.no_connection())

    def test_retried_once(self):
        client = self.reused(request("GET", "/again"), "fin")
        second = self.origin.accept()
        second.recv_head()
        second.half_close()
        self.assert_problem(client.response(), 502)
        self.log(target="/again", end="upstream_closed")
        self.assertTrue(self.origin.no_connection())

    def test_chunked_is_not_retried(self):
        client = self.reused(request("PUT", "/again", body=[b"x"], chunked=True), "fin")
        self.assert_problem(client.response(), 502)
        self.assertTrue(self.origin.no_connection())


@with_each
class Stalls(Stages):
    @each(["waiting", "response_head", "interim"], ["stall"])
    def play_upstream(self, stage, _):
        """No response head in time: 504, and the client's connection goes on."""
        client, up = getattr(self, stage)("--first-byte-timeout", SHORT)
        answer = client.response()
        self.assert_problem(answer, 504)
        self.assertEqual(up.wait_end(1).kind, "reset")
        line = self.log(status=504, end="upstream_timeout")
        self.assertGreaterEqual(line.ms, 499)
        self.assertLess(line.ms, 2500)
        self.assertNotIn("Connection", answer.head)
        client.close()

    @each(DOWNLOADS[:-1], ["stall"])
    def play_upstream_midway(self, stage, _):
        """No byte of the body in time."""
        client, up = getattr(self, stage)("--upstream-idle-timeout", SHORT)
        since = time.monotonic()
        self.assertEqual(client.wait_end(3).kind, "reset")
        self.assertEqual(up.wait_end(1).kind, "reset")
        self.assertLess(time.monotonic() - since, 2)
        self.log(status=200, end="upstream_idle")

    @each(["length", "chunked"], ["stall"])
    def play_upstream_in_upload(self, framing, _):
        """The upstream does not take the request's body."""
        client, up = self.upload(framing, "--upstream-idle-timeout", SHORT)
        client.in_background(client.send, b"x" * (64 << 20))
        self.assert_problem(client.response(), 504)
        up.wait_end_unread(1)
        self.assertEqual(up.wait_end(1).kind, "reset")
        client.close()
        self.log(status=504, end="upstream_idle")

    @each(["upload_length", "upload_chunked", "upload_length_bulk", "upload_chunked_bulk"], ["stall"])
    def play_client(self, stage, _):
        """The client does not go on with its body: it is told, and the upstream sees that the request was cut."""
        client, up = getattr(self, stage)("--client-idle-timeout", SHORT)
        since = time.monotonic()
        self.assert_problem(client.response(), 408)
        self.assertEqual(up.wait_end(1).kind, "reset")
        self.assertLess(time.monotonic() - since, 2)
        client.close()
        self.log(status=408, end="client_idle")

    @each(STALLED, ["stall"])
    def play_client_download(self, stage, _):
        """The client does not read."""
        # Long enough that every buffer on the way can be filled before the time is up.
        client, up = getattr(self, stage)("--client-idle-timeout", "2s")
        up.wait_end_unread(8)
        self.assertEqual(up.wait_end(1).kind, "reset")
        client.wait_end_unread(1)
        self.assertEqual(client.wait_end().kind, "reset")
        self.log(status=200, end="client_idle")

    def test_client_says_nothing(self):
        self.start("--header-timeout", SHORT)
        client = self.client()
        self.assertTrue(client.is_closed(2))
        self.leaks.wait_idle()
        self.assert_no_more_logs()

    def test_client_in_its_head(self):
        self.start("--header-timeout", SHORT)
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nHost: test.exam")
        answer = client.response()
        self.assert_problem(answer, 408)
        self.assertEqual(answer.head["Connection"], "close")
        client.close()
        self.log(status=408, end="client_slow_header")

    def test_client_drips_its_head(self):
        """The time for a head is absolute: a byte now and then does not extend it."""
        self.start("--header-timeout", "500ms")
        client = self.client()
        begun = time.monotonic()

        def drip():
            client.send(b"GET / HTTP/1.1\r\nX: ")
            while client.open_and_silent(0.05):
                client.send(b"x")

        client.in_background(drip).join(5)
        self.assertLess(time.monotonic() - begun, 2)
        self.assert_problem(client.response(), 408)
        client.close()
        self.log(status=408, end="client_slow_header")

    def test_client_between_requests(self):
        client, up = self.waiting("--keep-alive-timeout", SHORT)
        up.respond(body=b"ok")
        client.response()
        self.assertTrue(client.is_closed(2))
        self.log(end="complete")
        self.assert_no_more_logs()

    def test_unused_upstream_connection(self):
        client, up = self.waiting("--upstream-keep-alive-timeout", SHORT)
        up.respond(body=b"ok")
        client.response()
        self.assertEqual(up.wait_end(2).kind, "fin")
        self.assertEqual(self.gateway.live()["upstream_idle"], 0)

    def test_the_upstreams_clock_stops_while_the_client_does_not_read(self):
        client, up = self.stalled("length", "--upstream-idle-timeout", "1s")
        self.assertFalse(self.ends(up, 1.5))
        client.in_background(client.wait_end)
        self.assertEqual(up.wait_end(5).kind, "reset", "and runs again when it does")
        self.log(end="upstream_idle")

    def test_the_clients_clock_stops_while_the_upstream_does_not_read(self):
        client, up = self.upload("length", "--client-idle-timeout", "2s")
        client.fill(b"x" * 65536, quiet=1)  # longer than a busy machine keeps bytes on their way
        self.assertFalse(self.ends(client, 3.0))
        up.in_background(up.wait_end)
        self.assert_problem(client.response(), 408)
        client.close()
        self.log(end="client_idle")

    def test_the_first_bytes_clock_waits_for_the_request(self):
        """None of the upstream's time passes while the client still sends."""
        client, up = self.upload("length", "--first-byte-timeout", SHORT)
        for _ in range(8):
            self.assertFalse(self.ends(client, 0.1))
            client.send(b"more")
            self.assertEqual(up.recv_exact(4), b"more")
        client.close()
        self.assertEqual(up.wait_end().kind, "reset")
        self.log(status=None, end="client_closed")

    def ends(self, wire, within):
        try:
            wire.wait_end_unread(within)
        except AssertionError:
            return False
        return True


if __name__ == "__main__":
    unittest.main()
