#!/usr/bin/env python3
"""Shows headgate at work: an origin, the gateway in front of it, and clients that behave well and badly.

Then it keeps serving, for you to try, until Ctrl-C.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from client import Client  # noqa: E402
from exports import show_exports  # noqa: E402
from gateway import Gateway, MemoryWatch, wait_until  # noqa: E402
from origin import FIRST_CHUNK, PATHS, Origin  # noqa: E402
from screen import Screen, milliseconds, size  # noqa: E402
from shop import Shop  # noqa: E402

MIB = 1 << 20
MEMORY_GROWTH_MAX = 8 * MIB
FIRST_BYTE_TIMEOUT = 1.0


class Demo:
    def __init__(self, options):
        self.quick = options.quick
        self.teardown_max = 1 if self.quick else 0.050  # quick is for tests, which run beside others
        self.sanitized = bool(os.environ.get("HEADGATE_SANITIZE"))  # then memory and time say nothing
        self.screen = Screen()
        self.origin = Origin()
        folder = Path(options.gateway).resolve().parent / "demo"
        self.shop = Shop(folder, 10_000 if self.quick else 1_000_000, self.show_making)
        self.gateway = Gateway(options.gateway, {
            "DEMO_ORIGIN_PORT": str(self.origin.port), "DEMO_SHOP": str(self.shop.file),
            "DEMO_FIRST_BYTE_TIMEOUT": f"{FIRST_BYTE_TIMEOUT * 1000:.0f}ms"})
        self.numbers = iter(range(1, 1 << 30))

    def request(self, target, **options):
        """A client that has sent its request; its name is the request's id, at the origin and in the log."""
        name = f"demo-{next(self.numbers)}"
        return Client(self.gateway.address, target + ("&" if "?" in target else "?") + f"id={name}", name, **options)

    def judge(self, what, expected, measured, good):
        self.screen.verdict(what, expected, measured, good)

    def judge_limit(self, what, value, limit, show, detail=""):
        good = None if self.sanitized else value <= limit
        self.judge(what, f"<= {show(limit)}", show(value) + detail, good)

    def judge_memory(self, what, memory):
        good = None if self.sanitized else memory.peak - memory.before <= MEMORY_GROWTH_MAX
        numbers = " > ".join(f"{count / MIB:.3g}" for count in (memory.before, memory.peak, memory.after))
        self.judge(f"{what}: memory", f"grows <= {size(MEMORY_GROWTH_MAX)}", numbers, good)

    def run(self):
        self.screen.line(f"origin  http://127.0.0.1:{self.origin.port}")
        self.screen.line(f"gateway {self.gateway.url}  (pid {self.gateway.process.pid}; demo/headgate.yaml)")
        self.screen.line(f"page    {self.gateway.page}  shows all that follows as it flows: open it", "bold")
        self.request("/hello").read_all()
        self.request("/exports/last.csv").read_to_end()
        before = self.at_rest()
        for scene in (self.large_bodies, self.client_vanishes, self.slow_client, self.upstream_dies,
                      self.upstream_stalls, self.exports):
            try:
                scene()
            except OSError as problem:
                self.judge(scene.__name__.replace("_", " "), "comes to its end", str(problem)[:20], False)
        self.nothing_left(before)
        good = self.screen.table()
        self.screen.line("Memory is what is resident, in MiB: before > peak > after.", "dim")
        return good

    # ---- the scenes --------------------------------------------------------------------------------------------------

    def large_bodies(self):
        down, up = (32 * MIB, 16 * MIB) if self.quick else (1024 * MIB, 256 * MIB)
        self.screen.scene("1. Large bodies through flat memory",
                          f"{size(down)} down, then {size(up)} up. The gateway holds what is on its way, never the "
                          "body.")
        download = self.request(f"/big?size={down // MIB}MiB")
        self.transfer("download", down, lambda: download.read_all(self.progress("download", down)))
        upload = self.request("/upload", method="POST", body_bytes=up)
        self.transfer("upload", up, lambda: upload.send_body(self.progress("upload", up)))

    def transfer(self, what, count, work):
        with MemoryWatch(self.gateway) as memory:
            start = time.monotonic()
            moved = work()
            took = time.monotonic() - start
        name = f"{size(count)} {what}"
        self.judge(f"{name}: arrived", f"{count:,}", f"{moved:,}", moved == count)
        self.judge(f"{name}: throughput", "-", f"{moved / MIB / took:,.0f} MiB/s", None)
        self.judge_memory(name, memory)

    def progress(self, what, total):
        def show(moved):
            bar = "#" * (30 * moved // total)
            self.screen.progress(f"{what} [{bar:30}] {size(moved):>10}   memory {size(self.gateway.memory())}")
        return show

    def client_vanishes(self):
        times = 3 if self.quick else 10
        self.screen.scene("2. Clients that vanish",
                          f"{times} leave in the middle of a download, with a reset; {times} close a stream that says "
                          "nothing. Measured at the origin: how long until its connection is gone.")
        self.vanish("mid-download", "/big?size=1GiB", 8 * MIB, times, "client_reset")
        self.vanish("a silent stream", "/events", len(FIRST_CHUNK), times, "client_closed")

    def vanish(self, where, target, bytes_before, times, expected):
        took, ends = [], set()
        for i in range(times):
            client = self.request(target)
            flow = self.origin.flow(client.name)
            client.read(bytes_before)
            left_at = time.monotonic()
            client.close(reset=expected == "client_reset")
            flow.ended.wait(5)
            took.append((flow.gone_at or left_at + 5) - left_at)
            ends.add(self.gateway.end_of(client.name))
            self.screen.progress(f"{i + 1} of {times}: gone from the origin after {milliseconds(took[-1])}")
        self.judge_limit(f"left {where}: teardown", max(took), self.teardown_max, milliseconds, " at worst")
        self.judge(f"left {where}: log says", expected, ", ".join(sorted(ends)), ends == {expected})

    def slow_client(self):
        seconds = 3 if self.quick else 6
        limit = 2 * MIB  # half is the gateway's: its slow_stream_bytes and a pipe; the origin and the client have buffers too
        self.screen.scene("3. A client on a slow network",
                          f"It reads 1 MiB a second of a 1 GiB body, for {seconds:g} s, from an origin that could send "
                          "it at once. In flight is what the origin has sent and the client has not read. Left to the "
                          "system, the gateway's two sockets alone could hold tens of megabytes of it.")
        in_flight = []
        with MemoryWatch(self.gateway) as memory:
            client = self.request("/big?size=1GiB", receive_buffer=128 << 10)
            flow = self.origin.flow(client.name)
            start = time.monotonic()
            while (elapsed := time.monotonic() - start) < seconds:
                client.read(64 << 10)
                in_flight.append(flow.sent - client.body_read)
                self.screen.progress(f"{elapsed:3.1f} s: sent {size(flow.sent)}, read {size(client.body_read)}, "
                                     f"in flight {size(in_flight[-1])}, memory {size(self.gateway.memory())}")
                time.sleep(1 / 16)
            verdict = self.gateway.flow(client.name).get("verdict") or {}
            client.close()
            flow.ended.wait(5)
        self.judge("slow client: the page blames", "client", verdict.get("party", "nobody"), verdict.get("party") == "client")
        self.judge_limit("slow client: in flight", max(in_flight), limit, size, " at most")
        self.judge_memory("slow client", memory)

    def upstream_dies(self):
        self.screen.scene("4. An upstream that dies in the middle of a body",
                          "The status line has long been sent. The client must not take what it has for the whole: "
                          "curl has to fail with 18 (partial file) or 56 (receive error).")
        for how in ("reset", "close"):
            for framing, query in (("Content-Length", ""), ("chunked", "&chunked=1")):
                result = subprocess.run(
                    ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", f"{self.gateway.url}/die?how={how}{query}"],
                    capture_output=True, text=True, timeout=20)
                said = result.stderr.strip().removeprefix("curl: ")
                self.screen.line(f"    curl: {said}"[:80], "dim")
                self.judge(f"{framing}, {how}: curl", "exit 18 or 56", f"exit {result.returncode}",
                           result.returncode in (18, 56))

    def upstream_stalls(self):
        self.screen.scene("5. An upstream that does not answer",
                          f"The deadline for the first byte of a response is {milliseconds(FIRST_BYTE_TIMEOUT)} here.")
        client = self.request("/stall")
        flow = self.origin.flow(client.name)
        start = time.monotonic()
        body = client.read_text()
        took = time.monotonic() - start
        for line in textwrap.wrap(body, 74):
            self.screen.line("    " + line, "dim")
        answer = f"{client.status} {client.fields.get('content-type', '')}"
        self.judge("stalled upstream: answer", "504 problem+json", answer.replace("application/", ""),
                   answer == "504 application/problem+json")
        self.judge("stalled upstream: answered after", f"about {milliseconds(FIRST_BYTE_TIMEOUT)}", milliseconds(took),
                   FIRST_BYTE_TIMEOUT <= took <= FIRST_BYTE_TIMEOUT + (5 if self.quick else 0.5))
        self.judge("stalled upstream: its connection", "closed", "closed" if flow.ended.wait(2) else "open",
                   flow.ended.is_set())
        client.close()

    def exports(self):
        show_exports(self)

    def show_making(self, made, orders):
        if made == 0:
            self.screen.line(f"Making the database of a shop, once: {orders:,} orders.", "dim")
        self.screen.progress(f"{made:,} orders")

    # ---- before and after --------------------------------------------------------------------------------------------

    def at_rest(self):
        """(sockets that are not pooled upstream connections, what is alive), when no client is connected."""
        wait_until(lambda: self.gateway.live().get("connections") == 0, 5)
        live = self.gateway.live()
        return self.gateway.sockets() - live.get("upstream_idle", 0), live

    def nothing_left(self, before):
        self.screen.scene("7. What is left of all that",
                          "Nothing, but pooled connections to the upstream and to the database.")
        sockets, live = self.at_rest()
        names = ("connections", "requests", "upstream_busy", "buffer_bytes", "pipes")
        left = [f"{name}={live[name]}" for name in names if live.get(name, 0)]
        self.judge("sockets, less pooled ones", f"{before[0]}, as before", str(sockets), sockets == before[0])
        self.judge("alive in the gateway", "nothing", ", ".join(left) or "nothing", bool(live) and not left)
        if "frames" in live:
            pooled = max(0, live["upstream_idle"] - before[1]["upstream_idle"])
            self.judge("coroutine frames", f"<= {before[1]['frames']} + pooled", str(live["frames"]),
                       live["frames"] <= before[1]["frames"] + pooled)

    def serve(self):
        """Goes on until Ctrl-C, with something to see."""
        screen = self.screen
        slow = threading.Thread(target=self.read_slowly, args=(self.request("/big?size=1GiB", receive_buffer=128 << 10),), daemon=True)
        slow.start()
        screen.line()
        screen.line(f"The gateway goes on, and one of its clients is slow: see {self.gateway.page}", "bold")
        screen.line("Try:", "bold")
        for path in ("/hello", "/big?size=1GiB' -o /dev/null", "/slow' -N", "/stall' -i", "/die' -o /dev/null"):
            quote = "'" if "'" in path else ""
            screen.line(f"  curl {quote}{self.gateway.url}{path}")
        screen.line(f"  curl {self.gateway.url}/echo -d 'some text'")
        screen.line(f"  curl {self.gateway.url}/exports/orders.ndjson | head")
        screen.line(f"  build/release/headgate top --admin {self.gateway.page.removeprefix('http://').rstrip('/')}")
        screen.line("Its access log follows. Ctrl-C ends it.", "bold")
        self.gateway.pass_through(lambda line: screen.line(line, "dim"))
        self.gateway.process.wait()
        screen.line(f"The gateway has ended by itself, exit code {self.gateway.process.returncode}.", "red")

    def read_slowly(self, client):
        try:
            before = -1
            while before < client.body_read:
                before = client.body_read
                client.read(4096)
                time.sleep(1)
        except OSError:
            pass  # the gateway has ended it


def parse_arguments():
    default = Path(__file__).resolve().parent.parent / "build" / "release" / "headgate"
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__,
                                     epilog="The origin has these paths:\n" + PATHS,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exit", action="store_true", help="end after the show")
    parser.add_argument("--quick", action="store_true", help="smaller bodies, fewer clients")
    parser.add_argument("--gateway", metavar="PROGRAM", default=os.environ.get("HEADGATE_BIN", default),
                        help="default: $HEADGATE_BIN, or the release build")
    return parser.parse_args()


def main():
    options = parse_arguments()
    if not shutil.which("curl"):
        sys.exit("demo: curl is not installed (apt-get install curl)")
    if not os.access(options.gateway, os.X_OK):
        sys.exit(f"demo: there is no gateway at {options.gateway}. ./dev build makes one.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    demo = Demo(options)
    good = False
    try:
        good = demo.run()
        if not options.exit:
            demo.serve()
    except KeyboardInterrupt:
        demo.screen.line()
    finally:
        status = demo.gateway.stop()
    if status != 0:
        demo.screen.line(f"The gateway ended with exit code {status}.", "red")
    return 0 if good and status == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
