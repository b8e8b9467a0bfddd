#!/usr/bin/env python3
"""`headgate export`: what is hostile reads back the same with other people's readers, and what fails leaves no file."""

import csv
import gzip
import io
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import tempfile
import unittest

from support import BINARY
from support.postgres import PROGRAMS, Postgres
from support.wait import eventually

PARTS = ['"', ",", "\r\n", "\n", "\r", "a", "\\.", "\\", "'", "\t", " ", "ü", "NULL", "0123456789abcdef", "\x01", "😀",
         "\u2028", "\x7f", "=1+1", "; drop table hostile"]

# Runs until it is stopped; its rows come slowly enough not to fill a disk.
ENDLESS = ("with recursive n(i) as (select 1 union all select i + 1 from n) "
           "select i, hex(randomblob(500)) as pad from n where i % 100 = 0")


def hostile(rng):
    kind = rng.randrange(8)
    if kind == 0:
        return None
    if kind == 1:
        return rng.choice([0, -1, 2**63 - 1, -2**63, rng.randrange(10**6)])
    if kind == 2:
        return rng.choice([0.1, -1e300, 5e-324, 1.7976931348623157e308, rng.random()])
    if kind == 3:
        return rng.randbytes(rng.choice([0, 1, 2, 3, 100, 50_000]))
    return "".join(rng.choice(PARTS) for _ in range(rng.choice([0, 1, 2, 5, 5, 30, 20_000 if rng.randrange(20) == 0 else 3])))


class Export(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.file = cls.temporary.name + "/shop.db"
        rng = random.Random(4180)
        cls.rows = [tuple(hostile(rng) for _ in range(3)) for _ in range(400)]
        db = sqlite3.connect(cls.file)
        db.execute("create table hostile (a, b, c)")
        db.executemany("insert into hostile values (?, ?, ?)", cls.rows)
        db.execute("create table orders (id integer primary key, region text, total real)")
        db.executemany("insert into orders values (?, ?, ?)", [(i, "north" if i % 3 else "south", i / 4) for i in range(1, 50_001)])
        db.execute("create table broken (t)")
        db.execute("insert into broken values (cast(x'67fcdf' as text))")
        db.commit()
        db.close()

    def export(self, *arguments, source=None, check=0, query="select a, b, c from hostile"):
        done = subprocess.run([BINARY, "export", "--source", source or "sqlite:" + self.file, "--query", query, *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        self.assertEqual(done.returncode, check, done.stderr)
        self.assertNotRegex(done.stderr, b"terminate called|Sanitizer|what\\(\\)")
        return done

    def folder(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    def test_csv_is_read_back_by_python(self):
        out = self.export().stdout.decode()
        read = list(csv.reader(io.StringIO(out, newline=""), strict=True))
        self.assertEqual(read[0], ["a", "b", "c"])
        self.assertEqual(len(read), len(self.rows) + 1)
        for row, values in zip(read[1:], self.rows):
            for text, value in zip(row, values):
                if value is None:
                    self.assertEqual(text, "")
                elif isinstance(value, bytes):
                    self.assertEqual(text, "\\x" + value.hex())
                else:
                    self.assertEqual(type(value)(text), value)

    def test_json_is_read_back_by_python(self):
        def decoded(value):
            import base64
            return base64.b64encode(value).decode() if isinstance(value, bytes) else value

        wanted = [{name: decoded(v) for name, v in zip("abc", row)} for row in self.rows]
        whole = self.export("--format", "json").stdout
        self.assertEqual(json.loads(whole), wanted)
        lines = self.export("--format", "ndjson").stdout.split(b"\n")
        self.assertEqual(lines.pop(), b"")
        self.assertEqual([json.loads(line) for line in lines], wanted)

    def test_csv_is_imported_by_sqlite(self):
        target = self.folder() + "/hostile.csv"
        self.export("-o", target, query="select b, count(*) over () as n from hostile where typeof(b) = 'text'")
        shell = subprocess.run(["sqlite3", ":memory:"], capture_output=True, text=True, check=True, timeout=60,
                               input=f".mode csv\n.import {target} t\n.mode json\nselect b from t;\n")
        wanted = [b for _, b, _ in self.rows if isinstance(b, str)]
        self.assertEqual([row["b"] for row in json.loads(shell.stdout)], wanted)

    def test_csv_options(self):
        query = "select 1 as a, 3.0 as b, null as c, 'x;y' as d, x'00ff' as e"
        for arguments, wanted in [(["--delimiter", ";"], b'a;b;c;d;e\r\n1;3.0;;"x;y";\\x00ff\r\n'), (["--no-header", "--line-end", "lf", "--quote", "all"], b'"1","3.0",,"x;y","\\x00ff"\n'),
                                  (["--delimiter", "tab", "--null-text", "NULL", "--bom", "--no-header"], b"\xef\xbb\xbf1\t3.0\tNULL\tx;y\t\\x00ff\r\n")]:
            self.assertEqual(self.export(*arguments, query=query).stdout, wanted)
        rows = list(csv.reader(io.StringIO(self.export("--quote", "non_numeric", "--null-text", "NaN").stdout.decode(), newline=""), quoting=csv.QUOTE_NONNUMERIC))
        for row, values in zip(rows[1:], self.rows):
            self.assertEqual([type(v) is str for v in row], [isinstance(v, (str, bytes)) for v in values])
        self.assertEqual(self.export("--non-utf8", "replace", "--no-header", query="select t from broken").stdout, "g\ufffd\ufffd\r\n".encode())
        self.assertEqual(self.export("--format", "ndjson", query="select 3.0 as r, -0.0 as z, 1e20 as l").stdout, b'{"r":3.0,"z":-0.0,"l":1e+20}\n')

    def test_numbers_digit_for_digit(self):
        out = self.export("--format", "ndjson", query="select 9223372036854775807 as i, 0.1 as f, 1e999 as inf, null as n").stdout
        self.assertEqual(out, b'{"i":9223372036854775807,"f":0.1,"inf":"Infinity","n":null}\n')

    def test_parameters_are_bound(self):
        nasty = "x'; drop table orders; --"
        out = self.export("--param", "id:integer=7", "--param", f"s={nasty}", query="select :id + 1 as i, :s as s").stdout
        self.assertEqual(out, f"i,s\r\n8,{nasty}\r\n".encode())

    def test_compressed(self):
        folder = self.folder()
        self.export("--gzip", "-o", folder + "/o.csv.gz", query="select * from orders")
        with gzip.open(folder + "/o.csv.gz", "rt", newline="") as file:
            self.assertEqual(sum(1 for _ in csv.reader(file)), 50_001)
        packed = self.export("--zstd", query="select * from orders").stdout
        plain = subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=True, timeout=60).stdout
        self.assertEqual(plain.count(b"\r\n"), 50_001)
        self.assertEqual(os.listdir(folder), ["o.csv.gz"])

    def test_what_fails_leaves_no_file(self):
        folder = self.folder()
        cases = [("select nothing from orders", "nothing"), ("select * from orders limit 1; drop table orders", "statement"),
                 ("delete from orders", "write"), ("select id, 1 from orders union all select t, abs(-9223372036854775808) from broken", "overflow"),
                 ("select 'x' from orders union all select t from broken", "not UTF-8")]
        for query, message in cases:
            with self.subTest(query):
                done = subprocess.run([BINARY, "export", "--source", "sqlite:" + self.file, "--query", query, "-o", folder + "/out"],
                                      capture_output=True, text=True, check=False, timeout=60)
                self.assertIn(done.returncode, (1, 2))
                self.assertIn(message, done.stderr)
                self.assertEqual(os.listdir(folder), [])
        self.assertIn(b"unable to open", self.export(source="sqlite:/nonexistent.db", check=1).stderr)
        self.assertIn(b"/nowhere", self.export("-o", "/nowhere/out", check=1).stderr)

    def test_wrong_commands(self):
        for arguments, query, message in [
                (["--param", "x"], "select 1", "name=value"), (["--param", "a:int=1"], "select :a", "integer"),
                (["--param", "a:integer=x"], "select :a", "a: 'x' is not a whole number"), ([], "select :a", "a"),
                (["--param", "b=1"], "select 1", "b"), (["--format", "xml"], "select 1", "csv"),
                (["--delimiter", '"'], "select 1", "cannot stand between values"), (["--delimiter", "\n"], "select 1", "cannot stand between values"),
                (["--delimiter", "ä"], "select 1", "cannot stand between values"), (["--null-text", "a,b"], "select 1", "--null-text: it must be"),
                (["--quote", "none"], "select 1", "minimal"), (["--bom", "--format", "json"], "select 1", "--bom is for --format csv"),
                (["--gzip", "--zstd"], "select 1", "excludes"), ([], "select 'x", "unterminated")]:
            with self.subTest(arguments):
                self.assertIn(message, self.export(*arguments, query=query, check=2).stderr.decode())
        self.assertIn(b"sqlite:FILE", self.export(source="mysql://x", check=2).stderr)

    def endless(self, *arguments, **options):
        process = subprocess.Popen([BINARY, "export", "--source", "sqlite:" + self.file, "--query", ENDLESS, *arguments],
                                   stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_a_signal_ends_it_and_leaves_no_file(self):
        folder = self.folder()
        process = self.endless("--gzip", "-o", folder + "/out.gz")
        eventually(lambda: any(os.path.getsize(f"{folder}/{n}") for n in os.listdir(folder)), 20, "something is written")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), 128 + signal.SIGINT)
        self.assertEqual(os.listdir(folder), [])

    def test_a_reader_that_leaves_ends_it(self):
        process = self.endless(stdout=subprocess.PIPE)
        process.stdout.read(1000)
        process.stdout.close()
        self.assertEqual(process.wait(10), 1)
        self.assertIn(b"standard output", process.stderr.read())

    def test_a_reader_that_stops_does_not_keep_it_from_ending(self):
        process = self.endless(stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        process.stdout.read(1000)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 128 + signal.SIGTERM)

    def test_progress(self):
        process = self.endless("--gzip", "--progress", "on", stdout=subprocess.DEVNULL)
        seen = b""
        while not re.search(rb"\r[\d,]+ rows  [\d.]+ \w+  [\d.]+ \w+/s  ratio \d+\.\d  \d\d:\d\d  limited by (query|csv|gzip|rows|stdout)", seen):
            seen += os.read(process.stderr.fileno(), 1000)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(10), 130)
        self.assertEqual(self.export(query="select 1").stderr, b"")
        self.assertRegex(self.export("--progress", "on", query="select 1").stderr, rb"\r1 rows  .* done\x1b\[K\n$")



@unittest.skipIf(PROGRAMS is None, "PostgreSQL is not installed")
class FromPostgres(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Postgres()
        cls.addClassCleanup(cls.server.close)
        cls.server.sql("create table hostile (id integer primary key, t text, n numeric, f float8, b bytea, d timestamptz, a text[], j jsonb)")
        rng = random.Random(4181)
        parts = [p for p in PARTS if p != "\\."]  # on a line of its own it ends the input, in quotes too (up to PostgreSQL 17)
        rows = []
        for i in range(300):
            text = "".join(rng.choice(parts) for _ in range(rng.choice([0, 1, 3, 30])))
            rows.append([i, None if i % 7 == 0 else text, None if i % 5 == 0 else f"{rng.randrange(-10**25, 10**25)}.{rng.randrange(10**9):09}",
                         repr(rng.random()), "\\x" + rng.randbytes(rng.choice([0, 1, 20])).hex(), "2026-02-03 04:05:06.789+00", '{"a b",NULL}', '{"k": 1.50}'])
        out = io.StringIO()
        for row in rows:  # an unquoted \\N is NULL
            out.write(",".join("\\N" if v is None else '"' + str(v).replace('"', '""') + '"' for v in row) + "\n")
        cls.server.sql("copy hostile from stdin (format csv, null '\\N')", out.getvalue().encode())

    def export(self, query, *arguments, check=0):
        done = subprocess.run([BINARY, "export", "--source", self.server.source, "--query", query, *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        self.assertEqual(done.returncode, check, done.stderr)
        self.assertNotRegex(done.stderr, b"terminate called|Sanitizer|what\\(\\)")
        return done

    def test_copy_reads_the_same_rows_back(self):
        out = self.export("select * from hostile order by id").stdout
        self.server.sql("create table again (like hostile)")
        self.server.sql("copy again from stdin (format csv, header)", out)
        self.assertEqual(self.server.sql("select count(*) from again"), "300\n")
        self.assertEqual(self.server.sql("(table hostile except table again) union all (table again except table hostile)"), "")

    def test_what_the_server_writes_is_what_we_write(self):
        """COPY, and rows: a parameter keeps a query from being copied."""
        columns = "id, t, n, f, b, a, j, id::text as \"a \"\"b\"\", c\""
        for chosen, options in [(columns, []), (columns, ["--delimiter", ";", "--null-text", "NULL", "--line-end", "lf", "--bom"]),
                                (columns, ["--no-header", "--delimiter", "tab"]), (columns + ", t is null as none, d", []), ("id", ["--quote", "all"]), ("''::text as e", []), ("null as e", [])]:
            with self.subTest(columns=chosen, options=options):
                copied = self.export(f"select {chosen} from hostile order by id", *options).stdout
                rows = self.export(f"select {chosen} from hostile where id >= :least::int order by id", "--param", "least:integer=0", *options).stdout
                self.assertEqual(copied, rows)
        self.assertIn(b"true,2026-02-03T04:05:06.789", self.export("select t is null as none, d from hostile where id = 0").stdout)

    def test_json(self):
        rows = json.loads(self.export("select d, a, j, n from hostile where id = 1", "--format", "json").stdout)
        self.assertEqual((rows[0]["d"], rows[0]["a"], rows[0]["j"]), ("2026-02-03T04:05:06.789Z", ["a b", None], {"k": 1.5}))

    def test_parameters_are_bound(self):
        out = self.export("select id from hostile where id < :most::int order by id", "--param", "most:integer=3").stdout
        self.assertEqual(out.decode().split(), ["id", "0", "1", "2"])

    def test_a_query_that_is_cut_is_cancelled(self):
        """Here by an error of its own, after rows; and by a reader that leaves."""
        done = self.export("select 1 / (10000 - i) from generate_series(1, 20000) i", check=1)
        self.assertIn(b"22012", done.stderr)
        endless = subprocess.Popen([BINARY, "export", "--source", self.server.source, "--query", "select generate_series(1, 1000000000) as endless"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        endless.stdout.read(1000)
        endless.stdout.close()
        endless.stderr.read()
        endless.stderr.close()
        self.assertNotEqual(endless.wait(20), 0)
        eventually(lambda: self.server.sql("select count(*) from pg_stat_activity where state = 'active' and query like '%as endless%' "
                                           "and pid <> pg_backend_pid()") == "0\n", 10)

    def test_who_is_not_there_is_told(self):
        done = subprocess.run([BINARY, "export", "--source", "postgres://nobody@127.0.0.1:1/x", "--query", "select 1"],
                              stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"127.0.0.1", done.stderr)


if __name__ == "__main__":
    unittest.main()
