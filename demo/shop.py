"""The shop whose orders the demonstration exports: a SQLite file that is made once."""

import os
import sqlite3
import tempfile
from pathlib import Path

BATCH = 25_000

# Orders look like those of a shop, and come out the same each time.
TABLE = """
create table orders (
    id integer primary key, day text, region text, item text, quantity integer, total numeric)
"""
ROWS = """
with recursive n(i) as (select :first union all select i + 1 from n where i < :last)
insert into orders select
    i, date('2026-01-01', (i / 2740) || ' days'),
    case (i / 8 * 7919 >> 9) % 4 when 0 then 'north' when 1 then 'south' when 2 then 'east' else 'west' end,
    case i / 8 % 6 when 0 then 'apples' when 1 then 'pears' when 2 then 'plums, dried' when 3 then 'quinces'
        when 4 then '"Golden" cherries' else 'walnuts' end,
    1 + i % 8, (1 + i % 8) * (1 + i / 8 % 6) * 0.75
from n
"""


class Shop:
    """`show` is called while the file is made, with how many orders it has, and will have."""

    def __init__(self, folder, orders, show):
        self.orders = orders
        self.made = None  # in a folder of its own, if it cannot be kept
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.file = folder / f"shop-{orders}.db"
            if not self.file.exists():
                self.make(show)
        except (OSError, sqlite3.OperationalError):
            self.made = tempfile.TemporaryDirectory(prefix="headgate-demo-")
            self.file = Path(self.made.name) / "shop.db"
            self.make(show)

    def make(self, show):
        """Under its name only when it is complete."""
        unfinished = self.file.with_suffix(f".{os.getpid()}")
        try:
            db = sqlite3.connect(unfinished)
            db.executescript("pragma journal_mode = off; pragma synchronous = off;" + TABLE)
            show(0, self.orders)
            for first in range(1, self.orders + 1, BATCH):
                last = min(first + BATCH - 1, self.orders)
                db.execute(ROWS, {"first": first, "last": last})
                show(last, self.orders)
            db.commit()
            db.close()
            unfinished.replace(self.file)
        finally:
            unfinished.unlink(missing_ok=True)
