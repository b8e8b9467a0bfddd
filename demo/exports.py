"""The scene of the demonstration that exports from a database."""

import base64
import re
import threading
import time

from client import SlowDownload
from gateway import MemoryWatch
from screen import milliseconds, size


def show_exports(demo):
    """A client on a slow line has all orders exported; meanwhile others come, and one leaves."""
    orders = demo.shop.orders
    rate = 12_000 if demo.quick else 200_000
    demo.screen.scene(
        "6. Exports from a database, with a single connection to it",
        f"A client on a 3G line, {rate // 1000} kB a second, takes {orders:,} orders as gzipped CSV. What it has not "
        "taken lies in memory and in a file without a name; the connection is free at the last row. The next client "
        "gets it then. Another asks for a report that takes hours, and closes the tab after a second.")
    with MemoryWatch(demo.gateway) as memory:
        slow = SlowDownload(demo.request("/exports/orders.csv.gz", receive_buffer=64 << 10,
                                         fields="TE: trailers\r\nConnection: TE\r\n"), rate)
        slow.client.read_head()  # the query is running, with the only connection
        taking = threading.Thread(target=slow.run, daemon=True)
        taking.start()
        waited = time_of_next(demo)
        so_far = slow.received
        demo.screen.line(f"    next export: served after {milliseconds(waited)}; the slow client has {size(so_far)}", "dim")

        tab = demo.request("/exports/pairs.csv")
        wait_for(1, demo, slow)
        tab.close()
        freed = time_of_next(demo)
        while taking.is_alive():
            wait_for(0.1, demo, slow)
    judge(demo, slow, waited)
    demo.judge("tab closed: log says", "client_closed", end := demo.gateway.end_of(tab.name), end == "client_closed")
    # the time of that export included
    demo.judge_limit("tab closed: next export after", freed, 3 * demo.teardown_max, milliseconds)
    demo.judge_memory("exports", memory)


def judge(demo, slow, waited):
    """What the slow client got, and for how long that held the database: as it is told, and as the next one saw."""
    what, orders = "export to 3G", demo.shop.orders
    demo.judge(f"{what}: rows", f"{orders:,}", f"{slow.lines - 1:,}", slow.lines - 1 == orders)
    digest = f"sha-256=:{base64.b64encode(slow.digest.digest()).decode()}:"
    matches = slow.trailers.get("content-digest") == digest
    demo.judge(f"{what}: digest", "matches", "matches" if matches else "does not", matches)
    demo.judge(f"{what}: client took", "-", milliseconds(slow.seconds), None)
    told = re.search(r"\bhold;dur=([\d.]+)", slow.trailers.get("server-timing", ""))
    held = float(told[1]) / 1000 if told else float("inf")
    for name, seconds in (("database held", held), ("next client waited", waited)):
        good = None if demo.sanitized else seconds <= slow.seconds / 2
        demo.judge(f"{what}: {name}", "<= half of that", milliseconds(seconds), good)


def time_of_next(demo):
    """How long an export takes that is done at once when it has the connection."""
    start = time.monotonic()
    rows = demo.request("/exports/last.csv").read_to_end()
    took = time.monotonic() - start
    if b"id\r\n%d\r\n" % demo.shop.orders not in rows:
        raise OSError(f"an export of one row gave {rows[:40]}")
    return took


def wait_for(seconds, demo, slow):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.05)
        demo.screen.progress(f"the slow client has {size(slow.received)}, {slow.lines:,} orders; "
                             f"memory {size(demo.gateway.memory())}")
