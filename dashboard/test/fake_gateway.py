#!/usr/bin/env python3
"""A stand-in for a gateway's admin server, which plays the scenarios of scenarios.py: for the page and for `headgate top`.

    dashboard/test/fake_gateway.py [--listen 127.0.0.1:9909 | --listen unix:PATH] [--scenario everything] [--token T]

It serves the page from dashboard/ and prints its address. `POST /test/scenario/NAME` plays another one at once,
`POST /test/drop` breaks all streams of events.
"""

import argparse
import collections
import datetime
import http.server
import json
import os
import pathlib
import socket
import threading
import time
import urllib.parse

import scenarios

PAGE = pathlib.Path(__file__).resolve().parent.parent
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8",
         ".css": "text/css; charset=utf-8",
         ".svg": "image/svg+xml"}
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
KEYS = {"stalled": lambda f: f["stalled_ms"], "held": lambda f: f["held_bytes"],
        "age": lambda f: f["age_ms"], "hold": lambda f: f["hold_ms"] or 0, "bytes": lambda f: f["up_bytes"] + f["down_bytes"]}
MIB = 1 << 20


def stamp():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class World:
    """What the gateway does now. Guarded by `changed`, which is notified when a scenario begins or a flow ends."""

    def __init__(self, scenario):
        self.changed = threading.Condition()
        self.ended = collections.deque(maxlen=256)
        self.ended_total = self.drops = self.version = 0
        self.level = "info"
        self.told_last = (None, 0.0, [])
        self.started = time.monotonic()
        self.play(scenario)

    def play(self, scenario):
        now = time.monotonic()
        with self.changed:
            self.scenario, self.flows = scenario, scenarios.flows_of(scenario, now)
            self.version += 1
            if not self.ended:
                for i, flow in enumerate(scenarios.calm(now - 1, 12)):
                    cause, side = [("complete", None), ("complete", None), ("client_reset", "client"),
                                   ("upstream_timeout", "upstream")][i % 4]
                    self.end(flow, cause, side)
            self.changed.notify_all()

    def end(self, flow, cause, side):
        self.ended.appendleft(flow.ended(time.monotonic(), stamp(), cause, side))
        self.ended_total += 1

    def abort(self, flow_id):
        with self.changed:
            flow = self.flows.pop(flow_id, None)
            if flow:
                self.end(flow, "aborted_by_operator", "gateway")
                self.version += 1
                self.changed.notify_all()
            return flow is not None

    def told(self):
        """All flows. Of ten thousand that takes a while, so it is not done more than a third of the time."""
        now = time.monotonic()
        with self.changed:
            version, until, told = self.told_last
            if version != self.version or now > until:
                told = [flow.told(now) for flow in self.flows.values()]
                end = time.monotonic()
                self.told_last = (self.version, end + max(0.1, 2 * (end - now)), told)
            return told

    def flows_answer(self, query):
        told = self.told()
        wanted = [f for f in told if all(query.get(name) in (None, "", f[name]) for name in ("route", "client", "upstream", "kind"))]
        if text := query.get("search"):
            wanted = [f for f in wanted if any(text in (f[name] or "") for name in ("target", "id", "request_id", "client"))]
        wanted.sort(key=KEYS[query.get("sort", "stalled")], reverse=True)
        limit = min(max(int(query.get("limit", 100)), 1), 1000)
        return {"time": stamp(), "total": len(told), "matched": len(wanted), "routes": route_totals(told), "flows": wanted[:limit]}

    def overview(self):
        told = self.told()
        held = sum(f["held_bytes"] for f in told if "spool" not in str(f["lanes"]))
        spooled = sum(s["held_bytes"] for f in told for s in f["lanes"][-1]["stages"] if s["name"] == "spool")
        stalled_database = any(f["verdict"] and f["verdict"]["party"] == "database" for f in told)
        leased = collections.Counter(f["source"] for f in told if f["source"] and f["holding"])
        return {
            "time": stamp(), "version": "0.1.0", "pid": os.getpid(), "uptime_s": round(time.monotonic() - self.started + 86400, 3),
            "ready": True, "draining": False, "workers": 2, "stalled_after_ms": scenarios.STALLED_AFTER_MS, "connections": len(told) + 31, "requests": len(told), "flows": len(told),
            "memory": {"used_bytes": held + 3 * MIB, "limit_bytes": 2048 * MIB},
            "spool": {"used_bytes": spooled, "limit_bytes": 1024 * MIB},
            "descriptors": {"used": 2 * len(told) + 57, "limit": 65536}, "rss_bytes": held + 21 * MIB,
            "rates": {"requests_per_s": 412.0 + len(told) % 7, "down_bytes_per_s": 3.1e7, "up_bytes_per_s": 4.2e5,
                      "errors_per_s": 0.0},
            "routes": route_totals(told),
            "upstreams": [
                upstream("api", 14, 6, "closed", endpoint("10.0.0.11:9000", 9), endpoint("10.0.0.12:9000", 5)),
                upstream("images", 3, 12, "closed", endpoint("10.0.0.21:9000", 3), endpoint("10.0.0.22:9000", 0, healthy=False)),
                upstream("chat", 2, 0, "half_open", endpoint("10.0.0.31:7000", 2), endpoint("10.0.0.32:7000", 0, ejected=True))],
            "sources": [
                {"name": "shop", "driver": "postgres", "size": 8, "busy": leased["shop"], "idle": 4, "waiting": 0,
                 "hold_ms_total": 181234.5, "leases_total": 5120, "returned_early_total": 4871},
                {"name": "warehouse", "driver": "postgres", "size": 4, "busy": 4 if stalled_database else leased["warehouse"],
                 "idle": 0 if stalled_database else 4, "waiting": 3 if stalled_database else 0, "hold_ms_total": 90321.0,
                 "leases_total": 812, "returned_early_total": 97}]}


def upstream(name, busy, idle, circuit, *endpoints):
    return {"name": name, "busy": busy, "idle": idle, "queued": 0, "limit": 256, "circuit": circuit, "retries_total": 3,
            "endpoints": list(endpoints)}


def endpoint(address, busy, healthy=True, ejected=False):
    return {"address": address, "healthy": healthy, "ejected": ejected, "draining": False, "busy": busy, "idle": 3, "weight": 1}


def route_totals(told):
    totals = {}
    for f in told:
        party = (f["verdict"] or {}).get("party", "none")
        t = totals.setdefault(f["route"], {"route": f["route"], "flows": 0, "stalled": 0, "held_bytes": 0, "held_limit_bytes": 0,
                                           "bottlenecks": dict.fromkeys(("client", "upstream", "database", "stage", "none"), 0)})
        t["flows"] += 1
        t["stalled"] += f["stalled_ms"] > 0
        t["held_bytes"] += f["held_bytes"]
        t["held_limit_bytes"] += f["held_limit_bytes"]
        t["bottlenecks"][party] += 1
    return sorted(totals.values(), key=lambda t: t["route"])


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world = token = None

    def log_message(self, *_):
        pass

    def address_string(self):
        return "client"

    def say(self, status, body, kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        if kind.startswith("text/html"):
            self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(data)

    def problem(self, status, detail):
        title = http.HTTPStatus(status).phrase
        self.say(status, {"type": "about:blank", "title": title, "status": status, "detail": detail}, "application/problem+json")

    def parts(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path.startswith("/api/") and self.token and self.headers.get("Authorization") != f"Bearer {self.token}":
            self.problem(401, "a token is needed: Authorization: Bearer TOKEN")
            return None, {}
        return urllib.parse.unquote(url.path), dict(urllib.parse.parse_qsl(url.query))

    def do_GET(self):
        path, query = self.parts()
        if path is None:
            return
        try:
            self.answer(path.removeprefix("/api/v1"), path, query)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer(self, at, path, query):
        if path == "/api/v1/events":
            self.stream(query)
        elif at == "/flows":
            self.say(200, self.world.flows_answer(query))
        elif at == "/flows/ended":
            with self.world.changed:
                self.say(200, {"flows": list(self.world.ended)[:int(query.get("limit", 100))]})
        elif at.startswith("/flows/"):
            found = next((f for f in self.world.told() if f["id"] == at[len("/flows/"):]), None)
            if not found:
                return self.problem(404, "this flow has ended")
            steps = [("head", 0.1), ("queue", 0.2), ("connect", 0.9), ("send", 1.4), ("wait", 2.0), ("body", 212.7)]
            self.say(200, found | {"transitions": [{"at_ms": at_ms, "what": what} for what, at_ms in steps]})
        elif at == "/overview":
            self.say(200, self.world.overview())
        elif at in ("/upstreams", "/sources", "/routes"):
            self.say(200, {at[1:]: self.world.overview()[at[1:]]})
        elif at == "/log-level":
            self.say(200, {"level": self.world.level})
        else:
            self.file("index.html" if path == "/" else path.lstrip("/"))

    def file(self, name):
        path = (PAGE / name).resolve()
        if PAGE not in path.parents or path.suffix not in TYPES or not path.is_file():
            return self.problem(404, "there is nothing at this path")
        self.say(200, path.read_bytes(), TYPES[path.suffix])

    def stream(self, query):
        """Every second what there is, and at once when a scenario begins or a flow ends."""
        world = self.world
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        drops, seen = world.drops, world.ended_total
        while world.drops == drops:
            with world.changed:
                version = world.version
                fresh = list(world.ended)[:min(world.ended_total - seen, 100)]
                skipped, seen = world.ended_total - seen - len(fresh), world.ended_total
            self.event("overview", world.overview())
            self.event("flows", world.flows_answer(query))
            if fresh:
                self.event("ended", {"flows": fresh, "skipped": skipped})
            with world.changed:
                world.changed.wait_for(lambda: world.version != version or world.drops != drops, 1)

    def event(self, name, data):
        self.wfile.write(f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode())
        self.wfile.flush()

    def do_DELETE(self):
        path, _ = self.parts()
        if path is None:
            return
        if path.startswith("/api/v1/flows/") and self.world.abort(path.rsplit("/", 1)[1]):
            self.say(202, {"aborted": True})
        else:
            self.problem(404, "this flow has ended")

    def do_POST(self):
        path, _ = self.parts()
        if path is None:
            return
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path == "/test/drop":
            with self.world.changed:
                self.world.drops += 1
                self.world.changed.notify_all()
            self.say(200, {})
        elif path.startswith("/test/scenario/") and path.rsplit("/", 1)[1] in scenarios.SCENARIOS:
            self.world.play(path.rsplit("/", 1)[1])
            self.say(200, {})
        elif path.startswith("/api/v1/upstreams/") and path.endswith(("/drain", "/undrain")):
            self.say(200, {"address": path.split("/")[-2], "draining": path.endswith("/drain")})
        else:
            self.problem(404, "there is nothing at this path")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listen, handler):
        self.path = listen.removeprefix("unix:") if listen.startswith("unix:") else None
        host, _, port = listen.rpartition(":")
        if self.path:
            self.address_family = socket.AF_UNIX
        super().__init__(self.path or (host, int(port)), handler)

    def server_bind(self):
        if self.path:
            self.socket.bind(self.path)
            self.server_address, self.server_name, self.server_port = self.path, "localhost", 0
        else:
            super().server_bind()

    @property
    def name(self):
        return f"unix:{self.path}" if self.path else "%s:%d" % self.server_address

    def get_request(self):
        connection, peer = super().get_request()
        return connection, peer or ("local", 0)

    def handle_error(self, request, client_address):
        pass  # a client that has left


def make(listen="127.0.0.1:0", scenario="calm", token=None):
    """A server that is bound, and not served yet: serve_forever() does that."""
    handler = type("BoundHandler", (Handler,), {"world": World(scenario), "token": token})
    return Server(listen, handler)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--scenario", default="everything", choices=list(scenarios.SCENARIOS))
    parser.add_argument("--token")
    options = parser.parse_args()
    server = make(options.listen, options.scenario, options.token)
    print(f"listening on {server.name}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
