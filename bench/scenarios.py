"""What is measured: what the proxies are started as, what load they get, and what is made of it."""

import contextlib
import json
import os
import re
import select
import socket
import statistics
import struct
import subprocess
import threading
import time
from dataclasses import dataclass, field

from kernel import cpu_of, free_address, memory_of, socket_memory
from proxies import ROUTES, Headgate, Unavailable, address_of, connections_max

GIB, MIB = 1 << 30, 1 << 20
BODY = 64 * MIB
STREAMS = 400  # of events
SLOW_READERS, SLOW_RATE = 200, 20_000  # bytes per second and client
IDLE_CONNECTIONS = 10_000


@dataclass
class Sample:
    """One measurement of one proxy. Less of the value is better; `more` are other columns of the table."""

    value: float = None
    rate: float = None
    more: dict = field(default_factory=dict)


@dataclass
class Measured:
    """What one proxy did in one scenario: a value per round."""

    values: list = field(default_factory=list)
    rates: list = field(default_factory=list)
    more: dict = field(default_factory=dict)  # lists of values, by column
    others: list = field(default_factory=list)  # share of the proxies' core that went to other programs
    problem: str = ""

    def add(self, sample):
        if sample.value is not None:
            self.values.append(sample.value)
        if sample.rate is not None:
            self.rates.append(sample.rate)
        for name, value in sample.more.items():
            self.more.setdefault(name, []).append(value)


@dataclass
class Scenario:
    name: str
    title: str
    mode: str  # what the proxies are started as: see proxies.MODES
    unit: str  # of the value
    rate_unit: str = ""
    limits: tuple = ("direct",)  # what is measured beside the proxies
    columns: tuple = ()  # names of other columns
    aim: float = None  # the ratio to the best peer that is aimed at
    aim_of: str = "best peer"  # or one of the limits
    rounds_max: int = 1000
    fresh = False  # the proxy is started anew for each measurement

    def prepare(self, bench):
        """Before the first measurement."""

    def finish(self):
        """After the last."""

    def origin_of(self, bench):
        """Where the proxies forward to."""
        return bench.http

    def warm_up(self, bench, listen):
        self.load(bench, listen, 0.2)

    def load(self, bench, listen, seconds):
        """Gives (units of work done, rate, other columns)."""
        raise NotImplementedError

    def measure(self, bench, proxy, listen):
        """`proxy` is None when there is none between load and origin."""
        spent = bench.spent(proxy)
        done, rate, more = self.load(bench, listen, bench.options.seconds if proxy else bench.options.seconds / 2)
        time.sleep(0.02)  # what is left to do: closing connections
        cpu = spent()
        return Sample(cpu / done if proxy and done else None, rate, more)


@dataclass
class Requests(Scenario):
    """Load by wrk."""

    path: str = "/small"
    connections: int = 64
    options: tuple = ()
    bulk: bool = False

    def warm_up(self, bench, listen):
        mode = "handshakes" if self.mode.startswith("tls") else "download"
        bench.tool([bench.load, mode, listen, "1", "0.1", "/r/1/small"], 1)

    def load(self, bench, listen, seconds):
        scheme = "https" if self.mode.startswith("tls") else "http"
        text = bench.tool(["wrk", "-t1", f"-c{self.connections}", f"-d{max(1, round(seconds))}s", *self.options,
                           f"{scheme}://{listen}{self.path}"], seconds)
        errors = re.findall(r"Non-2xx.*|Socket errors: connect [1-9].*|Socket errors.*timeout [1-9].*", text)
        if errors:
            raise Unavailable("wrk: " + " ".join(errors))
        if not (found := re.search(r"(\d+) requests in ([\d.]+)s, ([\d.]+)([KMGT]?)B read", text)) or not (self.bulk or int(found[1])):
            raise Unavailable("wrk had no answers")
        if self.bulk:
            gib = float(found[3]) * {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}[found[4]] / GIB
            return gib, gib / float(found[2]), {}
        return int(found[1]) / 1e6, int(found[1]) / float(found[2]), {}


@dataclass
class Routes(Requests):
    """Requests for all of many routes."""

    def prepare(self, bench):
        path = bench.folder / "routes.lua"
        path.write_text(f'request = function() return wrk.format("GET", "/r/" .. math.random(0, {ROUTES - 1}) .. "/x") end\n')
        self.options = ("-s", str(path))


@dataclass
class Load(Scenario):
    """Load by the load program: a mode of it, connections, and its last argument."""

    arguments: tuple = ()

    def origin_of(self, bench):
        return bench.echo if self.arguments[0] == "pingpong" else bench.http

    def load(self, bench, listen, seconds):
        mode, connections, *rest = self.arguments
        done = json.loads(bench.tool([bench.load, mode, listen, str(connections), str(seconds), *map(str, rest)], seconds))
        if self.unit == "s CPU/GiB":
            return done["bytes"] / GIB, done["bytes"] / GIB / done["seconds"], {}
        return done["exchanges"] / 1e6, done["exchanges"] / done["seconds"], {k: done[k] for k in self.columns if k in done}


@dataclass
class Events(Load):
    """Streams of events: how much CPU they cost, and how old events are when they come."""

    def warm_up(self, bench, listen):
        bench.tool([bench.load, "events", listen, "1", "0.3", "/events"], 1)

    def load(self, bench, listen, seconds):
        done, rate, _ = super().load(bench, listen, max(seconds, 1.5))
        expected = STREAMS * 10
        if rate < 0.8 * expected and not bench.options.quick:
            raise Unavailable(f"does not keep up: {rate:,.0f} events a second came, of {expected:,}")
        return done, rate, _


@dataclass
class Latency(Load):
    """What a proxy adds to the latency of requests when there are few of them."""

    def measure(self, bench, proxy, listen):
        mode, connections, path, rate = self.arguments
        seconds = max(bench.options.seconds, 1)
        done = json.loads(bench.tool([bench.load, mode, listen, str(connections), str(seconds), path, str(rate)], seconds))
        times = {"p50": done["p50"], "p99": done["p99"]}
        if proxy is None:
            self.direct = times
            return Sample(None, None, times)
        return Sample(max(times["p99"] - self.direct["p99"], 0.1), None, {"p50": max(times["p50"] - self.direct["p50"], 0)})

    def warm_up(self, bench, listen):
        bench.tool([bench.load, "latency", listen, "8", "0.2", "/small", "500"], 1)


@dataclass
class Paced(Load):
    """What a request costs with so many connections, which are asked in turn. That they are opened is not counted."""

    def measure(self, bench, proxy, listen):
        _, connections, path, rate = self.arguments
        connections, seconds = min(connections, bench.scaled(IDLE_CONNECTIONS)), max(bench.options.seconds, 2)
        load = subprocess.Popen([bench.load, "paced", listen, *map(str, (connections, seconds, path, rate))], text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        too_long = threading.Timer(60 + connections / 50 + seconds, load.kill)
        too_long.start()
        try:
            if not load.stdout.readline():
                raise Unavailable("under load: " + (load.stderr.read().strip() or "not all connections are served"))
            spent = bench.spent(proxy)
            text, problem = load.communicate("\n")
            cpu = spent()
            if load.returncode != 0:
                raise Unavailable("under load: " + (problem.strip() or "failed"))
            done = json.loads(text)
            return Sample(1e6 * cpu / done["exchanges"], done["exchanges"] / done["seconds"])
        finally:
            too_long.cancel()
            load.kill()
            load.wait()

    def warm_up(self, bench, listen):
        bench.tool([bench.load, "latency", listen, "8", "0.2", "/small", "500"], 1)


@dataclass
class Workers(Requests):
    """headgate alone, with one worker and with two, on the cores that it shares with the load."""

    def run(self, bench):
        cores = {bench.options.proxy_core, bench.options.load_core}
        proxies = {"headgate": Headgate(bench.options.headgate, workers=2), "one worker": Headgate(bench.options.headgate)}
        results = {name: Measured() for name in proxies}
        with contextlib.ExitStack() as stack:
            stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            os.sched_setaffinity(0, cores)
            addresses = {}
            for name, proxy in proxies.items():
                with bench.noting(self, name, results[name]):
                    addresses[name] = free_address()
                    stack.callback(proxy.stop)
                    proxy.start("small", addresses[name], bench.http, *cores)
                    self.warm_up(bench, addresses[name])
            for number in range(bench.options.rounds):
                for name, proxy in proxies.items():
                    if not results[name].problem:
                        with bench.noting(self, name, results[name]):
                            before = cpu_of(proxy.pids())
                            done, rate, _ = self.load(bench, addresses[name], bench.options.seconds)
                            results[name].add(Sample((cpu_of(proxy.pids()) - before) / done, rate))
                            bench.tell(self, f"{number + 1}/{bench.options.rounds}", name, results[name])
        return results


@dataclass
class Idle(Scenario):
    """Memory per connection that waits after a request."""

    fresh = True
    columns: tuple = ()

    def measure(self, bench, proxy, listen):
        count = min(bench.scaled(IDLE_CONNECTIONS), connections_max() - 500)
        self.hold(bench, listen, 100, lambda: None)
        before = memory_of(proxy.pids())
        after = self.hold(bench, listen, count, lambda: memory_of(proxy.pids()))
        return Sample((after - before) / count)

    def hold(self, bench, listen, connections, look):
        """What `look` gives while so many connections wait."""
        mode = "idle-tls" if self.mode == "tls" else "idle"
        load = subprocess.Popen([bench.load, mode, listen, str(connections), "/small"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        too_long = threading.Timer(60 + connections / 50, load.kill)  # a proxy may leave a connection waiting
        too_long.start()
        try:
            if not load.stdout.readline():
                raise Unavailable("under load: " + (load.stderr.read().strip() or "not all connections are served"))
            time.sleep(0.5)  # for allocators to settle
            seen = look()
            rest, _ = load.communicate("", timeout=30)
            if json.loads(rest)["closed"]:
                raise Unavailable(f"closed {json.loads(rest)['closed']} of {connections} connections that wait")
            return seen
        finally:
            too_long.cancel()
            load.kill()
            load.wait()


@dataclass
class SlowReaders(Scenario):
    """Memory per stream whose client reads slowly what the origin could send at once."""

    fresh = True

    def measure(self, bench, proxy, listen):
        count, seconds = bench.scaled(SLOW_READERS), 1 if bench.options.quick else 4
        bench.tool([bench.load, "latency", listen, "8", "0.2", "/small", "500"], 1)
        before = memory_of(proxy.pids())
        with contextlib.ExitStack() as stack:
            poll = select.poll()
            clients = {}
            for _ in range(count):
                sock = stack.enter_context(socket.socket())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
                sock.connect(address_of(listen))
                sock.sendall(b"GET /bytes/%d HTTP/1.1\r\nHost: bench\r\n\r\n" % BODY)
                sock.setblocking(False)
                clients[sock.fileno()] = sock
                poll.register(sock, select.POLLIN)
            begun, turn = time.monotonic(), 0
            while time.monotonic() < begun + seconds:
                turn += 1
                for number, _ in poll.poll(0):
                    if not clients[number].recv(SLOW_RATE // 10):
                        raise Unavailable("cuts slow clients off")
                time.sleep(max(0, begun + turn / 10 - time.monotonic()))
            own = (memory_of(proxy.pids()) - before) / count
            kernel = socket_memory(listen, bench.http) / count
        return Sample(own + kernel, None, {"its own": own, "the kernel's": kernel})


@dataclass
class Vanish(Scenario):
    """Clients that reset in the middle of a download: when the origin knows, and what was pulled from it meanwhile."""

    def prepare(self, bench):
        self.endless = EndlessOrigin()

    def finish(self):
        self.endless.close()

    def origin_of(self, bench):
        return self.endless.address

    def warm_up(self, bench, listen):
        self.vanish(listen, 1)

    def measure(self, bench, proxy, listen):
        return self.vanish(listen, bench.scaled(20))

    def vanish(self, listen, times):
        gone, pulled = [], []
        for _ in range(times):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 << 10)
            client.settimeout(10)
            client.connect(address_of(listen))
            client.sendall(b"GET /bytes HTTP/1.1\r\nHost: bench\r\n\r\n")
            left = 4 * MIB
            while left > 0:
                if not (n := len(client.recv(min(left, 1 << 16)))):
                    raise Unavailable("cuts a download")
                left -= n
            flow = self.endless.flows.pop()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sent, at = flow.sent, time.monotonic()
            client.close()
            if not flow.ended.wait(5):
                raise Unavailable("the origin still sends after 5 s")
            gone.append(1000 * (flow.ended_at - at))
            pulled.append((flow.sent - sent) / MIB)
        return Sample(statistics.median(gone), None, {"at most": max(gone), "MiB pulled after": statistics.median(pulled)})


class EndlessFlow:
    """A body without an end, sent as fast as it is taken."""

    def __init__(self):
        self.sent, self.ended_at, self.ended = 0, None, threading.Event()


class EndlessOrigin:
    """Answers each request with such a body, and sees when it is not wanted any more."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = "%s:%d" % self.listener.getsockname()
        self.flows = []
        self.block = os.memfd_create("body")
        os.write(self.block, b"x" * MIB)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with sock, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (more := sock.recv(65536)):
                    return
                head += more
            flow = EndlessFlow()
            self.flows.append(flow)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 << 10)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 40))
                sock.setblocking(False)
                poll = select.poll()
                poll.register(sock, select.POLLOUT | select.POLLRDHUP)
                while not poll.poll()[0][1] & (select.POLLRDHUP | select.POLLHUP | select.POLLERR):
                    with contextlib.suppress(BlockingIOError):
                        flow.sent += os.sendfile(sock.fileno(), self.block, 0, MIB)
            finally:
                flow.ended_at = time.monotonic()
                flow.ended.set()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.close(self.block)


SCENARIOS = [
    Requests("small", "keep-alive GET of 200 bytes, 64 connections (wrk)", "small", "µs CPU/request", "requests/s", aim=0.75),
    Requests("churn", "the same, each on a new connection (wrk)", "small", "µs CPU/request", "requests/s", aim=0.8,
             options=("-H", "Connection: close")),
    Routes("routes", f"keep-alive GETs, each of another one of {ROUTES:,} routes (wrk)", "routes", "µs CPU/request",
           "requests/s", limits=()),
    Paced("connections-10", "5,000 requests a second on 10 connections in turn", "small", "µs CPU/request", "requests/s", (),
          arguments=("paced", 10, "/small", 5000)),
    Paced("connections-10000", f"the same on {IDLE_CONNECTIONS:,}", "small", "µs CPU/request", "requests/s", (),
          arguments=("paced", IDLE_CONNECTIONS, "/small", 5000)),
    Workers("two-workers", "small by headgate alone, with two workers instead of one, and on both cores", "small", "µs CPU/request",
            "requests/s"),
    Load("download", "64 MiB bodies with Content-Length, 8 connections", "bulk", "s CPU/GiB", "GiB/s",
         ("direct", "splice relay", "copy relay"), aim=1.05, aim_of="splice relay", arguments=("download", 8, f"/bytes/{BODY}")),
    Load("download-chunked", "64 MiB bodies in chunks of 16 KiB, 8 connections", "bulk", "s CPU/GiB", "GiB/s",
         ("direct", "splice relay", "copy relay"), aim=1.05, aim_of="splice relay",
         arguments=("download", 8, f"/chunked/{BODY}")),
    Load("upload", "64 MiB request bodies with Content-Length, 8 connections", "bulk", "s CPU/GiB", "GiB/s",
         ("direct", "splice relay", "copy relay"), aim=1.05, aim_of="splice relay", arguments=("upload", 8, BODY)),
    Load("upload-chunked", "64 MiB request bodies in chunks of 16 KiB, 8 connections", "bulk", "s CPU/GiB", "GiB/s",
         ("direct", "splice relay", "copy relay"), aim=1.05, aim_of="splice relay", arguments=("upload-chunked", 8, BODY)),
    Load("tunnel", "TCP, 64 MiB at a time one way, 8 connections", "tunnel", "s CPU/GiB", "GiB/s",
         ("direct", "splice relay", "copy relay"), aim=1.05, aim_of="splice relay", arguments=("download", 8, f"/bytes/{BODY}")),
    Load("tunnel-small", "TCP, 128 bytes there and back, 64 connections", "tunnel", "µs CPU/round trip", "round trips/s",
         ("direct", "copy relay"), arguments=("pingpong", 64, 128)),
    Requests("tls-small", "the same as small, over TLS (wrk)", "tls", "µs CPU/request", "requests/s", limits=()),
    Requests("tls-large", "16 MiB bodies over TLS, 8 connections (wrk)", "tls-bulk", "s CPU/GiB", "GiB/s", limits=(), aim=1.0,
             path=f"/bytes/{16 * MIB}", connections=8, bulk=True),
    Load("tls-handshakes", "full handshakes (ECDSA P-256), one request each, one after the other", "tls", "µs CPU/handshake",
         "handshakes/s", (), arguments=("handshakes", 1, "/small")),
    Events("events", f"{STREAMS} streams, ten events of 100 bytes a second each; how old events are when they come, in ms",
           "events", "µs CPU/event", "events/s", columns=("p50", "p99"), aim=1.0,
           arguments=("events", STREAMS, "/events")),
    Latency("latency", "1,000 requests a second on 8 connections: what is added to the latency of direct ones (whose own is in its "
            "row), in µs", "small", "µs added (p99)", columns=("p50", "p99"), aim=1.0,
            arguments=("latency", 8, "/small", 1000)),
    Vanish("vanish", "clients that reset after 4 MiB of a download: until the origin's connection is gone", "slow",
           "ms (median)", limits=(), columns=("at most", "MiB pulled after")),
    SlowReaders("slow-readers", f"{SLOW_READERS} clients that take {SLOW_RATE // 1000} kB a second of 64 MiB bodies, after 4 s: "
                "the proxy's memory and the kernel's for its sockets", "slow", "bytes/stream", limits=(),
                columns=("its own", "the kernel's"), aim=1.0, rounds_max=1),
    Idle("idle", f"{IDLE_CONNECTIONS:,} keep-alive connections that wait after one request", "small", "bytes/connection",
         limits=(), aim=1.0, rounds_max=1),
    Idle("idle-tls", f"{IDLE_CONNECTIONS:,} of them with TLS", "tls", "bytes/connection", limits=(), aim=1.0, rounds_max=1),
]
