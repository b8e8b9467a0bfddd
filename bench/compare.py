#!/usr/bin/env python3
"""Compares headgate with other proxies, side by side in one run, and writes a Markdown table and a chart.

What is compared is the CPU that each needs for the same work, from the kernel's accounting, memory per connection, and
times. Each proxy has one worker on a core of its own; the load and the origin share another core. The proxies take
turns, round after round.
"""

import argparse
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import charts  # noqa: E402
import report  # noqa: E402
from exports import Exports  # noqa: E402
from kernel import core_busy, cpu_of, enter_own_network, free_address, softirq_thread  # noqa: E402
from proxies import PEERS, Headgate, Relay, Unavailable, make_certificate  # noqa: E402
from scenarios import SCENARIOS as OF_PROXIES, Measured  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SCENARIOS = [*OF_PROXIES, Exports()]


class Bench:
    """What scenarios measure with."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.load = str(options.tools / "load")
        self.origin = None
        self.http, self.echo = free_address(), free_address()
        self.others = None
        self.certificate = make_certificate(folder)

    def start_origin(self):
        self.origin = subprocess.Popen([self.load, "origin", self.http, self.echo], stdout=subprocess.PIPE,
                                       stdin=subprocess.DEVNULL)
        if self.origin.stdout.readline() != b"ready\n":
            sys.exit("bench: the origin does not start")

    def stop(self):
        if self.origin:
            self.origin.kill()
            self.origin.wait()

    def scaled(self, count):
        """A count of connections and the like; less of it for a quick run."""
        return max(count // 50, 3) if self.options.quick else count

    def tool(self, command, seconds):
        """What a program of the load says."""
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
        except FileNotFoundError:
            raise Unavailable(f"not installed: {command[0]}") from None
        except subprocess.TimeoutExpired:
            raise Unavailable("the load did not come to its end") from None
        if result.returncode != 0:
            raise Unavailable("under load: " + (result.stderr.strip().splitlines() or ["failed"])[-1])
        return result.stdout

    def spent(self, proxy):
        """Called now, it gives a function that tells the CPU the proxy has used since, the kernel's for its network
        included; and remembers how much of its core went to others."""
        core = self.options.proxy_core
        pids = proxy.pids() + [p for p in [softirq_thread(core)] if p] if proxy else []
        busy, cpu, start = core_busy(core), cpu_of(pids), time.monotonic()

        def since():
            used = cpu_of(pids) - cpu
            self.others = max(0, core_busy(core) - busy - used) / (time.monotonic() - start)
            return used
        return since

    # ---- a scenario

    def subjects(self, scenario):
        """What is measured in a scenario: the proxies, and the limits they are compared with. None is no proxy."""
        found = [None] if "direct" in scenario.limits else []
        found += [Headgate(self.options.headgate)]
        if self.options.before:
            found += [Headgate(self.options.before, "before")]
        found += [PEERS[name]() for name in self.options.peers]
        found += [Relay(str(self.options.tools / "relay"), how) for how in ("splice", "copy")
                  if f"{how} relay" in scenario.limits]
        return found

    def run(self, scenario):
        """Measures one scenario; gives {proxy's name: Measured}."""
        running, results = [], {}
        with contextlib.ExitStack() as stack:
            scenario.prepare(self)
            stack.callback(scenario.finish)
            for proxy in self.subjects(scenario):
                name = proxy.name if proxy else "direct"
                results[name] = Measured()
                with self.noting(scenario, name, results[name]):
                    if proxy:
                        proxy.find()
                        proxy.tls = self.certificate
                    listen = free_address() if proxy else scenario.origin_of(self)
                    if proxy and not scenario.fresh:
                        stack.callback(proxy.stop)
                        proxy.start(scenario.mode, listen, scenario.origin_of(self), self.options.proxy_core)
                        scenario.warm_up(self, listen)
                    running.append((proxy, name, listen))
            rounds = min(self.options.rounds, scenario.rounds_max)
            for number in range(rounds):
                for proxy, name, listen in running:
                    if not results[name].problem:
                        with self.noting(scenario, name, results[name]):
                            self.round(scenario, proxy, listen, results[name])
                            self.tell(scenario, f"{number + 1}/{rounds}", name, results[name])
        if "direct" in results:  # below the proxies
            results["direct"] = results.pop("direct")
        return results

    @contextlib.contextmanager
    def noting(self, scenario, name, measured):
        """What a proxy cannot do is a result as well."""
        try:
            yield
        except (Unavailable, OSError) as problem:
            measured.problem = str(problem)
            say(f"{scenario.name:17} {name}: {problem}")

    def round(self, scenario, proxy, listen, measured):
        self.others = None
        if scenario.fresh:
            proxy.start(scenario.mode, listen, scenario.origin_of(self), self.options.proxy_core)
        try:
            measured.add(scenario.measure(self, proxy, listen))
            if proxy and proxy.process.poll() is not None:
                raise Unavailable("ended while it was measured")
            if proxy and self.others is not None:
                measured.others.append(self.others)
        finally:
            if scenario.fresh:
                proxy.stop()

    @staticmethod
    def tell(scenario, turn, name, measured):
        value = f"{report.number(measured.values[-1])} {scenario.unit}" if measured.values else ""
        rate = f"{report.number(measured.rates[-1])} {scenario.rate_unit}" if measured.rates else ""
        say(f"{scenario.name:17} round {turn}  {name:13}{value:28}{rate}")


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
    parser.add_argument("--peers", type=list_of(PEERS), default=list(PEERS),
                        help=f"which to compare with (default: {','.join(PEERS)})")
    parser.add_argument("--scenarios", type=list_of(names), default=names, help=f"default: {','.join(names)}")
    parser.add_argument("--seconds", type=float, default=1, help="of load per measurement (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it works")
    parser.add_argument("--output", type=Path, metavar="FILE",
                        help="also write the report there, into its section for it if the file has one, and the chart beside it")
    parser.add_argument("--proxy-core", type=int, default=cores[0], help="default: the first")
    parser.add_argument("--load-core", type=int, default=cores[-1], help="default: the last")
    parser.add_argument("--headgate", default=os.environ.get("HEADGATE_BIN", str(release / "headgate")),
                        metavar="PROGRAM", help="default: $HEADGATE_BIN, or the release build")
    parser.add_argument("--before", metavar="PROGRAM", help="another build of headgate, to compare with as with a peer")
    parser.add_argument("--tools", type=Path, metavar="FOLDER", help="where the load tools were built")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, min(options.seconds, 0.2)
    if options.rounds < 1 or options.seconds <= 0:
        parser.error("rounds and seconds must be more than 0")
    if options.tools is None:
        options.tools = Path(options.headgate).resolve().parent / "bench"
    options.tools, options.headgate = options.tools.resolve(), str(Path(options.headgate).resolve())
    for tool in ("load", "relay"):
        if not os.access(options.tools / tool, os.X_OK):
            parser.error(f"there is no {options.tools / tool}: ./dev bench builds it")
    if options.proxy_core == options.load_core:
        say("bench: the proxy and the load share a core: the rates mean little, the CPU per unit still does")
    return options


def raise_descriptor_limit(wanted=65_536):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        with contextlib.suppress(OSError, ValueError):  # only root may
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main():
    options = parse_arguments()
    raise_descriptor_limit()
    network = enter_own_network()
    os.sched_setaffinity(0, {options.load_core})  # and so is what it starts, but for proxies
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    start, results = time.monotonic(), {}
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    bench = Bench(options, folder)
    try:
        bench.start_origin()
        for scenario in SCENARIOS:
            if scenario.name in options.scenarios:
                results[scenario.name] = scenario.run(bench) if hasattr(scenario, "run") else bench.run(scenario)
    except KeyboardInterrupt:
        say("bench: interrupted; what was measured so far:")
    finally:
        bench.stop()
        shutil.rmtree(folder)
    measured = [s for s in SCENARIOS if s.name in results]
    text = report.markdown(measured, results, options, network, time.monotonic() - start)
    print(text)
    if options.output:
        report.save(options.output, text)
        options.output.with_suffix(".svg").write_text(charts.chart(measured, results))
    return 1 if any(r["headgate"].problem for r in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
