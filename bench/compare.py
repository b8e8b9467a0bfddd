#!/usr/bin/env python3
"""Compares headgate with nginx and HAProxy, side by side in one run, and writes a Markdown table.

What is compared is the CPU that each needs for the same work, from the kernel's accounting, and the memory per idle
connection. Each proxy has one worker on a core of its own; the load and the origin share another core. The proxies take
turns, round after round.
"""

import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import report  # noqa: E402
from proxies import Haproxy, Headgate, Nginx, SpliceRelay, Unavailable, port_is_open  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
GIB = 1 << 30
BODY = 64 << 20
IDLE_CONNECTIONS = 5000


@dataclass
class Scenario:
    name: str
    title: str
    mode: str  # what the proxies are started as: see proxies.MODES
    unit: str  # of the result; less is better
    rate_unit: str
    load: tuple = ()  # arguments of the load program after the address
    limits: tuple = ("direct",)
    echo: bool = False  # goes to the origin's echo port


SCENARIOS = [
    Scenario("small", "keep-alive GET of 200 bytes, 64 connections (wrk)", "small", "µs CPU/request", "requests/s"),
    Scenario("download", "64 MiB bodies with Content-Length, 8 connections", "bulk", "s CPU/GiB", "GiB/s",
             ("download", 8, f"/bytes/{BODY}"), ("direct", "splice relay")),
    Scenario("download-chunked", "64 MiB bodies in chunks of 16 KiB, 8 connections", "bulk", "s CPU/GiB", "GiB/s",
             ("download", 8, f"/chunked/{BODY}")),
    Scenario("upload", "64 MiB request bodies with Content-Length, 8 connections", "bulk", "s CPU/GiB", "GiB/s",
             ("upload", 8, BODY)),
    Scenario("tunnel", "TCP, 64 MiB at a time one way, 8 connections", "tunnel", "s CPU/GiB", "GiB/s",
             ("download", 8, f"/bytes/{BODY}"), ("direct", "splice relay")),
    Scenario("tunnel-small", "TCP, 128 bytes there and back, 64 connections", "tunnel", "µs CPU/round trip",
             "round trips/s", ("pingpong", 64, 128), echo=True),
    Scenario("idle", f"{IDLE_CONNECTIONS} keep-alive connections that wait after one request", "small",
             "bytes/connection", "", (), ()),
]


@dataclass
class Measured:
    """What one proxy did in one scenario: a value per round."""

    values: list = field(default_factory=list)
    rates: list = field(default_factory=list)
    busy: list = field(default_factory=list)  # share of the time the proxy had its core
    others: list = field(default_factory=list)  # share of the core that went to other programs
    problem: str = ""


class Bench:
    def __init__(self, options):
        self.options = options
        self.load = str(options.tools / "load")
        self.origin = None
        self.http, self.echo = free_address(), free_address()

    def start_origin(self):
        self.origin = subprocess.Popen([self.load, "origin", self.http, self.echo], stdout=subprocess.PIPE,
                                       stdin=subprocess.DEVNULL, preexec_fn=self.pin_load)
        if self.origin.stdout.readline() != b"ready\n":
            sys.exit("bench: the origin does not start")

    def pin_load(self):
        os.sched_setaffinity(0, {self.options.load_core})

    def stop(self):
        if self.origin:
            self.origin.kill()
            self.origin.wait()

    def subjects(self, scenario):
        """The proxies of a scenario and the limits it is compared with."""
        known = {"nginx": Nginx, "haproxy": Haproxy}
        chosen = [Headgate(self.options.headgate)] + [known[name]() for name in self.options.peers]
        if "splice relay" in scenario.limits:
            chosen.append(SpliceRelay(str(self.options.tools / "splice_relay")))
        return chosen

    def run(self, scenario):
        """Measures one scenario; gives {proxy's name: Measured}."""
        results = {}
        with contextlib.ExitStack() as stack:
            running = []
            for proxy in self.subjects(scenario):
                results[proxy.name] = Measured()
                listen = free_address()
                try:
                    proxy.find()
                    if scenario.name != "idle":
                        proxy.start(scenario.mode, listen, self.echo if scenario.echo else self.http,
                                    self.options.proxy_core)
                        stack.callback(proxy.stop)
                        self.generate(scenario, listen, 0.2)
                    running.append((proxy, listen))
                except Unavailable as problem:
                    results[proxy.name].problem = str(problem)
                    say(f"{scenario.name:17} {proxy.name}: {problem}")
            if "direct" in scenario.limits:
                results["direct"] = Measured()
                running.append((None, self.echo if scenario.echo else self.http))
            for number in range(self.options.rounds):
                for proxy, listen in running:
                    name = proxy.name if proxy else "direct"
                    if not results[name].problem:
                        self.round(scenario, number, name, proxy, listen, results[name])
        return results

    def round(self, scenario, number, name, proxy, listen, measured):
        try:
            if scenario.name == "idle":
                self.measure_idle(proxy, listen, measured)
            else:
                self.measure(scenario, proxy, listen, measured)
        except Unavailable as problem:
            measured.problem = str(problem)
            say(f"{scenario.name:17} {name}: {problem}")
            return
        value = report.number(measured.values[-1]) + " " + scenario.unit if measured.values else ""
        rate = f"{report.number(measured.rates[-1])} {scenario.rate_unit}" if measured.rates else ""
        say(f"{scenario.name:17} round {number + 1}/{self.options.rounds}  {name:13}{value:28}{rate}")

    def measure(self, scenario, proxy, listen, measured):
        pids = proxy.pids() if proxy else []
        softirq = [p for p in [softirq_thread(self.options.proxy_core)] if p and pids]
        core_before, cpu_before, start = core_busy(self.options.proxy_core), cpu_of(pids + softirq), time.monotonic()
        done, rate = self.generate(scenario, listen, self.options.seconds if proxy else self.options.seconds / 2)
        time.sleep(0.02)  # what is left to do: closing connections
        elapsed = time.monotonic() - start
        cpu = cpu_of(pids + softirq) - cpu_before
        measured.rates.append(rate)
        if proxy:
            if proxy.process.poll() is not None:
                raise Unavailable("ended while it was measured")
            measured.values.append(cpu / done)
            measured.busy.append(cpu / elapsed)
            measured.others.append(max(0, core_busy(self.options.proxy_core) - core_before - cpu) / elapsed)

    def generate(self, scenario, listen, seconds):
        """Runs the load. Gives (units of work done, rate): GiB, or millions of requests."""
        if scenario.name == "small":
            text = self.tool([shutil.which("wrk") or "wrk", "-t1", "-c64", f"-d{max(1, round(seconds))}s",
                              f"http://{listen}/small"], seconds)
            if "Non-2xx" in text or "Socket errors" in text:
                raise Unavailable("wrk: " + " ".join(re.findall(r"(?:Non-2xx|Socket errors).*", text)))
            requests, took = re.search(r"(\d+) requests in ([\d.]+)s", text).groups()
            return int(requests) / 1e6, int(requests) / float(took)
        mode, connections, what = scenario.load
        text = self.tool([self.load, mode, listen, str(connections), str(seconds), str(what)], seconds)
        done = json.loads(text)
        if scenario.unit == "s CPU/GiB":
            return done["bytes"] / GIB, done["bytes"] / GIB / done["seconds"]
        return done["exchanges"] / 1e6, done["exchanges"] / done["seconds"]

    def tool(self, command, seconds):
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30,
                                    preexec_fn=self.pin_load)
        except FileNotFoundError:
            raise Unavailable(f"not installed: {command[0]}") from None
        except subprocess.TimeoutExpired:
            raise Unavailable("the load did not come to its end") from None
        if result.returncode != 0:
            raise Unavailable("under load: " + (result.stderr.strip().splitlines() or ["failed"])[-1])
        return result.stdout

    def measure_idle(self, proxy, listen, measured):
        try:
            proxy.start(scenario_mode("idle"), listen, self.http, self.options.proxy_core)
            self.hold(listen, 100, lambda: None)
            before = memory_of(proxy.pids())
            after = self.hold(listen, IDLE_CONNECTIONS, lambda: memory_of(proxy.pids()))
            measured.values.append((after - before) / IDLE_CONNECTIONS)
        finally:
            proxy.stop()

    def hold(self, listen, connections, look):
        """What `look` gives while so many connections wait."""
        load = subprocess.Popen([self.load, "idle", listen, str(connections), "/small"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=self.pin_load)
        try:
            if not load.stdout.readline():
                raise Unavailable("under load: " + load.stderr.read().strip())
            time.sleep(0.5)  # for allocators to settle
            seen = look()
            rest, _ = load.communicate("", timeout=30)
            if json.loads(rest)["closed"]:
                raise Unavailable(f"closed {json.loads(rest)['closed']} of {connections} connections that wait")
            return seen
        finally:
            load.kill()
            load.wait()


def scenario_mode(name):
    return next(s.mode for s in SCENARIOS if s.name == name)


# ---- what the kernel accounts ----------------------------------------------------------------------------------------


def cpu_of(pids):
    """Seconds of CPU used so far by all threads of these processes; the kernel counts nanoseconds."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in os.listdir(f"/proc/{pid}/task"):
                total += int(Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    return total / 1e9


def softirq_thread(core):
    """The kernel thread that takes over network work when there is much of it. None if it cannot be seen."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if entry.joinpath("comm").read_text().strip() == f"ksoftirqd/{core}":
                    return int(entry.name)
    return None


def core_busy(core):
    """Seconds this core has been busy."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _iowait, irq, softirq = map(int, line.split()[1:8])
            return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    return 0


def memory_of(pids):
    """Proportional set size in bytes."""
    return sum(int(re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])
               for pid in pids) * 1024


# ---- where it runs ---------------------------------------------------------------------------------------------------


def enter_own_network():
    """Goes on in a network namespace of its own, so that no port is taken and TCP has no unusual settings. Gives what
    the network is, for the report."""
    clone_newuser, clone_newnet = 0x10000000, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(clone_newnet if user == 0 else clone_newuser | clone_newnet) != 0:
        return f"this machine's loopback ({congestion_control()})"
    if user != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        siocgifflags, siocsifflags, iff_up = 0x8913, 0x8914, 1
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(s, siocgifflags, request))[1]
        fcntl.ioctl(s, siocsifflags, struct.pack("16sh14x", b"lo", flags | iff_up))
    for name in ("cubic", "reno"):  # not one that paces, such as bbr: its timers cost more than the relaying
        if congestion_control() in ("cubic", "reno"):
            break
        with contextlib.suppress(OSError):
            Path("/proc/sys/net/ipv4/tcp_congestion_control").write_text(name)
    return f"the loopback of a network namespace of its own ({congestion_control()})"


def congestion_control():
    return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def free_address():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{s.getsockname()[1]}"


def say(text):
    print(text, file=sys.stderr, flush=True)


def list_of(known):
    def parse(text):
        names = [name for name in text.split(",") if name]
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no {name}; there are: {', '.join(known)}")
        return names
    return parse


def parse_arguments():
    cores = sorted(os.sched_getaffinity(0))
    names = [s.name for s in SCENARIOS]
    release = ROOT / "build" / "release"
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("--peers", type=list_of(["nginx", "haproxy"]), default=["nginx", "haproxy"],
                        help="which to compare with (default: nginx,haproxy)")
    parser.add_argument("--scenarios", type=list_of(names), default=names, help=f"default: {','.join(names)}")
    parser.add_argument("--seconds", type=float, default=2, help="of load per measurement (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--output", type=Path, metavar="FILE",
                        help="also write the report there; into its section for it, if the file has one")
    parser.add_argument("--proxy-core", type=int, default=cores[0], help="default: the first")
    parser.add_argument("--load-core", type=int, default=cores[-1], help="default: the last")
    parser.add_argument("--headgate", default=os.environ.get("HEADGATE_BIN", str(release / "headgate")),
                        metavar="PROGRAM", help="default: $HEADGATE_BIN, or the release build")
    parser.add_argument("--tools", type=Path, metavar="FOLDER", help="where the load tools were built")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("rounds and seconds must be more than 0")
    if options.tools is None:
        options.tools = Path(options.headgate).resolve().parent / "bench"
    for tool in ("load", "splice_relay"):
        if not os.access(options.tools / tool, os.X_OK):
            parser.error(f"there is no {options.tools / tool}: ./dev bench builds it")
    if options.proxy_core == options.load_core:
        say("bench: the proxy and the load share a core: the rates mean little, the CPU per unit still does")
    return options


def main():
    options = parse_arguments()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    network = enter_own_network()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bench = Bench(options)
    start = time.monotonic()
    results = {}
    try:
        bench.start_origin()
        for scenario in SCENARIOS:
            if scenario.name in options.scenarios:
                results[scenario.name] = bench.run(scenario)
    except KeyboardInterrupt:
        say("bench: interrupted; what was measured so far:")
    finally:
        bench.stop()
    text = report.markdown([s for s in SCENARIOS if s.name in results], results, options, network,
                           time.monotonic() - start)
    print(text)
    if options.output:
        report.save(options.output, text)
    return 1 if any(r["headgate"].problem for r in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
