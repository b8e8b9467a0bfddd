#!/usr/bin/env python3
"""Requests that are sent once more: when, when not, how often, and what is left when somebody leaves meanwhile."""

import threading
import time
import unittest

from support import SLACK, Origin, RunCase, eventually, named

BODY = bytes(range(256)) * 180  # 45 KiB: more than comes in with the head, less than the replay buffer


class RetryCase(RunCase):
    def start_retries(self, endpoints, retries, upstream="", proxy="", server=""):
        if self.gateway:
            self.gateway.stop()
        names = ", ".join(f"'{e}'" for e in endpoints)
        self.run_with(self.listener() + f"routes: [{{proxy: {{upstream: x, retries: {{{retries}}}{proxy}}}}}]\n"
                      f"upstreams: {{x: {{endpoints: [{names}], ejection: {{consecutive_failures: 0}}, "
                      f"balancing: {{policy: round_robin}}{upstream}}}}}\n", workers=1, more=server)

    def scripted(self, *manners):
        """An origin that treats its requests, as they come, in these ways; the last one goes on."""
        self.seen = []
        lock = threading.Lock()

        def script(conn):
            def handle(conn, head):
                body = conn.recv_body(head)
                with lock:
                    number = len(self.seen)
                    self.seen.append((head, body.data if body else b""))
                return manners[min(number, len(manners) - 1)](conn)

            conn.serve(handle)

        return self.origin_named("scripted", script)


def ok(conn):
    conn.respond(200, [], b"ok")


def reset(conn):
    conn.reset()
    return False


def status(code, *fields):
    return lambda conn: conn.respond(code, list(fields), b"sorry")


def silent(conn):
    conn.wait_end(20)
    return False


class Conditions(RetryCase):
    def statuses(self, retries, *manners, **how):
        origin = self.scripted(*manners)
        self.start_retries([origin.name], retries, **how)
        return self.client().exchange()

    def test_without_conditions_nothing_is_sent_again(self):
        self.assertEqual(self.statuses("num_retries: 5", reset, ok).status, 502)
        self.assertEqual(len(self.seen), 1)

    def test_reset(self):
        self.assertEqual(self.statuses("retry_on: [reset]", reset, ok).data, b"ok")
        self.assertEqual(len(self.seen), 2)
        self.assertEqual(self.seen[0][0].target, self.seen[1][0].target)
        self.assertEqual(self.seen[0][0]["X-Request-Id"], self.seen[1][0]["X-Request-Id"])

    def test_a_status(self):
        answer = self.statuses("retry_on: [503]", status(503), ok)
        self.assertEqual((answer.status, answer.data), (200, b"ok"))
        self.assertEqual(len(self.origin_connections()), 1, "the connection was kept: its answer was whole")

    def origin_connections(self):
        return self._origins[-1].connections

    def test_another_status_is_passed_on(self):
        answer = self.statuses("retry_on: [503]", status(500), ok)
        self.assertEqual((answer.status, answer.data), (500, b"sorry"))
        self.assertEqual(len(self.seen), 1)

    def test_the_last_answer_is_passed_on(self):
        answer = self.statuses("retry_on: [5xx], num_retries: 3, base_interval: 1ms", status(503))
        self.assertEqual((answer.status, answer.data), (503, b"sorry"))
        self.assertEqual(len(self.seen), 4)

    def test_a_try_that_takes_too_long(self):
        begun = time.monotonic()
        answer = self.statuses("retry_on: [timeout], per_try_timeout: 200ms", silent, ok)
        self.assertEqual(answer.data, b"ok")
        self.assertGreaterEqual(time.monotonic() - begun, 0.2)

    def test_all_tries_together_have_a_limit(self):
        begun = time.monotonic()
        answer = self.statuses("retry_on: [timeout], per_try_timeout: 300ms, num_retries: 100", silent,
                               proxy=", first_byte_timeout: 700ms")
        self.assertEqual(answer.status, 504)
        self.assertGreaterEqual(time.monotonic() - begun, 0.69)
        self.assertLess(time.monotonic() - begun, 1.2 * SLACK)
        self.assertIn(len(self.seen), (2, 3))

    def test_nobody_listens_for_a_while(self):
        origin = self.scripted(ok)
        port = origin.address[1]
        origin.close()
        self.start_retries([origin.name], "retry_on: [connect_failure], num_retries: 100, base_interval: 20ms")
        client = self.client()
        client.request("POST", "/", body=b"once")  # nothing was sent: it does no harm
        eventually(lambda: self.gateway.live()["requests"] == 1)
        self.assertTrue(client.open_and_silent(0.1))
        self.origin_named("back", port=port)
        self.assertEqual(client.response().data, b"back")

    def test_it_goes_to_another_endpoint(self):
        bad, good = self.origin_named("bad", lambda conn: conn.serve(lambda c, h: reset(c))), self.origin_named("good")
        self.start_retries([bad.name, good.name], "retry_on: [reset]")
        client = self.client()
        for _ in range(20):
            self.assertEqual(client.exchange().data, b"good")
        self.assertGreater(len(bad.connections), 3)

    def test_retry_after_is_waited_for(self):
        begun = time.monotonic()
        answer = self.statuses("retry_on: [503]", status(503, ("Retry-After", "1")), ok)
        self.assertEqual(answer.data, b"ok")
        self.assertGreaterEqual(time.monotonic() - begun, 1.0)

    def test_an_answer_that_asks_for_too_long_a_pause_is_passed_on(self):
        answer = self.statuses("retry_on: [503]", status(503, ("Retry-After", "2")), ok)
        self.assertEqual((answer.status, answer.head["Retry-After"]), (503, "2"))
        self.assertEqual(len(self.seen), 1)


class Bodies(RetryCase):
    def send_twice(self, send, retries="retry_on: [reset]", manners=(reset, ok)):
        origin = self.scripted(*manners)
        self.start_retries([origin.name], retries)
        client = self.client()
        send(client)
        return client.response()

    def test_a_body_with_a_length(self):
        for retries in ("retry_on: [reset]", "retry_on: [reset], replay_buffer: 46080"):
            with self.subTest(retries):
                self.assertEqual(self.send_twice(lambda c: c.request("PUT", "/", body=BODY), retries).data, b"ok")
                self.assertEqual([body for _, body in self.seen], [BODY, BODY])

    def test_a_chunked_body_with_trailers(self):
        def send(client):
            client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
            for at in range(0, len(BODY), 10_000):
                piece = BODY[at:at + 10_000]
                client.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            client.send(b"0\r\nX-Sum: 7\r\n\r\n")

        self.assertEqual(self.send_twice(send).data, b"ok")
        self.assertEqual([body for _, body in self.seen], [BODY, BODY])

    def test_a_body_that_has_only_begun(self):
        """What has come is sent again, and the rest goes where the retry goes."""
        for framing in ("length", "chunked"):
            with self.subTest(framing):
                origin = Origin()
                self._origins.append(origin)
                self.start_retries([origin.name], "retry_on: [reset]")
                client = self.client()
                halves = BODY[:20_000], BODY[20_000:]
                if framing == "length":
                    client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY))
                    client.send(halves[0])
                else:
                    client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                    client.send(b"%x\r\n" % len(BODY) + halves[0])  # in the midst of a chunk
                first = origin.accept()
                first.recv_head()
                first.recv_exact(20_000)
                first.reset()
                second = origin.accept()
                head = second.recv_head()
                client.send(halves[1] + (b"" if framing == "length" else b"\r\n0\r\n\r\n"))
                self.assertEqual(second.recv_body(head).data, BODY)
                second.respond(200, [], b"ok")
                self.assertEqual(client.response().data, b"ok")
                self.assertEqual(self.log().up, len(BODY))
                client.close()

    def test_a_body_beyond_the_buffer_is_not_sent_again(self):
        for framing in ("length", "chunked"):
            with self.subTest(framing):
                def send(client):
                    client.request("PUT", "/", body=BODY, chunked=framing == "chunked")

                self.assertEqual(self.send_twice(send, "retry_on: [reset], replay_buffer: 40KiB").status, 502)
                self.assertEqual(len(self.seen), 1)

    def test_a_post_is_not_sent_again_unless_told(self):
        self.assertEqual(self.send_twice(lambda c: c.request("POST", "/", body=b"x")).status, 502)
        self.assertEqual(len(self.seen), 1)
        answer = self.send_twice(lambda c: c.request("POST", "/", body=b"x"), "retry_on: [reset], non_idempotent: true")
        self.assertEqual(answer.data, b"ok")
        self.assertEqual([body for _, body in self.seen], [b"x", b"x"])


class Limits(RetryCase):
    def test_nothing_is_sent_again_when_the_client_has_heard_anything(self):
        def hint(conn):
            conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            conn.reset()
            return False

        origin = self.scripted(hint, ok)
        self.start_retries([origin.name], "retry_on: [reset]")
        self.assertEqual(self.client().exchange().status, 502)
        self.assertEqual(len(self.seen), 1)

    def test_a_response_that_breaks_off_is_not_begun_again(self):
        def half(conn):
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            conn.reset()
            return False

        origin = self.scripted(half, ok)
        self.start_retries([origin.name], "retry_on: [5xx]")
        client = self.client()
        client.request()
        self.assertEqual(client.wait_end().kind, "reset")
        self.assertEqual(len(self.seen), 1)

    def test_the_budget(self):
        """Of many requests that fail at a time only a share is sent again."""
        together = threading.Barrier(20)

        def sorry(conn):
            try:
                together.wait(5)
            except threading.BrokenBarrierError:
                pass  # the retries
            conn.respond(503, [], b"sorry")

        origin = self.scripted(sorry)
        self.start_retries([origin.name], "retry_on: [503], base_interval: 500ms, max_interval: 500ms",
                           ", retry_budget: {budget_percent: 20, min_retry_concurrency: 1}")
        clients = [self.client() for _ in range(20)]
        for client in clients:
            client.request()
        together_or_not = [client.response().status for client in clients]
        self.assertEqual(together_or_not, [503] * 20)
        # Those that end make the share smaller, and a retry that is over leaves its place.
        self.assertGreaterEqual(len(self.seen), 21)
        self.assertLessEqual(len(self.seen), 20 + 8)

    def test_a_client_that_leaves_ends_the_back_off(self):
        for leave, end in (("close", "client_closed"), ("reset", "client_reset")):
            with self.subTest(leave):
                origin = self.scripted(status(503, ("Retry-After", "60")))
                self.start_retries([origin.name], "retry_on: [503], retry_after_max: 1m",
                                   ", connections_max: 1", ", first_byte_timeout: 2m")
                client = self.client()
                client.request()
                eventually(lambda: self.gateway.live()["upstream_idle"] == 1)
                self.assertEqual(self.gateway.live()["requests"], 1)
                begun = time.monotonic()
                getattr(client, leave)()
                self.log(end=end)
                self.leaks.wait_idle()
                self.assertLess(time.monotonic() - begun, SLACK)

    def test_a_permit_is_not_held_while_a_retry_waits(self):
        origin = self.scripted(status(503, ("Retry-After", "60")), ok)
        self.start_retries([origin.name], "retry_on: [503], retry_after_max: 1m",
                           ", connections_max: 1, queue_max: 0", ", first_byte_timeout: 2m")
        waiting = self.client()
        waiting.request()
        eventually(lambda: self.gateway.live()["upstream_idle"] == 1)
        self.assertEqual(self.client().exchange().data, b"ok")
        waiting.reset()

    def test_a_shutdown_ends_the_back_off(self):
        origin = self.scripted(status(503, ("Retry-After", "60")))
        self.start_retries([origin.name], "retry_on: [503], retry_after_max: 1m", proxy=", first_byte_timeout: 2m",
                           server=", drain_timeout: 300ms")
        client = self.client()
        client.request()
        eventually(lambda: self.gateway.live()["upstream_idle"] == 1)
        begun = time.monotonic()
        self.gateway.stop()
        self.assertLess(time.monotonic() - begun, 3 * SLACK)
        self.assertEqual(self.gateway.all_logs[-1].end, "drained")


if __name__ == "__main__":
    unittest.main()
