#!/usr/bin/env python3
"""Measures how good clients fare, and how much memory is used, while others are rude: headgate beside nginx.

Each server has one worker on a core of its own; the clients and the origin share another core, where the good clients go
first.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import report  # noqa: E402
from compare import ROOT, list_of, say  # noqa: E402
from kernel import enter_own_network, free_address, memory_of  # noqa: E402
from proxies import Headgate, Nginx, Unavailable, address_of  # noqa: E402
from rude_clients import RUDENESSES, be_good, be_rude  # noqa: E402

BEGIN, END = "<!-- rude: begin -->", "<!-- rude: end -->"
RATE = 200  # requests per second of the good clients
WARM_UP = 200  # connections before memory is looked at, so that what a server allocates once is there


class PlainNginx(Nginx):
    """With its default buffers, and without files for what a slow reader has not taken yet: they would fill the disk."""

    settings = {"small": "proxy_buffering on; proxy_max_temp_file_size 0;"}


def servers(options):
    return Headgate(options.headgate), PlainNginx()


def child(options, *arguments, nice=0):
    """This script again, as a client; its result is a line of JSON."""
    def prepare():
        os.sched_setaffinity(0, {options.load_core})
        os.nice(nice)
    return subprocess.Popen([sys.executable, "-B", __file__, "--client", *map(str, arguments)], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, text=True, preexec_fn=prepare)


def result_of(process, seconds):
    text, _ = process.communicate(timeout=seconds + 60)
    if process.returncode != 0:
        raise Unavailable("a client failed")
    return json.loads(text.splitlines()[-1])


def measure(options, proxy, origin, name):
    """One server under one rudeness (or none). Gives a row of the table."""
    listen = free_address()
    clients = []

    def start(*arguments, **how):
        clients.append(child(options, *arguments, **how))
        return clients[-1]

    proxy.start("small", listen, origin, options.proxy_core)
    try:
        result_of(start("good", listen, WARM_UP, 1), 1)
        rest = memory_of(proxy.pids())
        rude = None
        if name:
            rude = start("rude", listen, name, options.seconds + 1, nice=10)
            rude.stdout.readline()  # it has begun
        good = start("good", listen, RATE, options.seconds)
        most = rest
        while good.poll() is None:
            most = max(most, memory_of(proxy.pids()))
            time.sleep(0.2)
        seen = result_of(good, options.seconds)
        counted = result_of(rude, options.seconds) if rude else {"opened": 0, "cut": 0}
        if proxy.process.poll() is not None:
            raise Unavailable("ended while it was measured")
        return row(proxy, seen, counted, rest, most)
    finally:
        for process in clients:
            process.kill()
            process.wait()
        proxy.stop()


def row(proxy, seen, counted, rest, most):
    failed = sum(count for status, count in seen["statuses"].items() if status != "200")
    return [proxy.name, *(f"{1000 * seen[what]:.2f}" for what in ("median", "p99", "most")), str(failed),
            *(f"{size / (1 << 20):.1f}" for size in (rest, most)), f"{counted['opened']:,}", f"{counted['cut']:,}"]


def markdown(options, network, tables, seconds):
    names = ", ".join(f"{proxy.name} {proxy.version()}" for proxy in servers(options))
    lines = report.wrap(
        f"Measured in {seconds:.0f} s with `./dev rude{options.shown}` on {report.machine()}, over {network}: {names}. "
        f"Good clients ask {RATE} times a second for {options.seconds:g} s; times are milliseconds from when a request was due. Memory is "
        "the proportional set size in MiB, before and at most.")
    titles = ["", "p50", "p99", "most", "not 200", "rest", "most", "rude connections", "cut off"]
    for title, rows in tables:
        lines += ["", f"**{title}**", "", *report.align([titles, *rows])]
    return "\n".join(lines) + "\n"


def save(path, text):
    old = path.read_text(encoding="utf-8")
    head, found, rest = old.partition(BEGIN)
    if not found or END not in rest:
        sys.exit(f"{path} has no place for the report: {BEGIN} and {END}")
    path.write_text(f"{head}{BEGIN}\n{text}{END}{rest.partition(END)[2]}", encoding="utf-8")


def parse_arguments():
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="./dev rude", description=__doc__.split("\n\n")[0])
    parser.add_argument("--rudenesses", type=list_of(list(RUDENESSES)), default=list(RUDENESSES),
                        help=f"default: {','.join(RUDENESSES)}")
    parser.add_argument("--seconds", type=float, default=18,
                        help="of each (default: 18, which is longer than the limit for a head)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="put the report into its section of this file")
    parser.add_argument("--proxy-core", type=int, default=cores[0], help="default: the first")
    parser.add_argument("--load-core", type=int, default=cores[-1], help="default: the last")
    parser.add_argument("--headgate", default=os.environ.get("HEADGATE_BIN", str(ROOT / "build" / "release" / "headgate")))
    options = parser.parse_args()
    options.shown = "" if options.seconds == parser.get_default("seconds") else f" --seconds {options.seconds:g}"
    return options


def main():
    options = parse_arguments()
    load = Path(options.headgate).resolve().parent / "bench" / "load"
    if not os.access(load, os.X_OK):
        sys.exit(f"there is no {load}: ./dev rude builds it")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    network = enter_own_network()
    begun, tables, broken = time.monotonic(), [], False
    origin = free_address()
    server = subprocess.Popen([load, "origin", origin, free_address()], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                              preexec_fn=lambda: os.sched_setaffinity(0, {options.load_core}))
    try:
        server.stdout.readline()
        for name in [None, *options.rudenesses]:
            title = f"{RUDENESSES[name].count:,} {RUDENESSES[name].title}" if name else "nobody is rude"
            rows = []
            for proxy in servers(options):
                try:
                    rows.append(measure(options, proxy, origin, name))
                except Unavailable as problem:
                    rows.append([proxy.name, str(problem), *[""] * 7])
                    broken = broken or proxy.name == "headgate"
                say(f"{title}: {' '.join(rows[-1])}")
            tables.append((title, rows))
    finally:
        server.kill()
        server.wait()
    text = markdown(options, network, tables, time.monotonic() - begun)
    print(text)
    if options.output:
        save(options.output, text)
    return 1 if broken else 0


def client(what, listen, *arguments):
    if what == "good":
        return be_good(address_of(listen), *map(float, arguments))
    return be_rude(address_of(listen), arguments[0], float(arguments[1]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        print(json.dumps(client(*sys.argv[2:])))
        sys.exit()
    sys.exit(main())
