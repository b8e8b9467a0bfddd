#!/usr/bin/env python3
"""Traces: who continues and begins one, what the upstream is told, and what the collector gets, whatever it does."""

import re
import signal
import sqlite3
import subprocess
import threading
import time
import unittest
from pathlib import Path

from support import BINARY, SLACK, RunCase, eventually, free_port, request
from support.collector import Collector
from support.peers import NGINX, Peer
from tls_test import Authority

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = GIVEN[:-2] + "00"
PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[01])")


def ok(conn):
    conn.respond(200, [], b"ok")


class TracingCase(RunCase):
    def setUp(self):
        super().setUp()
        self.seen = []
        self.collector = None

    def tearDown(self):
        try:
            super().tearDown()
        finally:
            if self.collector:
                self.collector.close()
                self.assertEqual(self.collector.wrong, [])

    def trace(self, tracing="", collector=True, answers=(ok,), listener="", proxy="", more="", upstream="", to=None, interval="50ms"):
        lock = threading.Lock()

        def script(conn):
            def handle(conn, head):
                conn.recv_body(head)
                with lock:
                    number = len(self.seen)
                    self.seen.append(head)
                return answers[min(number, len(answers) - 1)](conn)

            conn.serve(handle)

        if collector is True:
            collector = self.collector = Collector()
        at = f"collector: '{collector.url()}', " if collector else ""
        to = to or self.origin_named("traced", script).name
        self.run_with(
            f"listeners: [{{name: web, address: '127.0.0.1:{self.port}'{listener}}}]\n"
            f"tracing: {{{at}interval: {interval}{tracing}}}\n"
            f"routes: [{{name: all, match: {{path_prefix: /api/}}, proxy: {{upstream: x{proxy}}}}}]\n"
            f"upstreams: {{x: {{endpoints: ['{to}']{upstream}}}}}\n", workers=1, more=more)
        return collector

    def parent_seen(self, number=-1):
        """What the upstream was told in its one traceparent."""
        found = PARENT.fullmatch(self.seen[number]["traceparent"])
        self.assertTrue(found, self.seen[number]["traceparent"])
        return found.groups()

    def requests(self, count, within=5.0):
        """The traces of so many requests, when the collector has them."""
        return eventually(lambda: len(trees := self.collector.trees()) == count and trees, within * SLACK)


class Context(TracingCase):
    def ask(self, *fields, target="/api/x"):
        answer = self.client().exchange("GET", target, *fields)
        self.assertEqual(answer.status, 200)

    def test_without_tracing_it_is_a_field_like_any_other(self):
        self.start(script=lambda conn: conn.serve(lambda c, head: (self.seen.append(head), ok(c))[1]))
        self.ask(("Traceparent", "what you like"), ("tracestate", "="))
        self.assertEqual((self.seen[0]["traceparent"], self.seen[0]["tracestate"]), ("what you like", "="))

    def test_begun(self):
        self.trace(", sampling: 0", collector=None)
        for number in range(3):
            self.ask(("tracestate", "foo=1"))
            self.assertEqual(self.parent_seen()[2], "00")
            self.assertNotIn("tracestate", self.seen[number])
        self.assertEqual(len({self.parent_seen(n)[0] for n in range(3)}), 3)

    def test_continued_from_whom_it_is_believed(self):
        for trust, listener, continued in (("all", "", True), ("none", ", trusted_proxies: [127.0.0.1]", False),
                                           ("trusted_proxies", "", False),
                                           ("trusted_proxies", ", trusted_proxies: [127.0.0.1]", True)):
            with self.subTest(trust=trust, listener=listener):
                if self.gateway:
                    self.gateway.stop()
                self.trace(f", sampling: 0, trust: {trust}", collector=None, listener=listener)
                for given in (GIVEN, UNSAMPLED):
                    self.ask(("traceparent", given), ("tracestate", "foo=1"), ("TraceState", "bar=2"))
                    trace, span, flags = self.parent_seen()
                    self.assertEqual(trace == GIVEN[3:35], continued)
                    self.assertNotEqual(span, GIVEN[36:52])
                    self.assertEqual(flags, given[-2:] if continued else "00")
                    self.assertEqual(self.seen[-1].all("tracestate"), ["foo=1", "bar=2"] if continued else [])

    def test_what_is_malformed_is_replaced(self):
        self.trace(", sampling: 0, trust: all", collector=None)
        for wrong in (GIVEN.upper(), GIVEN[:-1], GIVEN + "-00", "ff" + GIVEN[2:], GIVEN.replace("00f067aa0ba902b7", "0" * 16),
                      "", "x" * 4000):
            self.ask(("traceparent", wrong), ("tracestate", "foo=1"))
            self.assertNotEqual(self.parent_seen()[0], GIVEN[3:35])
            self.assertNotIn("tracestate", self.seen[-1])
        self.ask(("traceparent", GIVEN), ("traceparent", GIVEN))
        self.assertNotEqual(self.parent_seen()[0], GIVEN[3:35])
        self.ask(("traceparent", GIVEN), ("tracestate", "Foo=1"))
        self.assertEqual(self.parent_seen()[0], GIVEN[3:35], "the state alone is left out")
        self.assertNotIn("tracestate", self.seen[-1])

    def test_later_versions_go_on_as_the_first(self):
        self.trace(", sampling: 0, trust: all", collector=None)
        self.ask(("traceparent", "cc" + GIVEN[2:] + "-and-more"))
        self.assertEqual(self.parent_seen()[0], GIVEN[3:35])

    def test_a_route_may_take_it_out(self):
        self.trace(", sampling: 1", collector=None, proxy=", request_headers: {remove: [traceparent]}")
        self.ask()
        self.assertNotIn("traceparent", self.seen[0])


class Spans(TracingCase):
    def test_a_request(self):
        self.trace(", sampling: 1, service_name: 'gate \"1\"', headers: {Authorization: Bearer x}")
        client = self.client()
        client.send(request("POST", "/api/x%20y?a=1&token=secret", [("User-Agent", "tester/1")], body=b"12345", host="h.example:81"))
        answer = client.response()
        self.assertEqual(answer.status, 200)
        (span,) = self.requests(1)
        self.assertEqual(span.name, "POST /api/*")
        self.assertEqual(span.parent, None)
        self.assertFalse(span.failed)
        wanted = {"http.request.method": "POST", "url.scheme": "http", "url.path": "/api/x%20y", "url.query": "a=1&token=-",
                  "http.route": "/api/*", "server.address": "h.example", "server.port": 81, "client.address": "127.0.0.1",
                  "network.peer.address": "127.0.0.1", "network.protocol.version": "1.1", "user_agent.original": "tester/1",
                  "http.response.status_code": 200, "http.request.body.size": 5, "http.response.body.size": 2,
                  "headgate.request_id": answer.head["X-Request-Id"], "headgate.route": "all", "headgate.cause": "complete"}
        self.assertEqual({k: span.attributes.get(k) for k in wanted}, wanted)
        (attempt,) = span.children
        self.assertEqual((attempt.kind, attempt.name), ("client", "POST"))
        self.assertEqual(self.parent_seen(), (span.trace, attempt.id, "01"), "the attempt is the parent of what the upstream does")
        origin = self._origins[-1]
        self.assertEqual(attempt["url.full"], f"{origin.url()}/api/x%20y?a=1&token=-")
        self.assertEqual((attempt["server.address"], attempt["server.port"]), origin.address)
        self.assertEqual(attempt["http.response.status_code"], 200)
        self.assertLessEqual(0, attempt["headgate.queue_ms"])
        self.assertLessEqual(attempt["headgate.queue_ms"], attempt["headgate.first_byte_ms"])
        (connect,) = attempt.children
        self.assertEqual((connect.kind, connect.name, connect.failed), ("internal", "connect", False))
        self.assertEqual(span.resource["service.name"], 'gate "1"')
        self.assertEqual(self.collector.posts[0]["Authorization"], "Bearer x")
        client.exchange("GET", "/api/again")
        again = self.requests(2)[-1]
        self.assertEqual(again.children[0].children, [], "the connection was there already")

    def test_continued(self):
        self.trace(", sampling: 0, trust: all")
        self.client().exchange("GET", "/api/1", ("traceparent", UNSAMPLED))
        self.client().exchange("GET", "/api/2", ("traceparent", GIVEN))
        (span,) = self.requests(1)
        self.assertEqual((span["url.path"], span.trace, span.parent), ("/api/2", GIVEN[3:35], GIVEN[36:52]))
        self.log(target="/api/1")

    def test_every_attempt_has_its_own(self):
        busy = lambda conn: conn.respond(503, [], b"busy")
        reset = lambda conn: (conn.reset(), False)[1]
        self.trace(", sampling: 1", answers=(busy, reset, ok), proxy=", retries: {retry_on: [5xx], num_retries: 3, base_interval: 1ms}",
                   upstream=", ejection: {consecutive_failures: 0}")
        self.assertEqual(self.client().exchange("PUT", "/api/x", body=b"x" * 3000).data, b"ok")
        (span,) = self.requests(1)
        self.assertEqual([a.attributes.get("http.request.resend_count") for a in span.children], [None, 1, 2])
        self.assertEqual([a.attributes.get("http.response.status_code") for a in span.children], [503, None, 200])
        self.assertEqual([a.attributes.get("error.type") for a in span.children], ["503", "upstream_reset", None])
        self.assertEqual([self.parent_seen(n)[1] for n in range(3)], [a.id for a in span.children])
        self.assertFalse(span.failed)

    def test_who_fails(self):
        port = free_port()
        self.trace(", sampling: 1", to=f"127.0.0.1:{port}")
        self.assertEqual(self.client().exchange("GET", "/api/x").status, 502)
        (span,) = self.requests(1)
        self.assertTrue(span.failed)
        self.assertEqual((span["error.type"], span["headgate.cause"]), ("upstream_refused", "upstream_refused"))
        (attempt,) = span.children
        self.assertEqual(attempt["error.type"], "upstream_refused")
        self.assertEqual(attempt.children[0]["error.type"], "upstream_refused")

    def test_a_client_that_leaves_is_no_failure_of_ours(self):
        self.trace(", sampling: 1", answers=(lambda conn: (self._origins[-1].note("asked"), conn.wait_end(20), False)[2],))
        client = self.client()
        client.send(request("GET", "/api/x"))
        self._origins[-1].wait_note()
        client.reset()
        (span,) = self.requests(1)
        self.assertEqual((span.failed, span["headgate.cause"]), (False, "client_reset"))
        self.assertEqual(span.children[0]["error.type"], "client_reset")

    def test_what_has_no_route_and_an_unknown_method(self):
        self.trace(", sampling: 1")
        self.assertEqual(self.client().exchange("BREW", "/").status, 404)
        (span,) = self.requests(1)
        self.assertEqual((span.name, span["http.request.method"], span["http.request.method_original"]), ("HTTP", "_OTHER", "BREW"))
        self.assertFalse(span.failed, "4xx is no failure of a server")

    def test_hostile_texts(self):
        self.trace(", sampling: 1")
        client = self.client()
        client.send(b"GET /api/'%22%00$&()*;=@!~?'=%5c HTTP/1.1\r\nHost: h\r\nUser-Agent: \"\\\x80\xff\t~\r\n\r\n")
        client.response()
        client.send(request("GET", "/api/" + "x" * 3000, [("X-Request-Id", "a" * 128)]))
        client.response()
        spans = self.requests(2)
        self.assertEqual(spans[0]["url.path"], "/api/'%22%00$&()*;=@!~")
        self.assertEqual(spans[0]["user_agent.original"], "\"\\\x80\xff\t~")

    def test_a_share_is_recorded(self):
        self.trace(", sampling: 0.5")
        client = self.client()
        for n in range(200):
            client.exchange("GET", f"/api/{n}")
        sampled = sum(self.parent_seen(n)[2] == "01" for n in range(200))
        self.assertTrue(50 < sampled < 150, sampled)
        self.requests(sampled)
        self.assertEqual({s.trace for s in self.collector.trees()}, {self.parent_seen(n)[0] for n in range(200) if self.parent_seen(n)[2] == "01"})


class Exports(TracingCase):
    def export(self, query):
        path = str(self.file.parent / "shop.db")
        db = sqlite3.connect(path)
        db.execute("create table t (id integer, pad text)")
        db.executemany("insert into t values (?, ?)", ((i, "x" * 100) for i in range(5000)))
        db.commit()
        db.close()
        self.collector = Collector()
        self.run_with(self.listener() + f"tracing: {{collector: '{self.collector.url()}', interval: 50ms, sampling: 1}}\n"
                      f"sources: {{shop: {{sqlite: '{path}'}}}}\n"
                      f"routes: [{{match: {{path: /t}}, export: {{source: shop, query: '{query}', compression: [gzip]}}}}]\n", workers=1)

    def test_stages(self):
        self.export("select * from t")
        answer = self.client().exchange("GET", "/t", ("Accept-Encoding", "gzip"))
        self.rest_is_now()
        self.assertEqual(answer.status, 200)
        (span,) = self.requests(1)
        stages = {s.name: s for s in span.children}
        self.assertTrue({"query shop", "gzip", "spooled", "client"} <= set(stages), stages)
        self.assertEqual((stages["query shop"].kind, stages["client"].kind), ("client", "internal"))
        query = stages["query shop"]
        self.assertEqual((query["db.system.name"], query.failed), ("sqlite", False))
        self.assertLess(query.ended, span.ended)
        queued = query["headgate.queue_ms"]
        self.assertAlmostEqual((query.begun - stages["client"].begun) / 1e6, queued, delta=0.01, msg="the wait for a connection is before it")
        for stage in span.children:
            clocks = sum(stage[f"headgate.stage.{k}_ms"] for k in ("waiting_for_source", "working", "waiting_for_consumer"))
            self.assertLessEqual(clocks, (span.ended - span.begun) / 1e6 + 2, stage)
            self.assertGreater(stage["headgate.stage.items"], 0)
        self.assertEqual(stages["client"]["headgate.stage.bytes"], len(answer.data))

    def test_a_query_that_fails(self):
        self.export("select abs(-9223372036854775807 - 1)")
        self.client().exchange("GET", "/t")
        self.rest_is_now()
        (span,) = self.requests(1)
        self.assertEqual((span.failed, span["error.type"]), (True, "query_failed"))
        self.assertEqual([s.name for s in span.children if s.failed], ["query shop"])


class Tunnels(TracingCase):
    """One span for each, with how it ended."""

    def tunnel(self, to=None, sampling=1, more=""):
        self.collector = Collector()
        self.run_with(f"listeners: [{{name: db, address: '127.0.0.1:{self.port}'}}]\n"
                      f"tracing: {{collector: '{self.collector.url()}', interval: 50ms, sampling: {sampling}}}\n"
                      f"routes: [{{name: pass, tcp: {{upstreams: [x]{more}}}}}]\nupstreams: {{x: {{endpoints: ['{to}']}}}}\n", workers=1)

    def the_span(self):
        (span,) = self.requests(1)
        self.assertEqual((span.name, span.kind, span.parent, span.children), ("tunnel pass", "server", None, []))
        line = self.log().all
        self.assertEqual((line["trace_id"], line["cause"], line["phase"]), (span.trace, span["headgate.cause"], span["headgate.phase"]))
        self.assertAlmostEqual((span.ended - span.begun) / 1e6, line["age_ms"], delta=50 * SLACK)
        return span

    def test_complete(self):
        origin = self.origin_named("x", lambda conn: conn.send(conn.recv_to_end() * 2))
        self.tunnel(origin.name)
        client = self.client()
        client.send(b"hello")
        client.half_close()
        self.assertEqual(client.recv_to_end(), b"hellohello")
        span = self.the_span()
        wanted = {"network.transport": "tcp", "client.address": "127.0.0.1", "headgate.listener": f"127.0.0.1:{self.port}",
                  "headgate.route": "pass", "headgate.upstream": origin.name, "headgate.up_bytes": 5, "headgate.down_bytes": 10,
                  "headgate.phase": "tunnel", "headgate.cause": "complete"}
        self.assertEqual({k: span.attributes.get(k) for k in wanted}, wanted)
        self.assertFalse(span.failed)
        self.assertLessEqual(span["headgate.queue_ms"] + span["headgate.connect_ms"], (span.ended - span.begun) / 1e6 + 1)

    def test_nobody_there(self):
        self.tunnel(f"127.0.0.1:{free_port()}")
        self.client().wait_end(5)
        span = self.the_span()
        self.assertEqual((span.failed, span["error.type"], span["headgate.phase"]), (True, "upstream_refused", "connect"))

    def test_a_client_that_resets(self):
        origin = self.origin_named("x", lambda conn: conn.wait_end(60))
        self.tunnel(origin.name)
        client = self.client()
        client.send(b"hello")
        eventually(lambda: self.gateway.live()["upstream_busy"] == 1)
        client.reset()
        span = self.the_span()
        self.assertEqual((span.failed, span["headgate.cause"]), (False, "client_reset"))

    def test_silence(self):
        origin = self.origin_named("x", lambda conn: conn.wait_end(60))
        self.tunnel(origin.name, more=", idle_timeout: 300ms")
        self.client().wait_end(10)
        span = self.the_span()
        self.assertGreater((span.ended - span.begun) / 1e6, 290)
        self.assertNotEqual(span["headgate.cause"], "complete")

    def test_a_share_is_recorded(self):
        self.tunnel(self.origin_named("x", lambda conn: conn.recv_to_end() and None).name, sampling=0)
        client = self.client()
        client.half_close()
        client.recv_to_end()
        self.assertRegex(self.log().all["trace_id"], r"^[0-9a-f]{32}$", "it is in the log all the same")
        self.gateway.stop()
        self.assertEqual(self.collector.spans, [])


class Upgrades(TracingCase):
    def switched(self, method, target, fields, agree, proxy):
        def answer(conn):
            conn.send(agree)
            conn.send(conn.recv_exact(5) * 2)
            conn.recv_to_end()
            return False

        self.trace(", sampling: 1", answers=(answer,), proxy=proxy)
        client = self.client()
        client.send(request(method, target, fields))
        self.assertIn(client.recv_head().status, (101, 200))
        client.send(b"hello")
        self.assertEqual(client.recv_exact(10), b"hellohello")
        return client

    def the_span(self, status, cause):
        (span,) = self.requests(1)
        self.assertEqual((span["headgate.cause"], span["http.response.status_code"]), (cause, status))
        self.assertEqual((span["http.request.body.size"], span["http.response.body.size"]), (5, 10), "all that has passed")
        (attempt,) = span.children
        self.assertEqual((attempt.kind, attempt["http.response.status_code"]), ("client", status))
        self.assertLess(abs(span.ended - attempt.ended) / 1e6, 50 * SLACK, "it is with the upstream to its end")
        return span

    SOCKET = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]
    AGREE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

    def test_a_websocket(self):
        client = self.switched("GET", "/api/chat", self.SOCKET, self.AGREE, ", upgrades: [websocket]")
        begun = time.monotonic()
        eventually(lambda: time.monotonic() - begun > 0.3)  # so that it is seen what the span lasts
        self.assertEqual(self.collector.spans, [], "it goes on")
        client.half_close()
        client.recv_to_end()
        span = self.the_span(101, "complete")
        self.assertGreater((span.ended - span.begun) / 1e6, 300)
        self.assertFalse(span.failed)

    def test_a_websocket_that_is_reset(self):
        self.switched("GET", "/api/chat", self.SOCKET, self.AGREE, ", upgrades: [websocket]").reset()
        self.assertFalse(self.the_span(101, "client_reset").failed)


class Documented(TracingCase):
    def test_the_example(self):
        page = (Path(__file__).resolve().parents[2] / "docs/tracing.md").read_text()
        example = page.split("```yaml\n")[1].split("```")[0]
        self.collector = Collector()
        for old, new in ((":8080", f"127.0.0.1:{self.port}"), ("127.0.0.1:9001", self.origin_named("api").name),
                         ("http://127.0.0.1:4318", self.collector.url()), ("10.0.0.0/8", "127.0.0.1")):
            self.assertIn(old, example)
            example = example.replace(old, new)
        self.run_with(example)
        self.assertEqual(self.client().exchange("GET", "/api/x", ("traceparent", GIVEN)).data, b"api")
        (span,) = self.requests(1)
        self.assertEqual((span.trace, span.resource["service.name"]), (GIVEN[3:35], "edge"))

    def test_explained(self):
        self.trace(", sampling: 0.25, headers: {Authorization: hidden}")
        said = subprocess.run([BINARY, "explain", "-c", str(self.file), "GET", "http://h/api/x"], capture_output=True, text=True,
                              check=True, timeout=60).stdout
        self.assertRegex(said, r"sampling +0\.25 ")
        self.assertRegex(said, r"headers +\(not shown\)")
        self.assertRegex(said, r"service_name +headgate +built in")
        self.assertNotIn("hidden", said)


class Collectors(TracingCase):
    def notices(self, text):
        return [line for line in self.gateway.errors if "tracing" in line and text in line]

    def test_gone_and_back(self):
        port = free_port()
        self.trace(f", sampling: 1, collector: 'http://127.0.0.1:{port}'", collector=None)
        self.assertEqual(self.client().exchange("GET", "/api/x").data, b"ok")
        eventually(lambda: self.notices("cannot be sent"))
        self.collector = Collector(port=port)
        self.requests(1)
        eventually(lambda: self.notices("are sent again"))
        self.assertEqual(len(self.notices("cannot be sent")), 1, "told once")

    def test_over_tls(self):
        """A collector behind nginx: one that the gateway trusts, and one that it does not."""
        ca = Authority(self.file.parent)
        pem, key = ca.issue("collector", "collector", ["DNS:collector.example", "IP:127.0.0.1"])
        self.collector = Collector()
        port = free_port()
        nginx = Peer([NGINX, "-c", "{file}", "-p", "{root}"], f"""
daemon off; master_process off; pid {{root}}/pid; error_log stderr; events {{ }}
http {{ access_log off; client_body_buffer_size 1m; client_body_temp_path {{root}}; proxy_temp_path {{root}};
       fastcgi_temp_path {{root}}; uwsgi_temp_path {{root}}; scgi_temp_path {{root}};
       server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {pem}; ssl_certificate_key {key};
                 ssl_client_certificate {ca.pem}; ssl_verify_client on;
                 location / {{ proxy_pass http://{self.collector.name}; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}
""", port)
        self.addCleanup(nginx.close)
        own = ca.issue("gateway", "gateway", ["DNS:gateway.example"])
        mine = f"certificate: {own[0]}, key: {own[1]}"
        at = f", sampling: 1, collector: 'https://127.0.0.1:{port}'"
        for tls, wrong in ((f", tls: {{{mine}}}", "certificate"), (f", tls: {{{mine}, ca: {ca.pem}, server_name: other.example}}", "hostname mismatch"),
                           (f", tls: {{ca: {ca.pem}}}", "answers 400")):
            with self.subTest(tls):
                self.trace(at + tls, collector=None)
                self.assertEqual(self.client().exchange("GET", "/api/x").data, b"ok")
                self.assertIn(wrong, eventually(lambda: self.notices("spans "), 20)[0])
                self.gateway.stop()
        self.assertEqual(self.collector.spans, [])
        for tls in (f"{mine}, ca: {ca.pem}", f"{mine}, ca: {ca.pem}, server_name: collector.example", f"{mine}, insecure_accept_any_certificate: true"):
            with self.subTest(tls):
                self.trace(at + f", tls: {{{tls}}}", collector=None)
                known = len(self.collector.trees())
                self.assertEqual(self.client().exchange("GET", "/api/x").data, b"ok")
                eventually(lambda: self.notices("spans ") or len(self.collector.trees()) > known)
                self.assertEqual(self.notices("spans "), [])
                self.gateway.stop()

    def test_tls_is_for_https(self):
        self.write(self.listener() + "routes: [{respond: {}}]\ntracing: {collector: 'http://127.0.0.1:1', tls: {ca: /none}}\n")
        done = subprocess.run([BINARY, "validate", "--without-files", "-c", str(self.file)], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("'http://127.0.0.1:1'", done.stderr)
        self.write(self.file.read_text().replace("http:", "https:"))
        done = subprocess.run([BINARY, "validate", "-c", str(self.file)], capture_output=True, text=True, check=False, timeout=60)
        self.assertIn("/none", done.stderr)

    def test_busy_for_a_moment(self):
        def answer(conn, number):
            return number > 2 or conn.respond(503, [("Retry-After", "1")], b"") or False

        self.collector = Collector(answer)
        self.trace(", sampling: 1", collector=self.collector)
        self.client().exchange("GET", "/api/x")
        self.requests(1, 10)
        self.assertEqual(len(self.collector.posts), 3)

    def test_what_it_does_not_want_is_not_sent_again(self):
        self.collector = Collector(lambda conn, number: number > 1 or conn.respond(500, [], b"") or False)
        self.trace(", sampling: 1", collector=self.collector)
        self.client().exchange("GET", "/api/1")
        eventually(lambda: self.notices("it answers 500"))
        self.client().exchange("GET", "/api/2")
        (span,) = self.requests(1)
        self.assertEqual(span["url.path"], "/api/2")

    def test_silent_the_queue_is_bounded_and_nobody_waits(self):
        self.collector = Collector(lambda conn, number: conn.wait_end(20) and False)
        self.trace(", sampling: 1, timeout: 1s, queue_max: 100", collector=self.collector)
        client = self.client()
        for n in range(200):
            self.assertEqual(client.exchange("GET", f"/api/{n}").data, b"ok")
        eventually(lambda: self.notices("spans dropped"), 20)
        eventually(lambda: self.notices("it did not answer in time"), 10)

    def test_what_is_left_is_sent_at_the_end(self):
        self.trace(", sampling: 1", interval="1h")
        self.client().exchange("GET", "/api/x")
        self.assertEqual(self.collector.spans, [])
        self._close_clients()
        self.gateway.stop()
        self.requests(1)

    def test_what_is_on_its_way_at_the_end_is_not_sent_twice(self):
        answered = threading.Event()
        self.collector = Collector(lambda conn, number: answered.wait(20) or True)
        self.trace(", sampling: 1", collector=self.collector)
        self.client().exchange("GET", "/api/x")
        eventually(lambda: self.collector.posts)
        self._close_clients()
        self.gateway.signal(signal.SIGTERM)
        eventually(self.gateway.refuses)
        time.sleep(0.3)  # it would be sent again now
        answered.set()
        self.gateway.stop()
        self.assertEqual(len(self.collector.posts), 1)
        self.requests(1)

    def test_a_full_batch_does_not_wait(self):
        self.trace(", sampling: 1", interval="1h")
        client = self.client()
        for n in range(300):
            client.exchange("GET", f"/api/{n}")
        eventually(lambda: len(self.collector.spans) >= 512)


if __name__ == "__main__":
    unittest.main()
