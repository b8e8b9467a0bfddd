#!/usr/bin/env python3
"""Loads the gateway for some minutes and watches for leaks.

Both services run in front of one origin that is killed and started again every few seconds. Some 240 clients at once:
small requests, large bodies, chunked ones, uploads, echoes, slow upstreams, slow readers, idle connections, tunnels,
and those who vanish at any moment by FIN or RST. Every body is compared byte by byte with what it should be. Once a
second memory, descriptors, frames and latency are written down.

It fails if anything rises (medians of the second and the last quarter), if a body is wrong, if a request fails though
the origin was up, or if anything is left when the load has ended.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "integration")]

from soaking import plot, verdict  # noqa: E402
from soaking.load import Load  # noqa: E402
from soaking.tally import Tally  # noqa: E402
from soaking.upstream import Upstream  # noqa: E402
from soaking.watch import Watch, Watched  # noqa: E402
from support import BINARY, process  # noqa: E402

REST_WITHIN = 20  # seconds after the load in which all must be as before it
KEEP_ALIVE = 2  # seconds an upstream connection stays in the pool
SHOWN_AFTER = 5  # samples taken when all is at rest
TOLD_EVERY = 10  # seconds, when nobody watches


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("minutes", nargs="?", type=float, default=1.0, help="how long the load lasts (default: 1)")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "soak.svg",
                        help="the plots (default: build/soak.svg)")
    parser.add_argument("--seed", type=int, help="of everything that is left to chance (default: another each time)")
    parser.add_argument("--workers", type=int, default=2, help="of each gateway (default: 2)")
    parser.add_argument("--simulate", type=int, metavar="N",
                        help="run N simulated scenarios instead, of the seeds from --seed on: no sockets, virtual time")
    return parser.parse_args()


def simulate(count, seed):
    """Hands over to the program that does the same in virtual time."""
    program = os.environ.get("HEADGATE_SIMULATE", ROOT / "build/dev/simulate")
    try:
        return subprocess.run([program, str(count), str(seed)], check=False).returncode
    except FileNotFoundError:
        print(f"soak: there is no program {program}; `./dev soak --simulate {count}` builds it.", file=sys.stderr)
        return 2


class Progress:
    def __init__(self, seconds, tally, upstream):
        self.seconds, self.tally, self.upstream = seconds, tally, upstream
        self.to_terminal = sys.stdout.isatty()

    def __call__(self, sample):
        proxy, tunnel = (sample["gateways"][name] for name in ("proxy", "tunnel"))
        p50, p99 = ("-" if sample[q] is None else f"{sample[q] * 1000:.1f}" for q in ("p50", "p99"))
        line = (f"{sample['time']:5.0f}/{self.seconds:.0f} s  {sample['requests']:4} ok/s  "
                f"{sample['failures']:3} cut/s  "
                f"p50 {p50} p99 {p99} ms  MiB {proxy['rss'] / 2**20:.1f} {tunnel['rss'] / 2**20:.1f}  "
                f"descriptors {proxy['open']} {tunnel['open']}  frames {proxy['frames']} {tunnel['frames']}  "
                f"kills {len(self.upstream.outages)}  wrong {self.tally.wrong_count}")
        if self.to_terminal:
            print(f"\r\x1b[K{line}", end="", flush=True)
        elif round(sample["time"]) % TOLD_EVERY == 0:
            print(line, flush=True)

    def end(self):
        if self.to_terminal:
            print()


async def soak(options, seed):
    """Gives the problems that were found, in words."""
    upstream = Upstream()
    await upstream.start()
    keep = f"{KEEP_ALIVE}s"
    gateways = {}
    try:
        gateways["proxy"] = Watched("proxy", f"http://127.0.0.1:{upstream.http_port}", "--upstream-keep-alive-timeout",
                                    keep, workers=options.workers)
        gateways["tunnel"] = Watched("tunnel", f"127.0.0.1:{upstream.echo_port}", workers=options.workers)
        return await under_load(options, seed, upstream, gateways)
    finally:
        await upstream.stop()
        for gateway in gateways.values():
            gateway.kill()


async def under_load(options, seed, upstream, gateways):
    tally = Tally(upstream)
    load = Load(gateways["proxy"].address, gateways["tunnel"].address, tally, seed)
    watch = Watch(gateways, tally)
    progress = Progress(options.minutes * 60, tally, upstream)
    kills = asyncio.create_task(upstream.come_and_go(seed))
    load.start()
    try:
        await watch.until(options.minutes * 60, progress)
    finally:
        progress.end()
        kills.cancel()
        await asyncio.gather(kills, return_exceptions=True)
        await load.stop()
    load_end, loaded = watch.at(time.monotonic()), len(watch.samples)
    problems = await at_rest(watch)
    draw(options, seed, watch, load_end, upstream, tally)
    for name, gateway in gateways.items():
        problems += verdict.trends(name, [sample["gateways"][name] for sample in watch.samples[:loaded]])
        problems += stop(name, gateway)
    problems += verdict.of_tally(tally)
    tell(tally, upstream, gateways, load_end)
    return problems


async def at_rest(watch):
    """Waits until everything is as it was before the load; a few samples more show it."""
    begun = time.monotonic()
    while any(unrest := {name: gateway.unrest() for name, gateway in watch.gateways.items()}.values()):
        if time.monotonic() > begun + REST_WITHIN:
            return [f"{name}: {REST_WITHIN} s after the load still {', '.join(left)}"
                    for name, left in zip(watch.gateways, unrest) if left]
        await watch.sample()
        await asyncio.sleep(0.5)
    for _ in range(SHOWN_AFTER):
        await watch.sample()
        await asyncio.sleep(1)
    return []


def stop(name, gateway):
    try:
        gateway.stop()
    except AssertionError as e:
        return [f"{name}: {e}"]
    return verdict.of_gateway(name, gateway)


def draw(options, seed, watch, load_end, upstream, tally):
    kills = [watch.at(begin) for begin, _ in upstream.outages]
    sizes = f"{tally.requests:,} exchanges, {tally.bytes / 2**30:.1f} GiB, {tally.left:,} clients vanished, " \
            f"{len(kills)} kills of the origin (red marks), {tally.failures:,} exchanges cut by them"
    title = f"headgate under {options.minutes:g} minutes of mixed load, {sum(Load.CROWD.values())} clients at once"
    notes = [sizes + f"; {tally.wrong_count} wrong bodies.",
             f"Grey: after the load. {options.workers} workers per gateway, seed {seed}."]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(plot.svg(title, notes, watch.samples, load_end, kills), encoding="utf-8")


def tell(tally, upstream, gateways, seconds):
    print(f"{tally.requests:,} exchanges and {tally.bytes / 2**30:.2f} GiB in {seconds:.0f} s; "
          f"{tally.left:,} clients vanished; the origin was killed {len(upstream.outages)} times, "
          f"which cut {sum(tally.failed.values()):,} exchanges")
    print("  good:", ", ".join(f"{kind} {count:,}" for kind, count in sorted(tally.good.items())))
    print("  cut: ", ", ".join(f"{how} {count:,}" for how, count in sorted(tally.failed.items())) or "none")
    for name, gateway in gateways.items():
        print(f"  {name} logged:", ", ".join(f"{end} {count:,}" for end, count in sorted(gateway.ends.items())))


def main():
    options = arguments()
    seed = options.seed if options.seed is not None else random.randrange(1, 1 << 30)
    if options.simulate is not None:
        return simulate(options.simulate, seed)
    if not BINARY:
        print("soak: HEADGATE_BIN must name the gateway's program; ./dev soak builds it and says so", file=sys.stderr)
        return 2
    process.raise_descriptor_limit(4096)
    print(f"soak: {options.minutes:g} min, {sum(Load.CROWD.values())} clients, seed {seed}", flush=True)
    problems = asyncio.run(soak(options, seed))
    print(f"plots: {options.output}")
    for problem in problems:
        print(f"PROBLEM: {problem}")
    good = "nothing rises, nothing is left, no body is wrong"
    print(f"soak: {f'FAILED, {len(problems)} problems' if problems else good} (seed {seed})")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
