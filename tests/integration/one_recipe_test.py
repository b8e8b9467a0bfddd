#!/usr/bin/env python3
"""The same stages, CSV and then gzip, write the export of orders, a report and the file of a job on the command line."""

import csv
import gzip
import hashlib
import io
import sqlite3
import subprocess
import unittest

from support import BINARY, RunCase

ORDERS = "select * from orders order by id"
REPORT = "select region, count(*) as orders, sum(total) as total from orders group by region order by region"
REGIONS = ("north", "south, far", 'the "east"', None)


class OneRecipe(RunCase):
    def setUp(self):
        super().setUp()
        self.path = str(self.file.parent / "shop.db")
        db = sqlite3.connect(self.path)
        db.execute("create table orders (id integer primary key, region text, total real)")
        db.executemany("insert into orders values (?, ?, ?)", [(i, REGIONS[i % 4], i / 4) for i in range(1, 30_001)])
        db.commit()
        db.close()
        self.run_with(self.listener() + f"""
sources: {{shop: {{sqlite: '{self.path}', pool_size: 1}}}}
routes:
  - match: {{path_prefix: /orders/}}
    export: {{source: shop, query: "{ORDERS}"}}
  - match: {{path_prefix: /reports/}}
    export: {{source: shop, query: "{REPORT}"}}
""", workers=1)

    def job(self, query):
        """What the command line makes of it: the file, and its bytes before they were compressed."""
        target = self.file.parent / "job.csv.gz"
        subprocess.run([BINARY, "export", "--source", f"sqlite:{self.path}", "--query", query, "--gzip", "--output", target],
                       stdin=subprocess.DEVNULL, check=True, timeout=60)
        return gzip.decompress(target.read_bytes())

    def test_three_uses(self):
        client = self.client()
        written = {}
        for name, query in (("orders", ORDERS), ("reports", REPORT)):
            answer = client.exchange("GET", f"/{name}/all.csv.gz")
            self.assertEqual((answer.status, answer.head["Content-Type"]), (200, "application/gzip"))
            written[name] = gzip.decompress(answer.data)
            self.assertEqual(hashlib.sha256(written[name]).digest(), hashlib.sha256(self.job(query)).digest(), name)
        orders = list(csv.reader(io.StringIO(written["orders"].decode(), newline=""), strict=True))
        self.assertEqual(orders[:3], [["id", "region", "total"], ["1", "south, far", "0.25"], ["2", 'the "east"', "0.5"]])
        self.assertEqual(len(orders), 30_001)
        report = list(csv.reader(io.StringIO(written["reports"].decode(), newline=""), strict=True))
        self.assertEqual([(row[0], row[1]) for row in report[1:]], [(name, "7500") for name in ("", "north", "south, far", 'the "east"')])

    def tearDown(self):
        # The connection to the database that is kept is no leak.
        self._close_clients()
        self._clients.clear()
        self.leaks.wait_idle()
        self.leaks = None
        super().tearDown()


if __name__ == "__main__":
    unittest.main()
