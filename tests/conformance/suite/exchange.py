"""Plays a case: a client that sends exactly its bytes, and an origin that records exactly what it gets."""

import select
import socket
import time
from dataclasses import dataclass, field

from .messages import ProtocolError, read_responses
from .origin import Origin
from .verdict import check
from .wire import Wire

PROBE = b"GET /probe HTTP/1.1\r\nHost: probe.example\r\n\r\n"


@dataclass
class Seen:
    """What was seen on both sides up to now."""

    client: bytearray = field(default_factory=bytearray)  # what the client received
    client_end: str = None  # or "fin", "reset"
    requests: list = field(default_factory=list)  # complete ones that the origin received
    malformed: str = None  # what the origin received beside them
    partial: bool = False  # whether an open connection to the origin ends in the midst of a request
    first_method: str = "GET"  # of what the client sent
    others: int = 0  # requests of other clients' connections, before

    def responses(self):
        methods = [request.method for request in self.requests[self.others:]] + [self.first_method]
        return read_responses(bytes(self.client), methods, self.client_end)


@dataclass
class Deviation:
    happened: str
    wrong: tuple  # why it is none of the verdicts

    def __str__(self):
        return f"{self.happened} ({'; or '.join(self.wrong)})"


class Slot:
    """A server with an origin of its own, and one case at a time."""

    def __init__(self, kind):
        self.origin = Origin()
        self.server = kind(self.origin.address)
        self.patience = kind.patience

    def stop(self):
        self.server.stop()
        self.origin.listener.close()

    def play(self, case, pieces=0):
        """None if the case came out as it should; otherwise the Deviation."""
        self.origin.reset(case, pieces)
        seen = Seen()
        sent = b"".join(part for part in case.send if isinstance(part, bytes))
        seen.first_method = "HEAD" if sent.lstrip().startswith(b"HEAD ") else "GET"
        client = self.connect(case.send, pieces)
        try:
            problems = self.run(client, seen, lambda: [check(want, case, seen) for want in case.wants],
                                lambda: too_much(case, seen))
            if None in problems:
                want = case.wants[problems.index(None)]
                problems = [self.aftermath(case, want, client, seen)]
        except ProtocolError as e:
            problems = [f"the client got {e}"]
        else:
            if None in problems:
                return None
        finally:
            client.close()
            self.origin.end_all(within=2)
        return Deviation(describe(case, seen), tuple(dict.fromkeys(problems)))

    def connect(self, parts=(), pieces=0):
        return Wire(socket.create_connection(self.server.address, timeout=5), self.server.address[1], parts, pieces)

    def run(self, client, seen, judge, hopeless=lambda: False):
        """Lets things happen until a verdict is reached, or cannot be any more; gives the last verdicts."""
        deadline = time.monotonic() + self.patience
        while True:
            problems = judge()
            if None in problems or hopeless() or time.monotonic() > deadline:
                break
            if seen.client_end and not any(wire.parts for wire in self.origin.wires):
                self.settle(client, seen)
                problems = judge()
                break
            self.turn(client, seen, 0.05)
        if None in problems:
            self.settle(client, seen)  # what is there already may still change it
            problems = judge()
        return problems

    def settle(self, client, seen):
        while self.turn(client, seen, 0):
            pass

    def turn(self, client, seen, timeout):
        """Waits for something to happen, and lets it. Returns whether something did."""
        def client_may_go_on(waited):
            return sum(response.complete for response in seen.responses()) > waited

        def origin_may_go_on(_):
            return any(response.complete for response in seen.responses())

        poll = select.poll()
        poll.register(self.origin.listener, select.POLLIN)
        wires = [client, *self.origin.wires]
        for wire in wires:
            if not wire.end:
                poll.register(wire.sock, select.POLLIN | (select.POLLOUT if wire.waits_for_room() else 0))
        poll.poll(1000 * (min(timeout, 0.002) if any(wire.waits_for_peer() for wire in wires) else timeout))
        happened = self.origin.accept()
        for wire in wires:
            happened = wire.receive() or happened
            if wire is not client:
                self.origin.read(wire)
                wire.send(origin_may_go_on)
            else:
                seen.client, seen.client_end = client.received, client.end
                wire.send(client_may_go_on)
        seen.requests, seen.malformed = self.origin.requests, self.origin.malformed
        seen.partial = self.origin.partial()
        return happened

    def aftermath(self, case, want, client, seen):
        """What the case left behind: a connection that is still open, and those to the origin, must be in order."""
        last = (seen.responses() or [None])[-1]
        if client.end is None and last is not None and last.closes:
            never = "it was said that the connection would end, and it did not"
            if problem := self.run(client, seen, lambda: [None if seen.client_end else never])[0]:
                return problem
        if client.end is None and want[-1].says("closed"):
            return "the connection was kept"
        if client.end is not None and want[-1].says("kept"):
            return "the connection was closed"
        if client.end is None and (last is None or last.status != 101):
            if problem := self.probe(client, seen, may_close=not want[-1].says("kept")):
                return problem
        if case.upstream is not None:
            again = self.connect()
            try:
                if problem := self.probe(again, Seen(others=len(self.origin.requests)), may_close=False):
                    return "on another connection: " + problem
            finally:
                again.close()
        return check(want, case, seen, probes=1)

    def probe(self, wire, seen, may_close):
        """Asks once more on this connection. None if the upstream gets exactly that, and the client its answer; or if the
        connection ends instead, and may."""
        before, answered = len(self.origin.requests), len(seen.responses()) if wire.received else 0
        wire.push([PROBE])
        seen.first_method = "GET"

        def answered_right():
            responses = seen.responses()[answered:]
            if len(responses) == 1 and responses[0].complete and responses[0].body == b"answer to the probe":
                return [None]
            return [f"the next request was answered {[r.body[:40] or r.line for r in responses]}"]

        problem = self.run(wire, seen, answered_right)[0]
        new = self.origin.requests[before:]
        if problem and may_close and seen.client_end and not new and len(seen.responses()) == answered:
            return None
        if problem:
            return problem
        if len(new) != 1 or not new[0].line.startswith(b"GET /probe ") or new[0].body:
            return f"the next request reached the upstream as {[r.line for r in new]}"
        return None


def too_much(case, seen):
    """Whether more was forwarded than any verdict allows."""
    most = max(sum(step.kind == "forwarded" for step in want) for want in case.wants)
    return case.upstream is None and (seen.malformed is not None or len(seen.requests) > most)


def describe(case, seen):
    """What happened, in a line."""
    parts = []
    if seen.malformed:
        parts.append(f"forwarded what is malformed: {seen.malformed}")
    elif case.upstream is None:
        lines = ", ".join(request.line.decode("latin-1")[:60] for request in seen.requests)
        parts.append(f"forwarded {lines}" if seen.requests else "nothing forwarded")
    if too_much(case, seen):
        return "; ".join(parts)  # nobody waited for the answer
    try:
        responses = seen.responses()
        statuses = [str(r.status) + ("" if r.complete else " (incomplete)") if r.status else "garbage" for r in responses]
        shown = statuses if len(statuses) < 6 else [*statuses[:5], f"and {len(statuses) - 5} more"]
        parts.append("answered " + ", ".join(shown) if responses else "not answered")
    except ProtocolError as e:
        parts.append(f"answered what is malformed: {e}")
    parts.append({None: "connection kept", "fin": "connection closed"}.get(seen.client_end, "connection reset"))
    return "; ".join(parts)
