#!/usr/bin/env python3
"""What can be seen of live and ended flows through the admin API, and who is blamed for the pace of each."""

import json
import os
import re
import shutil
import socket
import sqlite3
import struct
import subprocess
import threading
import time
import unittest
from pathlib import Path

import jsonschema
import yaml

from support import BINARY, SANITIZED, SLACK, Client, RunCase, chunk, eventually, free_port, request
from support.postgres import PROGRAMS, Postgres

API = yaml.safe_load((Path(__file__).parents[2] / "docs" / "openapi.yaml").read_text(encoding="utf-8"))
MIB = 1 << 20


def schema_of(path, method, status):
    """The schema of an answer, and the media type that it has; nothing if it is text."""
    for form, item in API["paths"].items():
        if not re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(form)), path) or method.lower() not in item:
            continue
        if "{id}" in form and path.endswith("/ended"):
            continue
        answer = item[method.lower()]["responses"][str(status)]
        if "$ref" in answer:
            answer = API["components"]["responses"][answer["$ref"].rsplit("/", 1)[1]]
        return answer.get("content", {})
    raise AssertionError(f"docs/openapi.yaml has no {method} {path}")


def check(schema, value):
    jsonschema.Draft202012Validator({"components": API["components"], **schema}).validate(value)


class ObserveCase(RunCase):
    def setUp(self):
        super().setUp()
        self.admin_port = free_port()

    def watched(self, rest, admin="", **how):
        """Runs a gateway with an admin server. What that has open now is at rest."""
        self.run_with(self.listener() + f"admin: {{address: '127.0.0.1:{self.admin_port}'{admin}}}\n" + rest, **how)

    def ask(self, target, method="GET", body=b"", status=200, fields=()):
        """An answer of the admin server, as docs/openapi.yaml says it is."""
        client = Client(("127.0.0.1", self.admin_port))
        try:
            fields = [("Connection", "close"), *fields]
            client.send(request(method, target, fields, host=f"127.0.0.1:{self.admin_port}", body=body))
            answer = client.response(method)
        finally:
            client.close()
        self.assertEqual(answer.status, status, answer.data)
        content = schema_of(target.partition("?")[0], method, status)
        kind = answer.head["Content-Type"].partition(";")[0]
        self.assertIn(kind, content, target)
        if kind.startswith("text/"):
            return answer.data.decode()
        value = json.loads(answer.data)
        check(content[kind]["schema"], value)
        return value

    def change(self, text):
        self.write(f"server: {{workers: 1{self.more}}}\n" + text)

    def flows(self, query=""):
        return self.ask("/api/v1/flows" + query)["flows"]

    def blamed(self, party, stalled=0):
        """The only flow, when it blames this party."""

        def found():
            flows = self.flows()
            return next((f for f in flows if f["verdict"] and f["verdict"]["party"] == party
                         and f["verdict"]["stalled_ms"] >= stalled), None)

        flow = eventually(found, 10 * SLACK, f"a flow blames the {party}")
        stalled_ms = flow["verdict"]["stalled_ms"]
        self.assertEqual((flow["stalled_ms"], flow["stalled_by"]), (stalled_ms, party if stalled_ms else None))
        return flow

    def metrics(self):
        text = self.ask("/metrics")
        samples, types = {}, {}
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                self.assertNotIn(name, types)
                types[name] = kind
            elif not line.startswith("#"):
                found = re.fullmatch(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\.)*",?)*)\})? (\S+)', line)
                self.assertTrue(found, line)
                family = re.sub("_(bucket|sum|count)$", "", found[1])
                self.assertIn(found[1] if found[1] in types else family, types, line)
                self.assertNotIn((found[1], found[2]), samples)
                samples[found[1], found[2]] = float(found[3])
        return text, samples

    def promtool(self, text):
        if promtool := shutil.which("promtool"):
            checked = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False)
            self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, ""))

    def last_ended(self):
        return eventually(lambda: self.ask("/api/v1/flows/ended?limit=1")["flows"], 5 * SLACK, "a flow has ended")[0]

    def ended_as(self, cause):
        ended = self.last_ended()
        self.assertEqual(ended["cause"], cause)
        self.assertEqual((ended["left_bytes"], [s["left_bytes"] for s in ended["stages"]]), (0, [0] * len(ended["stages"])))
        return ended

    def proxying(self, script, options="", more=""):
        self.origin = self.origin_named("x", script)
        self.watched(f"routes: [{{name: api, match: {{path_prefix: /}}, proxy: {{upstreams: [x]{options}}}}}]\n"
                     f"upstreams: {{x: {{endpoints: ['{self.origin.name}']}}}}\n", workers=1, more=more)


def endless(conn):
    """Sends a body for as long as somebody takes it."""
    conn.recv_request()
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\nContent-Type: text/plain\r\n\r\n")
    try:
        while True:
            conn.send(b"x" * 65536)
    except OSError:
        pass


def silent_after(head):
    def script(conn):
        conn.recv_request()
        conn.send(head)
        conn.wait_end(60)

    return script


class Blame(ObserveCase):
    """The four of whom it must be right."""

    def test_a_stalled_client(self):
        self.proxying(endless)
        client = self.client(receive_buffer=4096)
        client.request("GET", "/big?x=1")
        client.recv_head()
        flow = self.blamed("client", stalled=500)
        self.assertEqual((flow["kind"], flow["route"], flow["target"], flow["phase"], flow["waiting_for"], flow["status"]),
                         ("request", "api", "/big?x=1", "body", "client", 200))
        self.assertEqual((flow["upstream"], flow["client"], flow["holding"]), (self.origin.name, "127.0.0.1", True))
        self.assertEqual([s["name"] for s in flow["lanes"][0]["stages"]], ["upstream", "client"])
        self.assertGreater(flow["held_bytes"], 0)
        self.assertGreater(flow["hold_ms"], 0)
        route = self.ask("/api/v1/flows")["routes"][0]
        self.assertEqual((route["route"], route["flows"], route["stalled"], route["bottlenecks"]["client"]), ("api", 1, 1, 1))
        one = self.ask(f"/api/v1/flows/{flow['id']}")
        self.assertEqual([t["what"] for t in one["transitions"]], ["head", "connect", "lease", "send", "wait", "body"])
        client.reset()
        ended = self.ended_as("client_reset")
        self.assertEqual((ended["side"], ended["verdict"]["party"]), ("client", "client"))
        self.assertGreater(ended["held_max_bytes"], 0)

    def test_an_upstream_that_does_not_answer(self):
        self.proxying(silent_after(b""))
        client = self.client()
        client.request("GET", "/")
        flow = self.blamed("upstream", stalled=500)
        self.assertEqual((flow["phase"], flow["waiting_for"], flow["status"]), ("wait", "upstream", None))
        self.assertGreater(flow["verdict"]["share"], 0.8)
        client.reset()
        self.ended_as("client_reset")

    def test_an_upstream_that_stalls_in_its_answer(self):
        self.proxying(silent_after(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
        client = self.client()
        client.request("GET", "/")
        client.recv_head()
        flow = self.blamed("upstream", stalled=500)
        self.assertEqual((flow["phase"], flow["waiting_for"], flow["down_bytes"]), ("body", "upstream", 4))
        client.reset()
        self.ended_as("client_reset")

    def test_a_client_that_stalls_in_its_upload(self):
        self.proxying(silent_after(b""))
        client = self.client()
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        flow = self.blamed("client", stalled=500)
        self.assertEqual((flow["phase"], flow["waiting_for"], flow["up_bytes"]), ("send", "client", 4))
        self.assertIn("up", [lane["direction"] for lane in flow["lanes"]])
        client.reset()
        self.ended_as("client_reset")

    def test_a_slow_compressor(self):
        def script(conn):
            conn.recv_request()
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\nContent-Type: text/plain\r\n\r\n")
            block = os.urandom(4 * MIB).hex().encode()
            try:
                while True:
                    conn.send(block)
            except OSError:
                pass

        self.proxying(script, ", compression: {algorithms: [zstd], level: 9}")
        client = self.client()
        client.request("GET", "/", ("Accept-Encoding", "zstd"))
        client.recv_head()
        done = threading.Event()

        def take():  # as fast as it comes
            try:
                while not done.is_set() and client.sock.recv(MIB):
                    pass
            except OSError:
                pass

        reader = threading.Thread(target=take)
        reader.start()
        try:
            flow = self.blamed("stage")
            self.assertEqual(flow["verdict"]["stage"], "zstd")
            self.assertEqual(flow["verdict"]["stalled_ms"], 0)
        finally:
            done.set()
            client.reset()
            reader.join()
        self.ended_as("client_reset")

    @unittest.skipUnless(PROGRAMS, "no PostgreSQL is installed")
    def test_a_slow_postgresql(self):
        server = Postgres()
        self.addCleanup(server.close)
        slow = "select i, pg_sleep(case when i % 3 = 0 then 1.2 else 0 end) from generate_series(1, 1000) i"
        self.watched(f"sources: {{shop: {{postgres: '{server.source}'}}}}\nroutes: [{{name: rows, match: {{path_prefix: /}}, "
                     f"export: {{source: shop, query: '{slow}', timeout: 1h}}}}]\n", workers=1)
        client = self.client()
        client.request("GET", "/x.csv")
        eventually(lambda: self.blamed("database", stalled=500)["holding"], 20, "it has its session, and waits for rows")
        flow = self.blamed("database", stalled=500)
        self.assertEqual((flow["kind"], flow["source"], flow["upstream"], flow["waiting_for"]), ("export", "shop", None, "database"))
        self.assertGreater(flow["verdict"]["share"], 0.5)
        route = self.ask("/api/v1/flows")["routes"][0]
        self.assertEqual((route["flows"], route["bottlenecks"]["database"]), (1, 1))
        source = self.ask("/api/v1/sources")["sources"][0]
        self.assertEqual((source["name"], source["driver"], source["busy"]), ("shop", "postgres", 1))
        client.reset()
        self.assertEqual(self.ended_as("client_reset")["verdict"]["party"], "database")
        self.leaks = None  # a session of the database is kept, which is no leak

    def test_a_slow_database(self):
        path = self.file.parent / "shop.db"
        sqlite3.connect(path).close()
        slow = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n where i % 100000000 = 0"
        self.watched(f"sources: {{shop: {{sqlite: '{path}'}}}}\nroutes: [{{name: rows, match: {{path_prefix: /}}, "
                     f"export: {{source: shop, query: '{slow}'}}}}]\n", workers=1)
        client = self.client()
        client.request("GET", "/x.csv")
        flow = self.blamed("database", stalled=500)
        self.assertEqual((flow["kind"], flow["source"], flow["upstream"], flow["waiting_for"]), ("export", "shop", None, "database"))
        self.assertEqual((flow["phase"], flow["holding"]), ("wait", True))
        source = self.ask("/api/v1/sources")["sources"][0]
        self.assertEqual((source["name"], source["driver"], source["busy"]), ("shop", "sqlite", 1))
        client.reset()
        self.ended_as("client_reset")
        self.leaks = None  # a session of the database is kept, which is no leak


class Registry(ObserveCase):
    def test_an_operator_ends_a_flow(self):
        self.proxying(endless)
        client = self.client(receive_buffer=4096)
        client.request("GET", "/")
        client.recv_head()
        flow = self.blamed("client", stalled=500)
        self.assertEqual(self.ask(f"/api/v1/flows/{flow['id']}", "DELETE", status=202), {"aborted": True})
        self.assertEqual(client.wait_end(5).kind, "reset")
        self.assertEqual(self.gateway.wait_for_log().end, "aborted_by_operator")
        self.assertEqual(self.ended_as("aborted_by_operator")["side"], "gateway")
        self.ask(f"/api/v1/flows/{flow['id']}", status=404)
        self.ask(f"/api/v1/flows/{flow['id']}", "DELETE", status=404)
        self.ask("/api/v1/flows/nonsense", status=404)

    def test_an_operator_ends_a_flow_before_its_answer(self):
        self.proxying(silent_after(b""))
        client = self.client()
        client.request("GET", "/")
        flow = self.blamed("upstream", stalled=500)
        self.ask(f"/api/v1/flows/{flow['id']}", "DELETE", status=202)
        self.assertEqual(client.response().status, 503)
        self.assertEqual(self.ended_as("aborted_by_operator")["status"], 503)

    def test_an_operator_ends_who_sends_its_head_slowly(self):
        self.proxying(silent_after(b""))
        client = self.client()
        client.send(b"GET / HT")
        flow = eventually(self.flows, 5, "there is a flow")[0]
        self.assertEqual((flow["phase"], flow["waiting_for"], flow["route"]), ("head", "client", None))
        after = self.ask("/api/v1/overview")["stalled_after_ms"]
        self.assertEqual(after, 500)
        flow = eventually(lambda: next((f for f in self.flows() if f["stalled_ms"]), None), 5 * SLACK, "it is stalled")
        self.assertEqual((flow["stalled_by"], flow["stalled_ms"] >= after, flow["verdict"]), ("client", True, None))
        self.assertEqual(self.ask("/api/v1/flows")["routes"][0]["stalled"], 1)
        self.ask(f"/api/v1/flows/{flow['id']}", "DELETE", status=202)
        self.ended_as("aborted_by_operator")
        client.wait_end(5)

    def test_idle_connections_are_no_flows(self):
        self.proxying(None)
        client = self.client()
        client.exchange()
        self.assertEqual(self.flows(), [])
        ended = self.ended_as("complete")
        self.assertEqual((ended["side"], ended["status"], ended["stages"]), (None, 200, []))

    def test_a_storm_leaves_nothing(self):
        self.proxying(endless)
        clients = [self.client(receive_buffer=4096) for _ in range(100)]
        for c in clients:
            c.request("GET", "/")
        eventually(lambda: len(self.flows()) == 100, 20 * SLACK, "all are there")
        for c in clients:
            c.reset()
        eventually(lambda: not self.flows(), 20 * SLACK, "none is there")
        ended = self.ask("/api/v1/flows/ended?limit=1000")["flows"]
        self.assertEqual(len(ended), 100)
        self.assertEqual({e["left_bytes"] for e in ended}, {0})
        self.assertEqual(self.ask("/api/v1/overview")["flows"], 0)

    def test_filters_and_orders(self):
        self.proxying(silent_after(b""))
        first, second = self.client(), self.client()
        first.request("GET", "/first")
        eventually(lambda: len(self.flows()) == 1)
        second.request("GET", "/second")
        eventually(lambda: len(self.flows()) == 2)
        self.assertEqual([f["target"] for f in self.flows("?sort=age")], ["/first", "/second"])
        self.assertEqual(len(self.flows("?limit=1")), 1)
        for query, count in (("search=sec", 1), ("search=%73econd", 1), ("route=api", 2), ("route=other", 0), ("kind=request", 2),
                             ("kind=tunnel", 0), ("client=127.0.0.1", 2), ("client=10.0.0.1", 0),
                             (f"upstream={self.origin.name}", 2), ("upstream=x", 0)):
            page = self.ask("/api/v1/flows?" + query)
            self.assertEqual((page["matched"], len(page["flows"]), page["total"]), (count, count, 2), query)
        for wrong in ("sort=name", "limit=0", "limit=1001", "limit=x"):
            self.ask("/api/v1/flows?" + wrong, status=400)

    def test_tunnels(self):
        origin = self.origin_named("x", lambda conn: conn.wait_end(60))
        self.run_with(f"listeners: [{{name: db, address: '127.0.0.1:{self.port}'}}]\nadmin: {{address: '127.0.0.1:{self.admin_port}'}}\n"
                      f"routes: [{{name: pass, tcp: {{upstreams: [x]}}}}]\nupstreams: {{x: {{endpoints: ['{origin.name}']}}}}\n", workers=1)
        client = self.client()
        client.send(b"hello")
        flow = eventually(lambda: next((f for f in self.flows() if f["up_bytes"] == 5), None), 5, "it has passed")
        self.assertEqual((flow["kind"], flow["phase"], flow["verdict"], len(flow["lanes"])), ("tunnel", "tunnel", None, 2))
        self.ask(f"/api/v1/flows/{flow['id']}", "DELETE", status=202)
        self.assertEqual(client.wait_end(5).kind, "reset")
        self.ended_as("aborted_by_operator")


class Shown(ObserveCase):
    def test_the_other_answers(self):
        self.proxying(None)
        self.client().exchange()
        overview = self.ask("/api/v1/overview")
        self.assertEqual((overview["ready"], overview["workers"], overview["pid"]), (True, 1, self.gateway.pid))
        self.assertIsNone(overview["rates"]["requests_per_s"])
        route = self.ask("/api/v1/routes")["routes"][0]
        self.assertEqual((route["route"], route["requests_total"], route["errors_total"], route["action"]), ("api", 1, 0, "proxy"))
        self.assertEqual(self.ask("/api/v1/sources"), {"sources": []})

    def explained(self):
        return subprocess.run([BINARY, "explain", "-c", str(self.file)], text=True, capture_output=True, check=True, timeout=60).stdout

    def test_the_configuration_is_what_explain_says(self):
        origin = self.origin_named("x")
        rest = ("defaults: {proxy: {first_byte_timeout: 7s}}\n"
                "tracing: {sampling: 0, headers: {Authorization: hidden}}\n"
                "sources: {shop: {postgres: 'postgres://me:hidden@127.0.0.1:1/shop'}, other: {postgres: 'host=127.0.0.1 port=1 password=hidden'}}\n"
                "routes:\n"
                "  - {name: api, match: {path_prefix: /}, proxy: {upstreams: [x], request_headers: {set: {X-Key: hidden}}}}\n"
                "  - {name: rows, match: {path: /rows}, export: {source: shop, query: select 1}}\n"
                f"upstreams: {{x: {{endpoints: ['{origin.name}'], sticky_cookie: {{name: c, secret: hidden-hidden-hidden-hidden-hidden}}}}}}\n")
        self.watched(rest, workers=1)
        for _ in range(2):
            served = self.ask("/api/v1/config")
            self.assertEqual(served, self.explained())
            told = self.ask("/api/v1/config", fields=[("Accept", "application/json")])
            self.assertEqual(told["file"], str(self.file))
            self.assertEqual({p["kind"] for p in told["parts"]}, {"server", "admin", "tracing", "listener", "route", "upstream", "source"})
            lines = []
            for p in told["parts"]:
                lines += ["", " ".join(filter(None, (p["kind"], p["name"]))) + (f" ({p['from']})" if p["from"] else "")]
                lines += ["  " + a for a in p["about"]]
                lines += [f"    {o['key']:<36}{o['value'] or '-':<11} {o['from']}" for o in p["options"]]
            self.assertEqual("\n".join(lines[1:]) + "\n", served, "both forms say the same")
            options = {(p["name"], o["key"]): o for p in told["parts"] for o in p["options"]}
            first = options["api", "first_byte_timeout"]
            self.assertEqual(first["value"], "7s")
            self.assertRegex(first["from"], r"headgate\.yaml:\d+, defaults$")
            self.assertIn("is " + origin.name, next(p["about"] for p in told["parts"] if p["name"] == "x"))
            self.assertEqual(options["shop", "postgres"]["value"], "postgres://me:(not shown)@127.0.0.1:1/shop")
            self.assertNotIn("hidden", served)
            rest = "# all of it is a line further down\n" + rest
            self.reload(self.listener() + f"admin: {{address: '127.0.0.1:{self.admin_port}'}}\n" + rest, workers=1)
        self.leaks = None  # those of a pool of connections to a database

    def test_the_configuration_of_a_command_line(self):
        self.start("--admin", f"127.0.0.1:{self.admin_port}", "--first-byte-timeout", "9s")
        told = self.ask("/api/v1/config", fields=[("Accept", "application/json")])
        self.assertEqual(told["file"], None)
        options = {(p["kind"], o["key"]): o for p in told["parts"] for o in p["options"]}
        self.assertEqual(options["route", "first_byte_timeout"], {"key": "first_byte_timeout", "value": "9s", "from": "command line, or built in"})

    def test_an_endpoint_is_drained(self):
        one, two = self.origin_named("one"), self.origin_named("two")
        self.watched("routes: [{match: {path_prefix: /}, proxy: {upstreams: [x]}}]\n"
                     f"upstreams: {{x: {{endpoints: ['{one.name}', '{two.name}']}}}}\n", workers=2)
        client = self.client()
        self.ask(f"/api/v1/upstreams/x/endpoints/{one.name}/drain", "POST")
        self.assertEqual({client.exchange().data for _ in range(10)}, {b"two"})
        endpoints = {e["address"]: e for e in self.ask("/api/v1/upstreams")["upstreams"][0]["endpoints"]}
        self.assertEqual((endpoints[one.name]["draining"], endpoints[two.name]["draining"]), (True, False))
        self.ask(f"/api/v1/upstreams/x/endpoints/{one.name}/undrain", "POST")
        self.assertEqual({client.exchange().data for _ in range(10)}, {b"one", b"two"})
        self.ask("/api/v1/upstreams/x/endpoints/nowhere/drain", "POST", status=404)

    def test_the_log_level(self):
        self.proxying(None)
        self.assertEqual(self.ask("/api/v1/log-level"), {"level": "info"})
        self.assertEqual(self.ask("/api/v1/log-level", "PUT", body=b'{"level": "warning"}'), {"level": "warning"})
        self.client().exchange("GET", "/quiet")
        self.assertEqual(self.ended_as("complete")["target"], "/quiet")  # by then it would have been written
        self.assertEqual(self.ask("/api/v1/log-level", "PUT", body=b'{"level":"info"}'), {"level": "info"})
        self.client().exchange("GET", "/told")
        self.gateway.wait_for_log(target="/told")
        self.assertNotIn("/quiet", [line.target for line in self.gateway.all_logs])
        self.ask("/api/v1/log-level", "PUT", body=b'{"level":"loud"}', status=400)

    def test_the_log_level_is_that_of_standard_error_too(self):
        def served(more=""):
            return (self.listener() + f"admin: {{address: '127.0.0.1:{self.admin_port}'}}\nroutes: [{{name: api, proxy: {{upstream: x}}}}]\n"
                    f"upstreams: {{x: {{endpoints: ['{where}', '{origin.name}'], ejection: {{consecutive_failures: 1, base_ejection_time: 1h, max_ejection_time: 1h, max_ejection_percent: 100}}}}}}\n" + more)

        def told_at(level):
            """What it says when it is told to read a file, and one that is wrong, and when an endpoint fails for the first time."""
            nonlocal where
            self.ask("/api/v1/log-level", "PUT", body=json.dumps({"level": level}).encode())
            before = len(self.gateway.errors)
            where = f"127.0.0.1:{free_port()}"
            self.change(served())
            self.ask("/api/v1/reload", "POST")
            ejected = lambda: self.metrics()[1]["headgate_upstream_ejections_total", 'upstream="x"']
            known = ejected()
            eventually(lambda: self.client().exchange() and ejected() > known, 5 * SLACK, "one goes to where nobody is")
            self.change(served("nonsense: 1\n"))
            self.ask("/api/v1/reload", "POST", status=422)
            text = self.gateway.live() and "\n".join(self.gateway.errors[before:])  # what was asked for comes at every level
            return "reloaded:" in text, "is ejected" in text, "not reloaded" in text

        origin, where = self.origin_named("x"), "127.0.0.1:1"
        self.run_with(served(), workers=1)
        self.assertEqual(told_at("info"), (True, True, True))
        self.assertEqual(told_at("warning"), (False, True, True))
        self.assertEqual(told_at("error"), (False, False, True))
        self.ask("/api/v1/log-level", "PUT", body=b'{"level": "info"}')

    def test_a_token(self):
        file = self.file.parent / "token"
        file.write_text("s3cret\n")
        self.watched("routes: [{respond: {body: one}}]\n", admin=f", token_file: {file}")
        for token, status in ((None, 401), ("wrong!", 401), ("s3cret", 200)):
            fields = [("Authorization", "Bearer " + token)] if token else []
            client = Client(("127.0.0.1", self.admin_port))
            self.adopt(client)
            client.send(request("GET", "/api/v1/overview", fields, host="gateway.example"))
            answer = client.response()
            self.assertEqual((answer.status, "WWW-Authenticate" in answer.head), (status, status == 401))
            client.send(request("GET", "/readyz", host="localhost"))
            self.assertEqual(client.response().status, 200)

    def test_the_page(self):
        self.watched("routes: [{respond: {body: one}}]\n")
        client = Client(("127.0.0.1", self.admin_port))
        self.adopt(client)
        client.send(request("GET", "/", host="localhost"))
        page = client.response()
        self.assertEqual((page.status, page.head["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("default-src 'none'", page.head["Content-Security-Policy"])
        client.send(request("GET", "/", [("If-None-Match", page.head["ETag"])], host="localhost"))
        self.assertEqual(client.response().status, 304)

    def test_metrics(self):
        self.proxying(None)
        self.client().exchange()
        self.gateway.wait_for_log()
        text, samples = self.metrics()
        self.assertEqual(samples["headgate_requests_total", 'route="api",code="2xx"'], 1)
        self.assertEqual(samples["headgate_request_duration_seconds_count", 'route="api"'], 1)
        self.assertEqual(samples["headgate_request_duration_seconds_bucket", 'route="api",le="+Inf"'], 1)
        self.assertEqual(samples["headgate_first_byte_seconds_count", 'route="api"'], 1)
        self.assertEqual(samples["headgate_ends_total", 'cause="complete",side="none"'], 1)
        self.assertEqual(samples["headgate_body_bytes_total", 'route="api",direction="down"'], 1)
        self.assertEqual(samples["headgate_upstream_connections", 'upstream="x",state="idle"'], 1)
        self.assertGreater(samples["process_resident_memory_bytes", None], MIB)
        self.assertEqual(samples["headgate_log_lines_dropped_total", None], 0)
        self.assertGreater(samples["headgate_loop_turn_seconds_count", 'worker="0"'], 4)
        self.assertGreater(samples["headgate_loop_turn_seconds_sum", 'worker="0"'], 0)
        bounds = [count for (name, labels), count in samples.items() if name == "headgate_loop_turn_seconds_bucket"]
        self.assertEqual((len(bounds), bounds), (13, sorted(bounds)))
        self.assertEqual(bounds[-1], samples["headgate_loop_turn_seconds_count", 'worker="0"'])
        self.assertIn(("headgate_loop_stalls_total", None), samples)
        self.assertNotIn("headgate_trace_spans_total", text)
        self.promtool(text)

    def test_lines_that_nobody_reads_are_counted(self):
        """Its standard output is a pipe that is full."""
        self.write(self.listener() + f"admin: {{address: '127.0.0.1:{self.admin_port}'}}\nroutes: [{{respond: {{body: hi}}}}]\n")
        process = subprocess.Popen([BINARY, "run", "-c", str(self.file)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            self.assertIn(b"listening", process.stdout.readline())
            self.assertEqual(self.metrics()[1]["headgate_log_lines_dropped_total", None], 0)
            made = 4000
            subprocess.run(["curl", "-s", f"http://127.0.0.1:{self.port}/[1-{made}]"], check=True, stdout=subprocess.DEVNULL, timeout=100)
            text, samples = self.metrics()
            dropped = samples["headgate_log_lines_dropped_total", None]
            self.assertGreater(dropped, 0)
            self.promtool(text)
            process.terminate()
            written = [json.loads(line) for line in process.stdout]
            self.assertEqual(sum(line["event"] == "end" for line in written), made - dropped)
        finally:
            process.kill()
            process.wait(20)
            process.stdout.close()

    def spans(self):
        text, samples = self.metrics()
        self.promtool(text)
        return {re.search('"(.*)"', labels)[1]: count for (name, labels), count in samples.items() if name == "headgate_trace_spans_total"}

    def traced(self, collector, more=""):
        self.watched(f"tracing: {{collector: '{collector}', sampling: 1, interval: 50ms, queue_max: 100{more}}}\nroutes: [{{respond: {{body: hi}}}}]\n", workers=1)
        return self.client()

    def test_spans_that_nobody_takes_are_counted(self):
        """The collector is away: 100 wait, one batch is tried again and given up, the others are dropped."""
        client = self.traced(f"http://127.0.0.1:{free_port()}")
        self.assertEqual(self.spans(), {"exported": 0, "rejected": 0, "failed": 0, "dropped": 0})
        for _ in range(300):
            client.exchange()
        counts = self.spans()
        self.assertGreater(counts["dropped"], 0)
        self.assertLess(counts["dropped"], 300)
        failed = eventually(lambda: self.spans()["failed"], 40 * SLACK, "a batch is given up")  # after five tries
        self.assertLessEqual(failed + counts["dropped"], 300)

    def test_spans_that_are_taken_or_refused_are_counted(self):
        status = 200

        def script(conn):
            conn.serve(lambda c, head: (c.recv_body(head), c.respond(status, [], b"{}"), False)[2])

        client = self.traced(self.origin_named("collector", script).url())
        client.exchange()
        eventually(lambda: self.spans()["exported"] == 1, 10 * SLACK)
        status = 400
        client.exchange()
        eventually(lambda: self.spans()["rejected"] == 1, 10 * SLACK)
        self.assertEqual(self.spans(), {"exported": 1, "rejected": 1, "failed": 0, "dropped": 0})

    def test_a_worker_that_is_held_up_is_counted(self):
        """By a compressor that takes its time."""
        body = os.urandom(2 * MIB).hex().encode()
        self.origin = self.origin_named("x", lambda conn: conn.serve(lambda c, head: c.respond(200, [("Content-Type", "text/plain")], body)))
        self.watched("routes: [{name: api, proxy: {upstreams: [x], compression: {algorithms: [zstd], level: 9}}}]\n"
                     f"upstreams: {{x: {{endpoints: ['{self.origin.name}']}}}}\n", workers=1, more=", loop_stall_threshold: 1ms")
        before = self.metrics()[1]
        self.assertEqual(self.client().exchange("GET", "/", ("Accept-Encoding", "zstd")).head["Content-Encoding"], "zstd")
        after = self.metrics()[1]
        self.assertGreater(after["headgate_loop_stalls_total", None], before["headgate_loop_stalls_total", None])
        slow = lambda samples: (samples["headgate_loop_turn_seconds_count", 'worker="0"']
                                - samples["headgate_loop_turn_seconds_bucket", 'worker="0",le="0.001"'])
        self.assertGreater(slow(after), slow(before))
        eventually(lambda: any("has not come back to its loop" in line for line in self.gateway.errors))

    def test_waits_are_counted_while_they_last_and_never_less(self):
        self.proxying(silent_after(b""))
        client = self.client()
        client.request("GET", "/")
        self.blamed("upstream", stalled=500)
        waited = lambda: self.metrics()[1]["headgate_wait_seconds_total", 'route="api",party="upstream"']
        during = waited()
        self.assertGreater(during, 0.4)
        client.reset()
        self.ended_as("client_reset")
        self.assertGreaterEqual(waited(), during)


class Events(ObserveCase):
    def listen(self, query=""):
        client = Client(("127.0.0.1", self.admin_port), timeout=10 * SLACK)
        self.adopt(client)
        client.send(request("GET", "/api/v1/events" + query, host="localhost"))
        self.assertEqual(client.recv_head().status, 200)
        return client

    @staticmethod
    def read(client):
        text = client._recv_until(b"\n\n", 16 * MIB).decode()
        name, data = text.strip().split("\n", 1)
        return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))

    def test_every_second(self):
        self.proxying(None)
        events = self.listen("?limit=5")
        schemas = API["components"]["schemas"]
        for name in ("overview", "flows", "overview", "flows"):
            got, data = self.read(events)
            self.assertEqual(got, name)
            check(schemas[name], data)
        self.client().exchange("GET", "/seen")
        while (got := self.read(events))[0] != "ended":
            pass
        self.assertEqual([(e["target"], e["cause"]) for e in got[1]["flows"]], [("/seen", "complete")])
        self.assertEqual(got[1]["skipped"], 0)

    def test_only_so_many_and_they_leave(self):
        self.proxying(None)
        all_of_them = [self.listen() for _ in range(8)]
        self.ask("/api/v1/events", status=503)
        for client in all_of_them:
            client.reset()
        eventually(lambda: self.listen(), 5 * SLACK, "there is room again")

    def test_who_does_not_read_is_cut_off(self):
        """Within some seconds of the time at which nothing more goes into its socket."""
        self.proxying(silent_after(b""))
        clients = [self.client() for _ in range(40)]
        for c in clients:
            c.request("GET", "/" + "x" * 200)
        eventually(lambda: len(self.flows()) == 40, 10 * SLACK)
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", self.admin_port))
        deaf.sendall(request("GET", "/api/v1/events?limit=1000", host="localhost"))
        local = "%s:%d" % deaf.getsockname()

        def gone():
            with open("/proc/net/tcp", encoding="ascii") as table:
                port = f":{deaf.getsockname()[1]:04X}"
                ours = [line.split() for line in table if line.split()[2].endswith(port)]
            return not any(entry[3] == "01" for entry in ours)  # none of the gateway's is established

        eventually(gone, 90 * SLACK, f"the gateway has ended {local}")
        deaf.close()


class Many(ObserveCase):
    @unittest.skipIf(SANITIZED, "a measurement")
    def test_ten_thousand(self):
        count = int(os.environ.get("HEADGATE_FLOWS", "2000"))
        self.proxying(silent_after(b""), more=", access_log: {enabled: false}")  # all end at once: lines would be dropped
        clients = []
        for i in range(count):
            c = socket.create_connection(("127.0.0.1", self.port))
            c.sendall(f"GET /{i} HTT".encode())
            clients.append(c)
        eventually(lambda: self.ask("/api/v1/flows?limit=1")["total"] == count, 60, "all are there")
        before = self.metrics()[1]
        for sort in ("age", "stalled", "bytes"):
            page = self.ask(f"/api/v1/flows?limit=1000&sort={sort}")
            self.assertEqual((page["total"], page["matched"], len(page["flows"])), (count, count, 1000))
            self.assertEqual(sum(r["flows"] for r in page["routes"]), count)
        oldest = self.ask("/api/v1/flows?limit=1000&sort=age")["flows"]
        self.assertEqual(len({f["id"] for f in oldest}), 1000)
        self.assertLessEqual(max(int(f["id"].partition("-")[2]) for f in oldest), 1000 + 100, "those that came first")
        self.ask("/api/v1/overview")
        after = self.metrics()[1]
        # The watch leaves out what the machine does to a worker.
        self.assertEqual(after["headgate_loop_stalls_total", None], before["headgate_loop_stalls_total", None],
                         "a worker was held up: " + "\n".join(self.gateway.errors))
        turns = {labels: count - before["headgate_loop_turn_seconds_bucket", labels]
                 for (name, labels), count in after.items() if name == "headgate_loop_turn_seconds_bucket"}
        print(count, "flows; turns by their length:", turns)
        for c in clients:
            c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.close()
        eventually(lambda: self.ask("/api/v1/flows?limit=1")["total"] == 0, 60, "none is there")


class Configuration(ObserveCase):
    def test_others_may_not_connect_without_a_token(self):
        self.write("listeners: [{name: web, address: '127.0.0.1:1'}]\nroutes: [{respond: {body: one}}]\nadmin:\n  address: '0.0.0.0:9909'\n")
        for command in (["validate", "-c", self.file], ["proxy", "--to", "http://127.0.0.1:1", "--admin", "0.0.0.0:9909"]):
            told = subprocess.run([BINARY, *map(str, command)], capture_output=True, text=True, check=False)
            self.assertNotEqual(told.returncode, 0)
            self.assertIn("others than this machine can connect", told.stderr)
            self.assertIn("token", told.stderr)


if __name__ == "__main__":
    unittest.main()
