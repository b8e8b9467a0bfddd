"""Exports from PostgreSQL as gzipped CSV: `headgate export` beside psql with gzip and a pipeline of Node.js."""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / "tests" / "integration"))
from kernel import children_of, cpu_of, cpu_of_ended  # noqa: E402
from proxies import Node, Unavailable  # noqa: E402
from scenarios import Measured, Sample, Scenario  # noqa: E402
from support.postgres import PROGRAMS, Postgres  # noqa: E402

ROWS = 1_000_000
TABLE = """
create table orders as select i as id, timestamp '2026-01-01' + i * interval '5 seconds' as placed_at,
    (array['north', 'south', 'east', 'west'])[1 + i * 7919 / 512 % 4] as region, 'customer ' || i * 31 % 5000 as customer,
    (array['apples', 'pears', 'plums, dried', '"Golden" cherries'])[1 + i / 8 % 4] as item, 1 + i % 8 as quantity,
    (i * 7 % 10000 / 100.0)::numeric(8, 2) as total
from generate_series(1, {rows}::bigint) i
"""
QUERY = "select * from orders"


class Exports(Scenario):
    def __init__(self):
        super().__init__("exports", f"{ROWS:,} orders of a PostgreSQL on the same machine as gzipped CSV, into /dev/null", None,
                         "s CPU/million rows", "rows/s", (), ("database's CPU", "MiB"), aim=1.0)

    def run(self, bench):
        """{pipeline's name: Measured}, as of the other scenarios; nothing is pinned to a core."""
        pipelines = [("headgate", self.of_headgate), ("psql, gzip -1", self.of_psql), ("Node.js", self.of_node)]
        results = {name: Measured() for name, _ in pipelines}
        if PROGRAMS is None:
            for measured in results.values():
                measured.problem = "not installed (apt-get install postgresql)"
            return results
        with contextlib.ExitStack() as stack:
            stack.callback(os.sched_setaffinity, 0, os.sched_getaffinity(0))
            os.sched_setaffinity(0, {bench.options.proxy_core, bench.options.load_core})
            server = Postgres("-c max_parallel_workers_per_gather=0")
            stack.callback(server.close)
            rows = bench.scaled(ROWS)
            server.sql(TABLE.format(rows=rows))
            server.sql("vacuum analyze orders")
            ready = {}
            for name, make in pipelines:
                with bench.noting(self, name, results[name]):
                    ready[name] = make(bench, server)
                    self.measure_pipeline(server, *ready[name], rows)  # a first one, that is not counted
            for number in range(bench.options.rounds):
                for name, pipeline in ready.items():
                    with bench.noting(self, name, results[name]):
                        results[name].add(self.measure_pipeline(server, *pipeline, rows))
                        bench.tell(self, f"{number + 1}/{bench.options.rounds}", name, results[name])
        return results

    @staticmethod
    def of_headgate(bench, server):
        return f"'{bench.options.headgate}' export --source '{server.source}' --query '{QUERY}' --format csv --gzip", {}

    @staticmethod
    def of_psql(bench, server):
        return f"'{PROGRAMS}/psql' -X -q -c '\\copy ({QUERY}) to stdout csv header' '{server.source}' | gzip -1", {}

    @staticmethod
    def of_node(bench, server):
        packages = bench.options.tools / "node"
        if not (packages / "node_modules" / "pg").exists():
            raise Unavailable("its packages are not there (npm install)")
        script = Path(__file__).resolve().parent / "node" / "export.js"
        return f"'{Node().find()}' '{script}' '{server.source}' '{QUERY}'", {"BENCH_NODE_PACKAGES": str(packages)}

    @staticmethod
    def measure_pipeline(server, command, environment, rows):
        """Once. All of its processes are children of one shell, which tells their CPU."""
        postmaster = int((server.data / "postmaster.pid").read_text().split()[0])

        def of_database():
            return cpu_of(children_of(postmaster)) + cpu_of_ended(postmaster)
        before, begun = of_database(), time.monotonic()
        process = subprocess.Popen(["bash", "-c", f"set -o pipefail; {command} | wc -c"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=os.environ | environment)
        said = process.stdout.read()
        problem = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.monotonic() - begun
        process.stdout.close()
        process.stderr.close()
        if process.returncode != 0:
            lines = problem.strip().splitlines() or ["failed"]
            raise Unavailable(next((line for line in lines if "rror" in line), lines[-1]))
        time.sleep(0.1)  # for the server to take leave of the session
        millions = rows / 1e6
        return Sample((usage.ru_utime + usage.ru_stime) / millions, rows / took,
                      {"database's CPU": (of_database() - before) / millions, "MiB": int(said) / (1 << 20)})
