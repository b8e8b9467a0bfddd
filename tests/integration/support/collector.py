"""A collector of traces that believes nothing: OTLP over HTTP in its JSON encoding, as the specification has it."""

import json
import re
import threading
import time

from .origin import Origin

HEX = re.compile(r"[0-9a-f]+")
DIGITS = re.compile(r"0|[1-9][0-9]*")
SPAN_KEYS = {"traceId", "spanId", "parentSpanId", "flags", "name", "kind", "startTimeUnixNano", "endTimeUnixNano",
             "attributes", "status"}
KINDS = {1: "internal", 2: "server", 3: "client"}

# Of OpenTelemetry's semantic conventions, with their types; headgate.* are our own.
ATTRIBUTES = {
    "http.request.method": str, "http.request.method_original": str, "url.scheme": str, "url.path": str,
    "url.query": str, "url.full": str, "http.route": str, "server.address": str, "server.port": int,
    "client.address": str, "network.peer.address": str, "network.peer.port": int, "network.protocol.version": str,
    "user_agent.original": str, "http.response.status_code": int, "http.request.body.size": int,
    "http.response.body.size": int, "http.request.resend_count": int, "error.type": str, "db.system.name": str,
    "db.namespace": str, "network.transport": str, "client.port": int, "tls.client.server_name": str}
REQUIRED = {"server": {"http.request.method", "url.scheme", "url.path"}, "client": set(), "internal": set()}
OF_A_TUNNEL = {"network.transport", "client.address", "headgate.cause", "headgate.up_bytes", "headgate.down_bytes"}


def check(condition, what):
    if not condition:
        raise AssertionError("the collector refuses: " + what)


def attributes_of(items, where):
    found = {}
    for item in items:
        check(set(item) == {"key", "value"} and len(item["value"]) == 1, f"an attribute of {where}: {item}")
        (kind, value), = item["value"].items()
        if kind == "stringValue":
            check(isinstance(value, str), f"{item}")
        elif kind == "intValue":  # 64 bits: text
            check(isinstance(value, str) and DIGITS.fullmatch(value), f"{item}")
            value = int(value)
        elif kind == "doubleValue":
            check(isinstance(value, (int, float)) and not isinstance(value, bool), f"{item}")
        else:
            check(False, f"a value of the kind {kind}")
        check(item["key"] not in found, f"{item['key']} twice in {where}")
        found[item["key"]] = value
    return found


class Span:
    def __init__(self, raw, resource):
        check(set(raw) <= SPAN_KEYS, f"unknown keys {set(raw) - SPAN_KEYS}")
        for key, size in (("traceId", 32), ("spanId", 16)):
            check(len(raw[key]) == size and HEX.fullmatch(raw[key]) and raw[key].strip("0"), f"{key} {raw[key]}")
        parent = raw.get("parentSpanId")
        check(parent is None or (len(parent) == 16 and HEX.fullmatch(parent) and parent.strip("0")), f"parent {parent}")
        check(raw["kind"] in KINDS and isinstance(raw["kind"], int), f"kind {raw['kind']}")
        for key in ("startTimeUnixNano", "endTimeUnixNano"):
            check(isinstance(raw[key], str) and DIGITS.fullmatch(raw[key]), f"{key} {raw[key]!r}")
        self.trace, self.id, self.parent, self.kind = raw["traceId"], raw["spanId"], parent, KINDS[raw["kind"]]
        self.name, self.resource = raw["name"], resource
        self.begun, self.ended = int(raw["startTimeUnixNano"]), int(raw["endTimeUnixNano"])
        check(self.begun <= self.ended, "a span ends before it begins")
        check(abs(self.ended / 1e9 - time.time()) < 600, "a span is not of now")
        check(raw["flags"] & 1 and raw["flags"] & 0x100, f"flags {raw['flags']}")
        check(bool(raw["flags"] & 0x200) == (parent is not None and self.kind == "server"), f"flags {raw['flags']}")
        check(set(raw["status"]) <= {"code"} and raw["status"].get("code", 2) == 2, f"status {raw['status']}")
        self.failed = bool(raw["status"])
        self.attributes = attributes_of(raw["attributes"], self.name)
        for key, value in self.attributes.items():
            if not key.startswith("headgate."):
                check(key in ATTRIBUTES, f"{key} is no attribute of the conventions")
                check(isinstance(value, ATTRIBUTES[key]), f"{key} is {value!r}")
        required = OF_A_TUNNEL if self.name.startswith("tunnel") else REQUIRED[self.kind]
        check(required <= set(self.attributes), f"{self.name} has no {required}")
        check(("error.type" in self.attributes) == self.failed, f"{self.name}: error.type and status disagree")

    def __getitem__(self, key):
        return self.attributes[key]

    def __repr__(self):
        return f"Span({self.kind} {self.name!r} {self.attributes})"


class Collector(Origin):
    """Answers 200, unless `answer(connection, number of the request)` does something else and says False."""

    def __init__(self, answer=None, port=0):
        self.spans, self.posts, self.wrong = [], [], []
        self._answer, self._lock = answer, threading.Lock()
        super().__init__(self._play_one, port=port)

    def _play_one(self, conn):
        conn.serve(self._take)

    def _take(self, conn, head):
        body = conn.recv_body(head).data
        with self._lock:
            self.posts.append(head)
            number = len(self.posts)
        try:
            spans = self._read(head, body)
        except Exception as e:  # pylint: disable=broad-except
            self.wrong.append(repr(e))
            conn.respond(400, [], b"")
            return False
        if self._answer and self._answer(conn, number) is False:
            return False
        with self._lock:
            self.spans += spans
        conn.respond(200, [("Content-Type", "application/json")], b"{}")
        return head.get("Connection") != "close"

    @staticmethod
    def _read(head, body):
        check(head.method == "POST" and head.target == "/v1/traces", f"{head.method} {head.target}")
        check(head["Content-Type"] == "application/json", "the content type")
        top = json.loads(body)
        check(set(top) == {"resourceSpans"}, f"{set(top)}")
        spans = []
        for each in top["resourceSpans"]:
            check(set(each) == {"resource", "scopeSpans"}, f"{set(each)}")
            resource = attributes_of(each["resource"]["attributes"], "the resource")
            check("service.name" in resource, "a resource without a name")
            for scope in each["scopeSpans"]:
                check(set(scope) == {"scope", "spans"} and scope["scope"]["name"] == "headgate", f"{scope}")
                spans += [Span(s, resource) for s in scope["spans"]]
        check(spans, "a request without spans")
        return spans

    def trees(self):
        """The server spans, each with those below it; every parent that is ours must be there."""
        with self._lock:
            spans = list(self.spans)
        by_id = {s.id: s for s in spans}
        assert len(by_id) == len(spans), "two spans have one id"
        for s in spans:
            s.children = sorted((c for c in spans if c.parent == s.id), key=lambda c: c.begun)
            if s.kind != "server":
                assert s.parent in by_id, f"{s} has no parent"
                assert by_id[s.parent].trace == s.trace, f"{s} is of another trace than its parent"
                assert by_id[s.parent].begun <= s.begun and s.ended <= by_id[s.parent].ended + 1000, f"{s} is outside"
        return [s for s in spans if s.kind == "server"]
