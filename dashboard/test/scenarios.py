"""What a gateway may be doing, as its admin API tells it: flows whose numbers follow from their age.

A flow is made by one of the functions below; `Flow.told(now)` is what the API says of it at that moment. Nothing is
random but by a fixed seed, so that a picture can be made again.
"""

import dataclasses
import random

KIB, MIB = 1 << 10, 1 << 20

STALLED_AFTER_MS = 500  # as the gateway has it
STALLED, SLOW, MOVING = "stalled", "slow", "moving"


@dataclasses.dataclass
class Flow:
    id: str
    begun: float  # in seconds, of the same clock as now
    route: str
    client: str
    target: str
    blame: str = "none"  # client, upstream, database, stage
    how: str = MOVING
    kind: str = "request"
    method: str = "GET"
    upstream: str = None
    source: str = None
    stages: tuple = ()  # names between source and sink
    slow_stage: str = None
    stall_after: float = 0.3  # seconds of its age until it stalls
    rate: float = 3e6
    lease: float = None  # seconds after which its database connection was given back; None: it has it
    spooled: int = 0

    def told(self, now):
        age = max(now - self.begun, 0.001)
        moved_for = min(age, self.stall_after) if self.how == STALLED else age
        bytes_moved = int(self.rate * moved_for)
        stalled = age - moved_for
        source = "database" if self.source else "upstream"
        names = [source, *self.stages, "client"]
        culprit = {"client": len(names) - 1, "upstream": 0, "database": 0, "none": None}.get(self.blame)
        if self.blame == "stage":
            culprit = names.index(self.slow_stage)
        share = None if culprit is None else (stalled / age if self.how == STALLED else 0.93)
        stages = [self._stage(i, name, names, culprit, age, bytes_moved, share) for i, name in enumerate(names)]
        verdict = None
        if culprit is not None:
            if stalled * 1000 < STALLED_AFTER_MS:
                stalled = 0.0  # it is its pace
            verdict = {"stage": names[culprit], "index": culprit, "party": self.blame, "share": round(min(share, 1), 3),
                       "stalled_ms": round(stalled * 1000, 1)}
        lanes = [{"direction": "down", "stages": stages, "verdict": verdict}]
        if self.kind == "upgrade":
            up = [{**stages[0], "name": "client", "items": 3, "bytes": 900, "held_bytes": 0, "held_max_bytes": 300},
                  {**stages[-1], "name": "upstream", "items": 3, "bytes": 900, "held_bytes": 0, "held_max_bytes": 300}]
            lanes.insert(0, {"direction": "up", "stages": up, "verdict": None})
        holding = self.lease is None or age < self.lease
        return {
            "id": self.id, "request_id": f"{hash_of(self.id):032x}", "kind": self.kind, "route": self.route,
            "listener": "127.0.0.1:8080", "client": self.client, "upstream": self.upstream, "source": self.source,
            "method": self.method, "target": self.target,
            "status": None if self.blame == "upstream" and not bytes_moved else 200,
            "age_ms": round(age * 1000, 3), "phase": "body" if bytes_moved else "wait",
            "waiting_for": None if culprit is None or self.how == MOVING else self.blame,
            "waiting_ms": round(stalled * 1000, 3), "up_bytes": 512 if self.method == "POST" else 0,
            "down_bytes": stages[-1]["bytes"], "held_bytes": sum(s["held_bytes"] for s in stages),
            "held_limit_bytes": sum(s["limit_bytes"] for s in stages),
            "held_max_bytes": sum(s["held_max_bytes"] for s in stages),
            "hold_ms": round((age if holding else self.lease) * 1000, 3), "holding": holding,
            "stalled_ms": verdict["stalled_ms"] if verdict and verdict["stalled_ms"] >= STALLED_AFTER_MS else 0,
            "stalled_by": verdict["party"] if verdict and verdict["stalled_ms"] >= STALLED_AFTER_MS else None,
            "lanes": lanes, "verdict": verdict}

    def _stage(self, i, name, names, culprit, age, moved, share):
        side = "source" if i == 0 else "sink" if i == len(names) - 1 else "stage"
        limit = {"client": 64 * KIB, "upstream": 0, "database": 64 * KIB, "spool": 64 * MIB}.get(name, 128 * KIB)
        held = 0 if name == "upstream" else int(limit * 0.11 * (1 + hash_of(self.id + name) % 5) / 3)
        if culprit is not None and side != "source":
            if i == culprit:
                held = limit if self.blame == "client" else int(limit * 0.85)
            elif i > culprit:
                held = 0
            else:
                held = int(limit * 0.97)
        if name == "spool":
            held = min(self.spooled, limit)
        state, clocks = "working", (0.3, 0.4, 0.3)
        given_back = self.lease is not None and age >= self.lease
        if culprit is not None:
            share = min(share, 1)
            if i < culprit:
                state, clocks = "waiting_for_consumer", ((1 - share) / 2, (1 - share) / 2, share)
            elif i > culprit:
                state, clocks = "waiting_for_source", (share, (1 - share) / 2, (1 - share) / 2)
            else:
                clocks = ((1 - share) / 2, share, (1 - share) / 2)
        if given_back and (name in ("database", "csv") or (self.spooled and names.index("spool") > i)):
            state, held = "done", 0
            age = self.lease
        packed = 4 if i >= max((names.index(n) for n in names if n in ("gzip", "zstd")), default=99) else 1
        source_ms, working_ms, consumer_ms = (round(c * age * 1000, 1) for c in clocks)
        return {"name": name, "side": side, "items": moved // 32768 + 1, "bytes": moved // packed, "held_bytes": held,
                "held_max_bytes": max(held, limit // 2 if name != "upstream" else 0), "limit_bytes": limit,
                "waiting_for_source_ms": source_ms, "working_ms": working_ms, "waiting_for_consumer_ms": consumer_ms,
                "state": state}

    def ended(self, now, time, cause, side):
        told = self.told(now)
        return {name: told[name] for name in ("id", "request_id", "kind", "route", "client", "upstream", "source", "method",
                                              "target", "status", "age_ms", "up_bytes", "down_bytes", "phase",
                                              "held_max_bytes", "hold_ms", "verdict")} | {
            "ended": time, "cause": cause, "side": side, "left_bytes": 0,
            "stages": [{"name": s["name"], "bytes": s["bytes"], "held_max_bytes": s["held_max_bytes"], "left_bytes": 0}
                       for s in told["lanes"][-1]["stages"]]}


def hash_of(text):
    value = 0xcbf29ce484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001b3 % (1 << 64)
    return value


def calm(now, count=9):
    pick = random.Random(7)
    for i in range(count):
        kind = i % 3
        flow = Flow(f"w{i % 2}-{100 + i}", now - pick.uniform(0.05, 4), "api", f"198.51.100.{10 + i}", f"/v1/orders/{4100 + i}",
                    upstream="10.0.0.11:9000", rate=pick.uniform(2e5, 2e6))
        if kind == 1:
            flow = dataclasses.replace(flow, route="downloads", target=f"/images/{i}.tar", upstream="10.0.0.21:9000",
                                       rate=pick.uniform(5e6, 3e7))
        elif kind == 2 and i % 2 == 0:
            flow = dataclasses.replace(flow, route="chat", target="/live", kind="upgrade", upstream="10.0.0.31:7000",
                                       begun=now - 340, rate=2e3)
        yield flow


def stalled_client(now):
    """An export whose client has stopped reading: the spool keeps its rows, the database connection is back."""
    yield Flow("w0-201", now - 3, "reports", "192.0.2.77", "/reports/sales-2026.csv.gz", "client", STALLED, "export",
               source="shop", stages=("csv", "gzip", "spool"), stall_after=0.6, rate=4e7, lease=0.4, spooled=41 * MIB)


def stalled_reader(now):
    """A proxied download whose client has stopped reading: it keeps a connection to the upstream."""
    yield Flow("w1-202", now - 9, "downloads", "192.0.2.91", "/images/debian.iso", "client", STALLED,
               upstream="10.0.0.21:9000", stall_after=1.2, rate=2e7)


def stalled_upstream(now):
    yield Flow("w1-211", now - 6, "api", "198.51.100.42", "/v1/search?q=blue+shoes", "upstream", STALLED,
               upstream="10.0.0.12:9000", stall_after=0.2, rate=1e5)


def slow_compressor(now):
    yield Flow("w0-221", now - 14, "reports", "198.51.100.60", "/reports/events.json.zst", "stage", SLOW, "export",
               source="shop", stages=("json", "zstd"), slow_stage="zstd", rate=9e6)


def slow_database(now):
    yield Flow("w1-231", now - 4, "reports", "198.51.100.61", "/reports/stock.csv", "database", STALLED, "export",
               source="warehouse", stages=("csv",), stall_after=1.5, rate=8e5)


def storm(now, count=10_000):
    """Many flows on a dozen routes, one in fifty of them stalled."""
    pick = random.Random(11)
    for i in range(count):
        blame = "none" if i % 50 else pick.choice(["client", "client", "client", "upstream"])
        yield Flow(f"w{i % 8}-{1000 + i}", now - pick.uniform(0.1, 90), f"route-{i % 12:02}", f"203.0.{i // 250}.{i % 250}",
                   f"/items/{i}", blame, STALLED if i % 50 == 0 else MOVING, upstream=f"10.0.1.{i % 12 + 1}:9000",
                   stall_after=pick.uniform(0, 2), rate=pick.uniform(1e4, 1e6))


SCENARIOS = {
    "empty": (), "calm": (calm,), "stalled_client": (calm, stalled_client), "stalled_upstream": (calm, stalled_upstream),
    "slow_compressor": (calm, slow_compressor), "slow_database": (calm, slow_database), "thousand": (lambda now: storm(now, 1000),),
    "ten_thousand": (storm,),
    "everything": (calm, stalled_client, stalled_reader, stalled_upstream, slow_compressor, slow_database)}


def flows_of(name, now):
    return {flow.id: flow for make in SCENARIOS[name] for flow in make(now)}
