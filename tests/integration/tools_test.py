#!/usr/bin/env python3
"""The tools of the other tests: that they are strict, and that they tell the ends apart."""

import unittest

from support import (Client, Cut, LogLine, Origin, ProtocolError, RequestHead, ResponseHead, chunk, eventually, request,
                     response)


class Strictness(unittest.TestCase):
    def test_heads(self):
        for bad in [b"HTTP/1.1 200 OK\nA: b\r\n\r\n", b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n",
                    b"HTTP/1.1 200\r\n\r\n", b"HTTP/1.1 200 OK\r\n folded\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n",
                    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                    b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", b"HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n",
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"]:
            with self.subTest(bad), self.assertRaises(ProtocolError):
                ResponseHead(bad)
        for bad in [b"GET / HTTP/1.1\r\n\r\n", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
                    b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n"]:
            with self.subTest(bad), self.assertRaises(ProtocolError):
                RequestHead(bad)

    def test_framing(self):
        self.assertEqual(ResponseHead(response(200)).framing, "close")
        self.assertEqual(ResponseHead(response(304, [("Content-Length", "5")])).framing, "none")
        self.assertEqual(ResponseHead(response(200, [("Content-Length", "5")]), "HEAD").framing, "none")
        self.assertEqual(ResponseHead(response(200, [("Content-Length", "5")])).framing, "length")
        self.assertEqual(RequestHead(request("GET", "/")).framing, "none")

    def test_log_lines(self):
        line = LogLine.parse("2026-11-22T13:45:01.123Z 200 GET /path client=127.0.0.1:1 upstream=127.0.0.1:2 up=0 down=12 "
                             "ms=12.345 end=complete id=abc")
        self.assertEqual((line.status, line.down, line.ms, line.end, line.id), (200, 12, 12.345, "complete", "abc"))
        with self.assertRaises(AssertionError):
            LogLine.parse("2026-11-22T13:45:01.123Z 200 GET /path client=127.0.0.1:1 upstream=127.0.0.1:2 up=0 down=12 "
                          "ms=12.345 end=mystery id=abc")


class Ends(unittest.TestCase):
    def setUp(self):
        self.origin = Origin()
        self.addCleanup(self.origin.close)
        self.client = Client(self.origin.address)
        self.addCleanup(self.client.close)
        self.peer = self.origin.accept()

    def test_fin(self):
        self.peer.send(b"abc")
        self.peer.half_close()
        end = self.client.wait_end()
        self.assertEqual((end.kind, end.bytes), ("fin", 3))
        self.client.send(b"still")
        self.assertEqual(self.peer.recv_exact(5), b"still")

    def test_reset(self):
        self.peer.send(b"abc")
        self.peer.reset()
        end = self.client.wait_end()
        self.assertEqual((end.kind, end.bytes), ("reset", 3))

    def test_reset_while_sending(self):
        thread = self.client.in_background(self.client.send, b"x" * (64 << 20))
        self.peer.recv_exact(1000)
        self.peer.reset()
        thread.join(5)
        self.assertFalse(thread.is_alive())
        self.assertEqual(self.client.wait_end().kind, "reset")

    def test_end_unread(self):
        self.client.send(b"x" * 1000)
        self.client.half_close()
        self.peer.wait_end_unread()
        self.assertEqual(self.peer.recv_exact(1000), b"x" * 1000)

    def test_fill_stops_at_backpressure(self):
        taken = self.client.fill(b"x" * 65536)
        self.assertGreater(taken, 10_000)
        self.client.half_close()
        self.assertEqual(self.peer.wait_end().bytes, taken)

    def test_no_end(self):
        self.assertTrue(self.client.open_and_silent())
        with self.assertRaises(AssertionError):
            self.client.wait_end(0.05)
        self.peer.send(b"x")
        eventually(lambda: not self.client.open_and_silent(0.001))

    def test_cut_bodies(self):
        for head, body in [(b"Content-Length: 10", b"short"), (b"Transfer-Encoding: chunked", b"5\r\nabc"),
                           (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n"),
                           (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n")]:
            for kind in ("fin", "reset"):
                with self.subTest(body=body, kind=kind):
                    client = Client(self.origin.address)
                    peer = self.origin.accept()
                    peer.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + body)
                    peer.half_close() if kind == "fin" else peer.reset()
                    with self.assertRaises(Cut) as cut:
                        client.recv_body(client.recv_head())
                    self.assertEqual(cut.exception.kind, kind)
                    client.close()

    def test_malformed_chunks(self):
        for body in [b"5;x\r\nhello\r\n0\r\n\r\n", b"05 \r\nhello\r\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n"]:
            with self.subTest(body):
                client = Client(self.origin.address)
                self.origin.accept().send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
                with self.assertRaises(ProtocolError):
                    client.recv_body(client.recv_head())
                client.close()

    def test_refusal(self):
        self.origin.stop_listening()
        with self.assertRaises(ConnectionRefusedError):
            Client(self.origin.address)
        self.client.send(b"still open")
        self.assertEqual(self.peer.recv_exact(10), b"still open")


class Scripts(unittest.TestCase):
    def test_exchange(self):
        def script(conn):
            def handle(conn, head):
                body = conn.recv_body(head)
                conn.respond(200, [("X-Target", head.target)], [body.data, b"tail"], chunked=True, trailers=[("X-T", "v")])

            conn.serve(handle)

        origin = Origin(script)
        self.addCleanup(origin.close)
        client = Client(origin.address)
        self.addCleanup(client.close)
        for target in ("/1", "/2"):
            answer = client.exchange("POST", target, body=[b"ab", b"c"], chunked=True)
            self.assertEqual((answer.status, answer.head["X-Target"], answer.data), (200, target, b"abctail"))
            self.assertEqual(answer.body.trailers.lines, [("X-T", "v")])
        client.send(chunk(b"no request"))
        client.half_close()
        self.assertEqual(client.wait_end().kind, "fin")
        self.assertEqual(origin.failures, [])

    def test_failures_are_kept(self):
        origin = Origin(lambda conn: 1 / 0)
        client = Client(origin.address)
        client.wait_end()
        client.close()
        eventually(lambda: origin.failures)
        self.assertIsInstance(origin.failures[0], ZeroDivisionError)
        origin.close()


if __name__ == "__main__":
    unittest.main()
