#!/usr/bin/env python3
"""The access log: that each cause has a line with the right side and phase, what a line tells, and that it holds up nobody."""

import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import threading
import unittest
from pathlib import Path

from support import BINARY, Gateway, LogLine, RunCase, eventually, free_port, full_listener, request
from support.gateway import CAUSES

ROOT = Path(__file__).resolve().parents[2]


def ok(conn):
    conn.respond(200, [], b"ok")


class LogCase(RunCase):
    def serve(self, route="proxy: {upstream: x}", handler=ok, upstream="", more="", listener="", to=None, defaults="",
              sources=""):
        if self.gateway:
            self._close_clients()
            self.gateway.stop()
        to = to or self.origin_named("x", lambda conn: conn.serve(lambda c, head: handler(c))).name
        self.run_with(f"listeners: [{{name: web, address: '127.0.0.1:{self.port}'{listener}}}]\n{defaults}"
                      f"routes: [{{name: r, {route}}}]\n{sources}"
                      f"upstreams: {{x: {{endpoints: ['{to}']{upstream}}}}}\n", workers=1, more=more)

    def line(self, cause, phase, **wanted):
        line = self.log(end=cause)
        self.assertEqual((line.all["side"], line.all["phase"]), (CAUSES[cause][0], phase), line.all)
        for key, value in wanted.items():
            self.assertEqual(line.all[key], value, key)
        return line.all


def silent(conn):
    conn.wait_end(20)
    return False


def no_more(conn):
    """A head, a part of the body, and nothing more."""
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
    return silent(conn)


class Causes(LogCase):
    """All that can be brought about over a socket. `internal` would be a defect; `file_error` is in static_test.py."""

    def test_complete(self):
        self.serve()
        self.client().exchange("GET", "/x?a=1")
        is_ = self.line("complete", "body", kind="request", route="r", method="GET", target="/x?a=1", status=200,
                        attempts=1, listener=f"127.0.0.1:{self.port}", down_bytes=2, trace_id=None, source=None)
        self.assertEqual(is_["client"], "127.0.0.1")
        self.assertIsNotNone(is_["hold_ms"])
        self.assertLessEqual(is_["first_byte_ms"], is_["age_ms"])

    def test_clients_that_leave(self):
        for leave, cause in (("close", "client_closed"), ("reset", "client_reset")):
            for phase, handler in (("wait", silent), ("body", no_more)):
                with self.subTest(cause=cause, phase=phase):
                    self.serve(handler=handler)
                    client = self.client()
                    client.send(request("GET", "/"))
                    if phase == "body":
                        client.recv_exact(20)
                    else:
                        eventually(lambda: self.gateway.live()["upstream_busy"] == 1)
                    getattr(client, leave)()
                    self.line(cause, phase)

    def test_client_closed_and_slow_in_its_head(self):
        self.serve(listener=", header_timeout: 200ms")
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nHo")
        self.line("client_slow_header", "head", status=408, method=None)
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nHo")
        client.close()
        self.line("client_closed", "head", status=None)

    def test_client_idle(self):
        self.serve("proxy: {upstream: x, client_idle_timeout: 200ms}", handler=lambda conn: (conn.recv_exact(5), silent(conn))[1])
        client = self.client()
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf!")
        self.line("client_idle", "send", status=408, up_bytes=5)

    def test_refused_at_the_head(self):
        self.serve("match: {path_prefix: /api}, proxy: {upstream: x, request_body_max: 10B}")
        for wire, cause, status in ((b"GET /api HTTP/1.1\r\nHost : h\r\n\r\n", "client_protocol", 400),
                                    (b"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", "no_route", 404),
                                    (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "no_route", 404),
                                    (b"POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n", "client_too_large", 413)):
            client = self.client()
            client.send(wire)
            self.assertEqual(client.response().status, status)
            self.line(cause, "head", status=status)

    def test_refused_by_policy(self):
        self.serve("proxy: {upstream: x}, deny: [127.0.0.1]")
        self.client().exchange()
        self.line("client_denied", "head", status=403)
        self.serve("proxy: {upstream: x}, rate_limit: {requests: 1, per: 1h}")
        client = self.client()
        client.exchange()
        client.exchange()
        self.line("client_rate", "head", status=429)
        self.serve("proxy: {upstream: x}, requests_max: 1", handler=silent)
        self.client().send(request("GET", "/"))
        eventually(lambda: self.gateway.live()["upstream_busy"] == 1)
        self.client().exchange()
        self.line("route_busy", "head", status=503)

    def test_client_method(self):
        self.serve(f"static: {{root: {self.file.parent}}}")
        self.client().exchange("DELETE", "/")
        self.line("client_method", "head", status=405, kind="static")

    def test_connecting(self):
        self.serve(to=f"127.0.0.1:{free_port()}", upstream=", ejection: {consecutive_failures: 0}")
        self.client().exchange()
        self.line("upstream_refused", "connect", status=502, attempts=1)
        self.serve(to="no-such-host.invalid:80")
        self.client().exchange()
        self.line("upstream_unreachable", "connect", status=502)
        self.serve(to="%s:%d" % full_listener(self), upstream=", connect_timeout: 200ms")
        self.client().exchange()
        is_ = self.line("upstream_connect_timeout", "connect", status=504)
        self.assertGreaterEqual(is_["connect_ms"], 199)
        self.assertGreaterEqual(is_["waits_ms"]["upstream"], 199)

    def test_upstreams_that_break(self):
        def close(conn):
            conn.close()
            return False

        def reset(conn):
            conn.reset()
            return False

        for handler, cause, phase in ((close, "upstream_closed", "wait"), (reset, "upstream_reset", "wait")):
            with self.subTest(cause=cause, phase=phase):
                self.serve(handler=handler)
                self.client().exchange()
                self.line(cause, phase, status=502)
        self.serve(handler=lambda conn: (conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"), close(conn))[1])
        client = self.client()
        client.send(request("GET", "/"))
        client.wait_end(5)
        self.line("upstream_closed", "body", status=200)

    def test_upstreams_that_are_slow_or_wrong(self):
        self.serve("proxy: {upstream: x, first_byte_timeout: 200ms}", handler=silent)
        self.client().exchange()
        is_ = self.line("upstream_timeout", "wait", status=504)
        self.assertGreaterEqual(is_["wait_ms"], 199)
        self.serve("proxy: {upstream: x, upstream_idle_timeout: 200ms}", handler=no_more)
        client = self.client()
        client.send(request("GET", "/"))
        client.wait_end(5)
        self.line("upstream_idle", "body", status=200)
        self.serve(handler=lambda conn: conn.send(b"nonsense\r\n\r\n"))
        self.client().exchange()
        self.line("upstream_protocol", "wait", status=502)

    def test_upstreams_that_are_busy_or_left_alone(self):
        self.serve(handler=silent, upstream=", connections_max: 1, queue_timeout: 200ms")
        self.client().send(request("GET", "/"))
        eventually(lambda: self.gateway.live()["upstream_busy"] == 1)
        self.client().exchange()
        is_ = self.line("upstream_busy", "queue", status=503)
        self.assertGreaterEqual(is_["queue_ms"], 199)
        self.serve(to=f"127.0.0.1:{free_port()}", upstream=", circuit_breaker: {consecutive_failures: 1, open_time: 1m}")
        client = self.client()
        client.exchange()
        client.exchange()
        self.line("upstream_circuit_open", "head", status=503)

    def test_drained(self):
        self.serve(handler=silent, more=", drain_timeout: 200ms")
        client = self.client()
        client.send(request("GET", "/"))
        eventually(lambda: self.gateway.live()["upstream_busy"] == 1)
        self.gateway.signal(signal.SIGTERM)
        self.assertEqual(client.response().status, 503)
        self.line("drained", "wait", status=503)
        self.assertEqual(self.gateway.wait_exit(), 0)

    def test_tunnels(self):
        def handler(conn):
            conn.send(conn.recv_exact(4))
            conn.wait_end(10)

        to = self.origin_named("t", handler).name
        self.run_with(f"listeners: [{{name: t, address: '127.0.0.1:{self.port}', protocol: tcp}}]\n"
                      f"routes: [{{name: pass, tcp: {{upstream: x}}}}]\nupstreams: {{x: {{endpoints: ['{to}']}}}}\n", workers=1)
        client = self.client()
        client.send(b"ping")
        client.recv_exact(4)
        client.reset()
        is_ = self.line("client_reset", "tunnel", kind="tunnel", method=None, status=None, up_bytes=4, down_bytes=4,
                        route="pass", request_id=None, attempts=1, target=None)
        self.assertEqual({(s["direction"], s["name"]) for s in is_["stages"]},
                         {("up", "client"), ("up", "upstream"), ("down", "upstream"), ("down", "client")})

    def test_the_page_has_the_causes_of_the_source(self):
        header = (ROOT / "gateway/cause.hpp").read_text().split("enum class cause")[1].split("};")[0]
        names = re.findall(r"^    (\w+),", header, re.MULTILINE)
        self.assertEqual(list(CAUSES), names, "in their order")
        source = (ROOT / "gateway/cause.cpp").read_text().split("side_of(cause c)")[1].split("\n}\n")[0]
        sides = {}
        for labels, side in re.findall(r"((?:case cause::\w+:\s*)+)return (\w+|\"\w+\");", source):
            for name in re.findall(r"cause::(\w+)", labels):
                sides[name] = None if side == "nullptr" else side.strip('"')
        self.assertEqual({name: side for name, (side, _) in CAUSES.items()}, sides)
        for key in ("`format`", "`path`", "`interval`", "`redact_query`"):
            self.assertIn(key, (ROOT / "docs/access-log.md").read_text())

    def test_the_examples_of_the_page(self):
        for block in re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/access-log.md").read_text(), re.DOTALL | re.MULTILINE):
            self.file.write_text(block)
            done = subprocess.run([BINARY, "validate", "-c", str(self.file)], capture_output=True, text=True, check=False, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, ""))


class Lines(LogCase):
    def test_stages_of_a_large_body(self):
        body = b"x" * 3_000_000
        self.serve(handler=lambda conn: conn.respond(200, [], body))
        self.assertEqual(len(self.client().exchange().data), len(body))
        is_ = self.line("complete", "body", down_bytes=len(body))
        source, sink = is_["stages"]
        self.assertEqual((source["name"], sink["name"], sink["bytes"]), ("upstream", "client", len(body)))
        self.assertGreater(is_["held_max_bytes"], 0)
        self.assertEqual(is_["held_bytes"], 0)
        clocks = sum(sink[k] for k in ("waiting_for_source_ms", "working_ms", "waiting_for_consumer_ms"))
        self.assertLessEqual(clocks, is_["age_ms"] + 1)

    def test_retries_are_counted(self):
        answers = iter([503, 503, 200])
        self.serve("proxy: {upstream: x, retries: {retry_on: [5xx], num_retries: 3, base_interval: 1ms}}",
                   handler=lambda conn: conn.respond(next(answers), [], b""), upstream=", ejection: {consecutive_failures: 0}")
        self.client().exchange()
        self.line("complete", "body", attempts=3, status=200)

    def test_exports(self):
        path = str(self.file.parent / "shop.db")
        db = sqlite3.connect(path)
        db.execute("create table t (id integer, pad text)")
        db.executemany("insert into t values (?, ?)", ((i, "x" * 500) for i in range(20_000)))
        db.commit()
        db.close()
        self.serve("export: {source: shop, query: 'select * from t', formats: [csv], compression: [gzip]}",
                   sources=f"sources: {{shop: {{sqlite: '{path}', pool_size: 1}}}}\n")
        client = self.client(receive_buffer=8192)
        client.send(request("GET", "/x.csv"))
        # The client does not read yet, and its session is free for another.
        self.client().exchange("GET", "/x.csv")
        self.line("complete", "body", kind="export")
        client.response()
        is_ = self.line("complete", "body", kind="export", source="shop", upstream=None, attempts=0)
        self.assertLess(is_["hold_ms"], is_["client_ms"])
        self.rest_is_now()
        names = [s["name"] for s in is_["stages"]]
        self.assertEqual((names[0], names[-1]), ("database", "client"))
        self.assertIn("spool", " ".join(names))
        self.serve("export: {source: shop, query: 'select abs(-9223372036854775807 - 1)'}",
                   sources=f"sources: {{shop: {{sqlite: '{path}'}}}}\n")
        self.client().exchange("GET", "/x.csv")
        self.line("query_failed", "wait", source="shop")
        self.rest_is_now()

    def test_hostile_texts_are_json(self):
        self.serve("respond: {body: hi}")
        client = self.client()
        target = "/'%22%00$&()*;=@!~%ff?x='%5c%0a"
        ids = "a-_.:+/=~Z9"
        client.send(request("GET", target, [("X-Request-Id", ids)]))
        client.response()
        self.line("complete", "body", target=target, request_id=ids)
        for wrong in ('"},{"a":"b', "\\u0000", "a b", "x" * 129):
            client.send(request("GET", "/", [("X-Request-Id", wrong)]))
            client.response()
            self.assertRegex(self.log(end="complete").id, r"^[0-9a-f]{32}$")
        client.send(request("GET", "/" + "%22" * 2000))
        client.response()
        self.assertEqual(len(self.log(end="complete").target), 256)
        client.send(request("X" * 100, "/"))
        client.response()
        self.log(end="complete", method="X" * 24)
        client.send(b"GET /\x80\xff\"\\ HTTP/1.1\r\nHost: h\r\n\r\n")
        client.response()
        self.log(end="client_protocol")

    def test_redaction(self):
        self.serve()
        self.client().exchange("GET", "/x?token=1&a=2&PassWord=3&%74oken=4&b")
        self.line("complete", "body", target="/x?token=-&a=2&PassWord=-&%74oken=-&b")
        self.serve(more=", access_log: {redact_query: ['*']}")
        self.client().exchange("GET", "/x?token=1&a=2")
        self.line("complete", "body", target="/x?token=-&a=-")
        self.serve(more=", access_log: {redact_query: [], format: text}")
        self.client().exchange("GET", "/x?token=1&a=2")
        self.log(end="complete", target="/x?token=1&a=2")

    def test_the_trace_is_there(self):
        self.serve(sources="tracing: {sampling: 0, trust: all}\n")
        self.client().exchange("GET", "/", ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"))
        self.line("complete", "body", trace_id="4bf92f3577b34da6a3ce929d0e0e4736")

    def test_what_goes_on_for_long_has_lines(self):
        self.serve(handler=no_more, more=", access_log: {interval: 300ms}")
        client = self.client()
        client.send(request("GET", "/slow?token=x"))
        lines = lambda: self.gateway.interim_logs
        eventually(lambda: len(lines()) >= 2, 10)
        first, second = (line.all for line in lines()[:2])
        self.assertEqual((first["id"], first["phase"], first["target"], first["cause"]), (second["id"], "body", "/slow?token=-", None))
        self.assertGreaterEqual(first["age_ms"], 300)
        self.assertGreaterEqual(second["age_ms"], first["age_ms"] + 299)
        self.assertEqual([s["name"] for s in second["stages"]], ["upstream", "client"])
        self.assertGreater(second["waits_ms"]["upstream"], 300)
        client.reset()
        self.assertEqual(self.line("client_reset", "body")["id"], first["id"])
        self.assertEqual({line.target for line in lines()}, {"/slow?token=-"})


class Outputs(LogCase):
    def test_text_to_a_terminal(self):
        origin = self.origin_named("x", lambda conn: conn.serve(lambda c, head: ok(c)))
        mine, its = pty.openpty()
        process = subprocess.Popen([BINARY, "proxy", "--to", origin.url(), "--listen", f"127.0.0.1:{self.port}", "--workers", "1"],
                                   stdin=subprocess.DEVNULL, stdout=its, stderr=subprocess.DEVNULL)
        os.close(its)
        try:
            read = b""
            while b"listening" not in read:
                read += os.read(mine, 4096)
            subprocess.run(["curl", "-s", f"http://127.0.0.1:{self.port}/x"], check=True, capture_output=True, timeout=20)
            while b"end=" not in read or not read.endswith(b"\n"):
                read += os.read(mine, 4096)
        finally:
            process.terminate()
            process.wait(20)
            os.close(mine)
        line = LogLine.parse(read.decode().replace("\r", "").strip().splitlines()[-1])
        self.assertEqual((line.target, line.end, line.all), ("/x", "complete", None))

    def test_flags(self):
        origin = self.origin_named("x", lambda conn: conn.serve(lambda c, head: ok(c)))
        for value, count, is_json in (("json", 1, True), ("text", 1, False), ("on", 1, True), ("off", 0, None)):
            gateway = Gateway("proxy", origin.url(), "--access-log", value)
            try:
                subprocess.run(["curl", "-s", gateway.url("/x")], check=True, capture_output=True, timeout=20)
            finally:
                gateway.stop()
            self.assertEqual([line.all is not None for line in gateway.all_logs], [is_json] * count)

    def with_file(self, **how):
        self.path = self.file.parent / "access.log"
        self.serve("respond: {body: hi}", more=f", access_log: {{path: '{self.path}'}}", **how)

    def lines(self, path=None):
        return [LogLine.parse(line) for line in (path or self.path).read_text().splitlines()]

    def test_opened_again_under_load_it_loses_no_line(self):
        self.with_file()
        each, rounds, threads = 400, 10, 4
        moved = []

        def load(number):
            client = self.client()
            for n in range(each):
                client.exchange("GET", f"/{number}/{n}")

        running = [threading.Thread(target=load, args=(n,)) for n in range(threads)]
        for thread in running:
            thread.start()
        for n in range(rounds):
            moved.append(self.path.rename(self.path.with_suffix(f".{n}")))
            self.gateway.live()  # USR1, which opens the file again, too
            eventually(self.path.exists)
        for thread in running:
            thread.join(60)
        everything = lambda: sum((self.lines(p) for p in [*moved, self.path]), [])
        eventually(lambda: len(everything()) == each * threads, 10)
        self.assertEqual({line.target for line in everything()}, {f"/{t}/{n}" for t in range(threads) for n in range(each)})
        self.assertEqual(self.gateway.all_logs, [], "nothing on standard output")

    def test_a_full_disk_holds_up_nobody(self):
        self.serve("respond: {body: hi}", more=", access_log: {path: /dev/full}")
        client = self.client()
        for _ in range(500):
            self.assertEqual(client.exchange().data, b"hi")

    def test_a_full_pipe_drops_counts_and_holds_up_nobody(self):
        port = free_port()
        self.write(f"listeners: [{{name: web, address: '127.0.0.1:{port}'}}]\nroutes: [{{respond: {{body: hi}}}}]\n")
        process = subprocess.Popen([BINARY, "run", "-c", str(self.file)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        try:
            self.assertIn(b"listening", process.stdout.readline())
            made = 4000
            out = subprocess.run(["curl", "-s", f"http://127.0.0.1:{port}/[1-{made}]"], check=True, capture_output=True, timeout=100)
            self.assertEqual(out.stdout.count(b"hi"), made)
            process.terminate()
            seen = dropped = 0
            for line in process.stdout:
                is_ = json.loads(line)
                seen += is_["event"] == "end"
                dropped += is_.get("lines", 0)
            self.assertGreater(dropped, 0)
            self.assertEqual(seen + dropped, made)
        finally:
            process.kill()
            process.wait(20)
            process.stdout.close()

    def test_a_file_that_cannot_be_opened(self):
        self.write(self.listener() + "routes: [{respond: {}}]\nserver: {access_log: {path: /no/such/folder/log}}\n")
        done = subprocess.run([BINARY, "run", "-c", str(self.file)], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/no/such/folder/log", done.stderr)


if __name__ == "__main__":
    unittest.main()
