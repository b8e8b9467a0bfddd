#!/usr/bin/env python3
"""Which connection carries what: keep-alive, reuse, pipelining, versions, and many clients at once."""

import hashlib
import signal
import threading
import unittest

from support import Client, GatewayCase, chunk, eventually, request, response


def ok(connection):
    """Answers every request with its target."""

    def handle(conn, head):
        conn.recv_body(head)
        conn.respond(200, [("X-Connection", str(conn.number))], head.target.encode() if head.method != "HEAD" else b"")

    connection.serve(handle)


class KeepAlive(GatewayCase):
    def test_one_connection_each_side(self):
        self.start(script=ok)
        client = self.client()
        for i in range(50):
            answer = client.exchange("GET", f"/{i}")
            self.assertEqual((answer.status, answer.data), (200, f"/{i}".encode()))
            self.assertNotIn("Connection", answer.head)
        self.assertEqual(len(self.origin.connections), 1)
        live = self.gateway.live()
        self.assertEqual((live["connections"], live["requests"], live["upstream_busy"], live["upstream_idle"]), (1, 0, 0, 1))

    def test_upstream_connections_serve_many_clients(self):
        self.start(script=ok)
        for i in range(20):
            client = self.client()
            self.assertEqual(client.exchange("GET", f"/{i}").data, f"/{i}".encode())
            client.close()
        self.assertEqual(len(self.origin.connections), 1)

    def test_many_small_requests(self):
        self.start("--access-log", "off", script=ok)
        client = self.client()
        for i in range(2000):
            client.request("POST" if i % 3 == 0 else "GET", f"/{i}", body=b"b" * (i % 7) if i % 3 == 0 else None)
            self.assertEqual(client.response().data, f"/{i}".encode())
        self.assertEqual(len(self.origin.connections), 1)
        self.assertEqual(self.gateway.all_logs, [])

    def test_connection_close_by_the_client(self):
        self.start(script=ok)
        client = self.client()
        answer = client.exchange("GET", "/", ("Connection", "close"))
        self.assertEqual((answer.data, answer.head["Connection"]), (b"/", "close"))
        self.assertTrue(client.is_closed(1))
        self.assertEqual(self.client().exchange().head["X-Connection"], "1", "the upstream connection was kept")

    def test_connection_close_by_the_origin(self):
        def script(conn):
            conn.recv_head()
            conn.respond(200, [("Connection", "close")], b"%d" % conn.number)

        self.start(script=script)
        client = self.client()
        for i in (1, 2, 3):
            answer = client.exchange()
            self.assertEqual(answer.data, b"%d" % i)
            self.assertNotIn("Connection", answer.head)

    def test_pipelined(self):
        self.start(script=ok)
        client = self.client()
        requests = [request("POST", f"/{i}", body=b"x" * i) if i % 2 else request("GET", f"/{i}") for i in range(100)]
        client.in_background(client.send, b"".join(requests))
        for i in range(100):
            self.assertEqual(client.response().data, f"/{i}".encode())
        client.close()
        for i in range(100):
            self.log(target=f"/{i}", end="complete", up=i if i % 2 else 0)
        self.assertEqual(len(self.origin.connections), 1)

    def test_pipelined_in_odd_pieces(self):
        """Heads, bodies and chunks cut anywhere, next messages behind them."""
        self.start(script=ok)
        client = self.client()
        stream = b"".join(request("POST", f"/{i}", body=[b"abc", b"d" * 40], chunked=True) if i % 2 else
                          b"\r\n" + request("GET", f"/{i}") for i in range(40))

        def send():
            at, size = 0, 1
            while at < len(stream):
                client.send(stream[at:at + size])
                at, size = at + size, size % 97 + 1

        client.in_background(send)
        for i in range(40):
            self.assertEqual(client.response().data, f"/{i}".encode())

    def test_pipelined_behind_a_close(self):
        """What follows a request with Connection: close is not a request."""
        self.start(script=ok)
        client = self.client()
        client.send(request("GET", "/1", [("Connection", "close")]) + request("GET", "/2"))
        self.assertEqual(client.response().data, b"/1")
        client.wait_end(3)
        self.log(target="/1", end="complete")
        self.leaks.wait_idle()
        self.assert_no_more_logs()

    def test_pipelined_behind_a_refusal(self):
        self.start(script=ok)
        client = self.client()
        client.send(request("GET", "/1") + b"nonsense\r\n\r\n" + request("GET", "/3"))
        self.assertEqual(client.response().data, b"/1")
        self.assert_problem(client.response(), 400)
        client.wait_end(3)
        self.log(target="/1", end="complete")
        self.log(end="client_protocol", status=400)
        self.leaks.wait_idle()
        self.assert_no_more_logs()

    def test_idle_pool_is_bounded(self):
        started = threading.Semaphore(0)
        go_on = threading.Event()

        def script(conn):
            def handle(conn, head):
                started.release()
                go_on.wait(10)
                conn.respond(200, body=b"ok")

            conn.serve(handle)

        self.start("--upstream-idle-max", "3", script=script)
        clients = [self.client() for _ in range(10)]
        for client in clients:
            client.request()
        for _ in clients:
            self.assertTrue(started.acquire(timeout=10))
        self.assertEqual(self.gateway.live()["upstream_busy"], 10)
        go_on.set()
        for client in clients:
            self.assertEqual(client.response().data, b"ok")
        eventually(lambda: (live := self.gateway.live())["upstream_idle"] == 3 and live["upstream_busy"] == 0)
        eventually(lambda: sum(c.closed_at is not None for c in self.origin.connections) == 7)


class Dirty(GatewayCase):
    """An upstream connection that may hold something of one exchange never carries another."""

    def play(self, first_answer, first_request=request("GET", "/1"), method="GET"):
        """One exchange whose upstream connection must end, then one that needs a new one."""
        self.start()
        client = self.client()
        client.send(first_request)
        first = self.origin.accept()
        first.recv_head()
        first.send(first_answer)
        answer = client.response(method)
        self.assertEqual(answer.status, 200)
        first.wait_end(2)
        self.assertEqual(self.gateway.live()["upstream_idle"], 0)
        if b"POST" in first_request:  # which has not ended
            client.close()
            client = self.client()
        client.request("GET", "/2")
        second = self.origin.accept()
        self.assertEqual(second.recv_head().target, "/2")
        second.respond(body=b"second")
        self.assertEqual(client.response().data, b"second")
        return answer

    def test_surplus_after_length(self):
        self.assertEqual(self.play(response(body=b"first") + b"HTTP/1.1 200 OK\r\n").data, b"first")

    def test_surplus_after_chunked(self):
        self.assertEqual(self.play(response(body=[b"first"], chunked=True) + b"\r\n").data, b"first")

    def test_surplus_after_no_body(self):
        self.play(response(200, [("Content-Length", "5")]) + b"stray", request("HEAD", "/1"), "HEAD")

    def test_surplus_while_idle(self):
        self.start()
        client = self.client()
        client.request("GET", "/1")
        first = self.origin.accept()
        first.recv_head()
        first.respond(body=b"first")
        client.response()
        eventually(lambda: self.gateway.live()["upstream_idle"] == 1)
        first.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        first.wait_end(2)
        client.request("GET", "/2")
        second = self.origin.accept()
        self.assertEqual(second.recv_head().target, "/2")
        second.respond(body=b"second")
        self.assertEqual(client.response().data, b"second")

    def test_connection_close(self):
        self.play(response(200, [("Connection", "close")], b"first"))

    def test_http_1_0(self):
        self.play(response(200, [], b"first", version="1.0"))

    def test_http_1_0_keep_alive(self):
        self.play(response(200, [("Connection", "keep-alive")], b"first", version="1.0"))

    def test_request_body_not_finished(self):
        self.play(response(body=b"early"), request("POST", "/1", [("Content-Length", "100")]) + b"only some")

    def test_request_body_not_finished_chunked(self):
        self.play(response(body=b"early"), request("POST", "/1", [("Transfer-Encoding", "chunked")]) + chunk(b"some"))


class Versions(GatewayCase):
    def test_http_1_0_client(self):
        self.start(script=ok)
        client = self.client()
        client.send(b"GET /old HTTP/1.0\r\n\r\n")
        up_head = eventually(lambda: self.origin.connections) and client.response()
        self.assertEqual((up_head.status, up_head.data), (200, b"/old"))
        self.assertTrue(client.is_closed(1))

    def test_http_1_0_client_keep_alive(self):
        self.start(script=ok)
        client = self.client()
        for i in range(3):
            client.send(b"GET /%d HTTP/1.0\r\nHost: test.example\r\nConnection: keep-alive\r\n\r\n" % i)
            answer = client.response()
            self.assertEqual((answer.data, answer.head["Connection"]), (b"/%d" % i, "keep-alive"))

    def test_http_1_0_client_and_chunked_response(self):
        """HTTP/1.0 knows no chunks: the payload goes out bare, and the end is the connection's."""

        def script(conn):
            conn.recv_head()
            conn.respond(200, [], [b"some", b"thing"], chunked=True, trailers=[("X-T", "1")])
            conn.wait_end()

        self.start(script=script)
        client = self.client()
        client.send(b"GET / HTTP/1.0\r\nHost: test.example\r\nConnection: keep-alive\r\n\r\n")
        answer = client.response()
        self.assertEqual((answer.head.framing, answer.data), ("close", b"something"))
        self.assertEqual(answer.head.get("Connection"), "close")
        self.log(down=9, end="complete")

    def test_http_1_0_client_and_cut_chunked_response(self):
        self.start()
        client = self.client()
        client.send(b"GET / HTTP/1.0\r\nHost: test.example\r\n\r\n")
        up = self.origin.accept()
        up.recv_head()
        up.send(response(200, [("Transfer-Encoding", "chunked")]) + chunk(b"some"))
        self.assertEqual(client.recv_head().framing, "close")
        self.assertEqual(client.recv_exact(4), b"some")
        up.close()
        self.assertEqual(client.wait_end().kind, "reset")
        self.log(end="upstream_closed")

    def test_http_1_0_origin(self):
        def script(conn):
            conn.recv_head()
            conn.send(b"HTTP/1.0 200 OK\r\nX-Number: %d\r\n\r\nold" % conn.number)

        self.start(script=script)
        for i in (1, 2):
            client = self.client()
            answer = client.exchange()
            self.assertEqual((answer.head.framing, answer.data, answer.head["X-Number"]), ("close", b"old", str(i)))
            self.assertTrue(client.end.kind == "fin")

    def test_later_minor_version_is_1_1(self):
        self.start(script=ok)
        client = self.client()
        client.send(b"GET /new HTTP/1.9\r\nHost: test.example\r\n\r\n")
        self.assertEqual(client.response().data, b"/new")
        self.assertEqual(client.exchange().status, 200)


class ManyClients(GatewayCase):
    def test_64_at_once(self):
        def script(conn):
            def handle(conn, head):
                body = conn.recv_body(head)
                digest = body.sha256.encode()
                if len(body.data) % 2:
                    conn.respond(200, body=digest + body.data)
                else:
                    conn.respond(200, body=[digest, body.data], chunked=True)

            conn.serve(handle)

        self.start(script=script, workers=2)

        def run(client, number):
            for i in range(6):
                data = hashlib.sha256(b"%d/%d" % (number, i)).digest() * (1 + (number * 7 + i * 311) % 900)
                data = data[:len(data) - number % 2]
                message = request("POST", f"/{number}", body=[data] if i % 2 else data, chunked=bool(i % 2))
                client.send(message)
                answer = client.response()
                if answer.data != hashlib.sha256(data).hexdigest().encode() + data:
                    raise ValueError(f"client {number} got another's answer, or a wrong one, to request {i}")

        clients = [self.client() for _ in range(64)]
        workers = [client.in_background(run, client, i) for i, client in enumerate(clients)]
        for worker in workers:
            worker.join(60)
            self.assertFalse(worker.is_alive())
        self.assertEqual([failure for client in clients for failure in client.failures], [])
        eventually(lambda: len(self.gateway.all_logs) == 64 * 6)
        self.assertEqual({line.end for line in self.gateway.all_logs}, {"complete"})

    def test_two_workers_share_the_port(self):
        self.start(script=ok, workers=2)
        for i in range(40):
            client = Client(self.gateway.address)
            self.assertEqual(client.exchange("GET", f"/{i}").data, f"/{i}".encode())
            client.close()
        self.assertEqual(len(self.origin.connections), 2, "each worker has an upstream connection of its own")


class Replaced(GatewayCase):
    """A pooled connection that the upstream ends at the very moment in which it is taken."""

    def post_over_a_dead_connection(self, end):
        self.start()
        client = self.client()
        client.request("GET", "/first")
        pooled = self.origin.accept()
        pooled.recv_head()
        pooled.respond(body=b"first")
        client.response()
        eventually(lambda: self.gateway.live()["upstream_idle"] == 1)
        self.gateway.signal(signal.SIGSTOP)  # it hears of the request before it hears of the end
        try:
            client.request("POST", "/second", body=b"do this once")
            end(pooled)
        finally:
            self.gateway.signal(signal.SIGCONT)
        return client

    def test_what_was_not_taken_is_sent_again(self):
        client = self.post_over_a_dead_connection(lambda pooled: pooled.reset())
        fresh = self.origin.accept()
        head, body = fresh.recv_request()
        self.assertEqual((head.method, head.target, body.data), ("POST", "/second", b"do this once"))
        fresh.respond(body=b"done")
        self.assertEqual(client.response().data, b"done")
        self.log(target="/second", status=200, end="complete")

    def test_what_may_have_been_taken_is_not(self):
        client = self.post_over_a_dead_connection(lambda pooled: pooled.half_close())
        answer = client.response()
        self.assertEqual(answer.status, 502)
        self.assertTrue(self.origin.no_connection())
        self.log(target="/second", status=502)


if __name__ == "__main__":
    unittest.main()
