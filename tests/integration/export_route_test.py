#!/usr/bin/env python3
"""The export action: what a request may ask for, and every way an export can end."""

import base64
import csv
import gzip
import hashlib
import io
import json
import re
import signal
import sqlite3
import subprocess
import time
import unittest
import urllib.request

from support import BINARY, SANITIZED, SLACK, Crowd, RunCase, eventually, free_port, request
from support.postgres import PROGRAMS, Postgres

ROWS = 20_000

# What runs until it is stopped. Silent: it never gives a row.
SILENT = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n where i < 0"
ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select i, hex(randomblob(500)) as pad from n"
FAILS_LATE = ("with recursive n(i) as (select 1 union all select i + 1 from n limit 3000) "
              "select hex(randomblob(500)) as pad from n union all select abs(-9223372036854775807 - 1)")


def timing_of(body):
    """What its Server-Timing says, by name."""
    return {name: float(dur) for name, dur in re.findall(r"(\w+);dur=([0-9.]+)", body.trailers["Server-Timing"])}


class ExportRoutes(RunCase):
    def setUp(self):
        super().setUp()
        self.path = str(self.file.parent / "shop.db")
        db = sqlite3.connect(self.path)
        db.execute("create table orders (id integer primary key, region text, total real)")
        db.executemany("insert into orders values (?, ?, ?)",
                       [(i, ("north", "south", "o'hara; --")[i % 3], i / 4) for i in range(1, ROWS + 1)])
        db.commit()
        db.close()

    ORDERS = """
        query: "select * from orders where region = coalesce(:region, region) and total >= :least and id <= :last order by id"
        filename: "orders ü"
        parameters:
          region: {}
          least: {type: floating, default: "0"}
          last: {from: header, key: X-Last, type: integer, default: "1000000"}
"""

    def config(self, body=ORDERS, source="", route=""):
        return self.listener() + f"""
sources: {{shop: {{sqlite: '{self.path}'{source}}}}}
routes:
  - match: {{path_prefix: /exports/}}
    {route}
    export:
        source: shop
{body}
"""

    def query(self, sql, more="", **how):
        self.serve(f"        query: {json.dumps(sql)}\n{more}", **how)

    def serve(self, body=ORDERS, source="", route=""):
        self.run_with(self.config(body, source, route), workers=1)

    def get(self, target, *fields, client=None, method="GET"):
        return (client or self.client()).exchange(method, target, *fields)

    def check_released(self):
        """The connection, of which there is one, is back: another export gets it at once."""
        answer = self.get("/exports/again.csv?quick=1")
        self.assertEqual(answer.status, 200, answer.data)

    # ---- what may be asked for

    def test_formats(self):
        self.serve()
        self.get("/exports/warm")
        self.rest_is_now()
        client = self.client()
        wanted = [[str(i), ("north", "south", "o'hara; --")[i % 3], str(i / 4)] for i in range(1, 6)]
        few = ("X-Last", "5")
        answer = self.get("/exports/orders.csv", few, client=client)
        self.assertEqual(list(csv.reader(io.StringIO(answer.data.decode(), newline=""))), [["id", "region", "total"], *wanted])
        self.assertEqual(answer.head["Content-Type"], "text/csv; charset=utf-8; header=present")
        self.assertEqual(answer.head["Content-Disposition"], "attachment; filename=\"orders __.csv\"; filename*=UTF-8''orders%20%C3%BC.csv")
        self.assertEqual(answer.head["Vary"], "Accept, Accept-Encoding")
        self.log(target="/exports/orders.csv", status=200, end="complete", upstream="shop", down=len(answer.data))
        as_json = [{"id": i, "region": r, "total": float(t)} for i, (_, r, t) in enumerate(wanted, 1)]
        for target, fields in [("/exports/orders.json", []), ("/exports/orders?format=json", []), ("/exports/orders", [("Accept", "application/json")]),
                               ("/exports/orders", [("Accept", "text/*;q=0.5, application/json;q=0.7, */*;q=0.1")])]:
            answer = self.get(target, few, *fields, client=client)
            self.assertEqual((json.loads(answer.data), answer.head["Content-Type"]), (as_json, "application/json"))
        answer = self.get("/exports/orders.ndjson", few, ("Accept", "text/csv"), client=client)
        self.assertEqual([json.loads(line) for line in answer.data.splitlines()], as_json)
        for fields in ([], [("Accept", "*/*")], [("Accept", "text/html, text/csv;q=0.2")]):
            self.assertEqual(self.get("/exports/", few, *fields, client=client).head["Content-Type"][:8], "text/csv")
        for target, fields, status in [("/exports/orders", [("Accept", "text/html")], 406), ("/exports/orders", [("Accept", "text/csv;q=0, application/*;q=0")], 406),
                                       ("/exports/orders?format=xml", [], 400)]:
            self.assert_problem(self.get(target, *fields, client=client), status)
        head = self.get("/exports/orders.csv", client=client, method="HEAD").head
        self.assertEqual((head.status, head["Content-Type"][:8]), (200, "text/csv"))
        self.assertEqual(self.assert_problem(self.get("/exports/orders.csv", client=client, method="POST"), 405)["status"], 405)

    def test_parameters(self):
        self.serve()
        self.get("/exports/warm")
        self.rest_is_now()
        client = self.client()
        nasty = self.get("/exports/o.csv?region=o%27hara%3b+--&least=100", ("X-Last", "500"), client=client)
        rows = list(csv.reader(io.StringIO(nasty.data.decode(), newline="")))[1:]
        self.assertEqual({row[1] for row in rows}, {"o'hara; --"})
        self.assertEqual((rows[0][0], rows[-1][0]), ("401", "500"))
        none = self.get("/exports/o.csv?region=x'%20or%201%3d1%20--", client=client)
        self.assertEqual(none.data, b"id,region,total\r\n")
        refused = self.assert_problem(self.get("/exports/o.csv?least=1;drop", client=client), 400)
        self.assertEqual(refused["detail"], "the parameter least: '1;drop' is not a number")
        refused = self.assert_problem(self.get("/exports/o.csv", ("X-Last", "1.5"), client=client), 400)
        self.assertEqual(refused["detail"], "the header X-Last: '1.5' is not a whole number of 64 bits")
        self.assertEqual(self.gateway.live()["connections"], 1, "all on one connection")

    def test_parameters_of_the_path(self):
        self.query("select :region as r, :id as i", """
        parameters:
          region: {from: path, values: [north, south]}
          id: {from: path, segment: 2, type: integer, required: true}
""")
        self.assertEqual(self.get("/exports/north/7.ndjson").data, b'{"r":"north","i":7}\n')
        self.rest_is_now()
        self.assertIn("one of north, south", self.assert_problem(self.get("/exports/west/7.csv"), 400)["detail"])
        self.assertIn("is missing", self.assert_problem(self.get("/exports/north.csv"), 400)["detail"])

    def test_patterns(self):
        self.query("select :code as c, :note as n", """
        parameters:
          code: {pattern: "[A-Z]{2}-[0-9]+|all", default: all}
          note: {from: header, key: X-Note, pattern: "\\\\p{L}*"}
""")
        self.assertEqual(self.get("/exports/x.csv").data, b"c,n\r\nall,\r\n")
        self.rest_is_now()
        self.assertEqual(self.get("/exports/x.csv?code=AB-12", ("X-Note", "abc")).data, b"c,n\r\nAB-12,abc\r\n")
        for code in ("AB-12%0a", "xAB-12", "AB-", "", "%ff%3cscript%3e", "all%00"):
            answer = self.get(f"/exports/x.csv?code={code}")
            self.assertEqual(self.assert_problem(answer, 400)["detail"], "the parameter code: does not match the pattern [A-Z]{2}-[0-9]+|all")
            self.assertNotIn(b"script", answer.data)
        self.log(end="client_protocol", status=400)
        self.assertEqual(self.assert_problem(self.get("/exports/x.csv", ("X-Note", "a b")), 400)["detail"], "the header X-Note: does not match the pattern \\p{L}*")

    def test_the_name_has_parameters(self):
        self.query("select :region as r, :n as n", """
        filename: "o-{region}-{n}!"
        parameters: {region: {}, n: {type: integer}}
""")
        for target, wanted in [("x.csv", 'filename="o--!.csv"'), ("x.csv.gz?region=north&n=7", 'filename="o-north-7!.csv.gz"'),
                               ("x.csv?region=%c3%bc%22", "filename=\"o-___-!.csv\"; filename*=UTF-8''o-%C3%BC%22-!.csv"),
                               ("x.csv?region=../a%5cb%0d%0aX:%20y", 'filename="o-.._a_b__X: y-!.csv"'), ("x.csv?region=a%ffb", 'filename="o-a-!.csv"'),
                               ("x.csv?region=" + "x" * 200, 'filename="o-' + "x" * 100 + '-!.csv"')]:
            self.assertEqual(self.get("/exports/" + target, method="HEAD").head["Content-Disposition"], "attachment; " + wanted)

    def test_csv_as_it_is_wanted(self):
        self.query("select 1 as a, 2.0 as b, null as c, 'x;y' as d, '-' as e", """
        csv: {delimiter: ";", quote: non_numeric, null_text: "-", line_end: lf, bom: true}
""")
        answer = self.get("/exports/x.csv")
        self.assertEqual(answer.data, b'\xef\xbb\xbf"a";"b";"c";"d";"e"\n1;2.0;-;"x;y";"-"\n')
        self.rest_is_now()
        self.assertEqual(json.loads(self.get("/exports/x.json").data), [{"a": 1, "b": 2.0, "c": None, "d": "x;y", "e": "-"}], "CSV alone")
        self.reload(self.config("        query: select 1 as a\n        csv: {header: false, delimiter: tab, quote: all}\n"), workers=1)
        answer = self.get("/exports/x.csv")
        self.assertEqual((answer.data, answer.head["Content-Type"]), (b'"1"\r\n', "text/csv; charset=utf-8; header=absent"))

    def test_text_that_is_not_utf8(self):
        sql = "        query: select cast(x'67fc' as text) as t\n"
        self.serve(sql)
        self.assertEqual(self.assert_problem(self.get("/exports/x.csv"), 500)["detail"], "a text of the result is not UTF-8")
        self.log(end="query_failed", status=500)
        self.rest_is_now()
        self.reload(self.config(sql + "        non_utf8: replace\n"), workers=1)
        self.assertEqual(self.get("/exports/x.csv").data, "t\r\ng\ufffd\r\n".encode())
        self.assertEqual(json.loads(self.get("/exports/x.json").data), [{"t": "g\ufffd"}])

    def test_a_path_with_extensions(self):
        export = "export: {source: shop, query: 'select 1 as one', formats: [csv, json], compression: [gzip]}"
        self.run_with(self.listener() + f"""
sources: {{shop: {{sqlite: '{self.path}'}}}}
routes:
  - {{match: {{path: /exports/orders}}, {export}}}
  - {{match: {{path: /exports/orders.json, priority: 1}}, respond: {{status: 204}}}}
  - {{match: {{path: /named.csv}}, {export}}}
""", workers=1)
        self.get("/exports/orders")
        self.rest_is_now()
        for target, status in [("orders", 200), ("orders.csv", 200), ("orders.csv.gz", 200), ("orders.json", 204), ("orders.json.gz", 200),
                               ("orders.ndjson", 404), ("orders.csv.zst", 404), ("orders/", 404), ("orders.csv/x", 404), ("ordersx", 404)]:
            self.assertEqual(self.get("/exports/" + target).status, status, target)
        self.assertEqual(gzip.decompress(self.get("/exports/orders.csv.gz").data), b"one\r\n1\r\n")
        self.assertEqual([self.get(t).status for t in ("/named.csv", "/named.csv.gz", "/named")], [200, 404, 404])

    def test_compression(self):
        self.serve()
        self.get("/exports/warm")
        self.rest_is_now()
        plain = self.get("/exports/orders.csv").data
        answer = self.get("/exports/orders.csv", ("Accept-Encoding", "gzip"))
        self.assertEqual((answer.head["Content-Encoding"], gzip.decompress(answer.data)), ("gzip", plain))
        self.assertEqual(self.get("/exports/orders.csv", ("Accept-Encoding", "gzip;q=0.5, zstd")).head["Content-Encoding"], "zstd")
        for field in ("identity", "gzip;q=0", "br"):
            answer = self.get("/exports/orders.csv", ("Accept-Encoding", field))
            self.assertEqual((answer.data, answer.head.get("Content-Encoding")), (plain, None))
        answer = self.get("/exports/orders.csv.gz", ("Accept-Encoding", "zstd"))
        self.assertEqual((answer.head["Content-Type"], answer.head.get("Content-Encoding")), ("application/gzip", None))
        self.assertIn(".csv.gz", answer.head["Content-Disposition"])
        self.assertEqual(gzip.decompress(answer.data), plain)

    def test_trailers(self):
        self.serve()
        self.get("/exports/warm")
        self.rest_is_now()
        client = self.client()
        client.request("GET", "/exports/orders.csv.gz", ("TE", "trailers"), ("Connection", "TE"))
        answer = client.response()
        self.assertEqual(answer.head["Trailer"], "Content-Digest, Export-Rows, Server-Timing")
        trailers = answer.body.trailers
        digest = base64.b64encode(hashlib.sha256(answer.data).digest()).decode()
        self.assertEqual((trailers["Content-Digest"], trailers["Export-Rows"]), (f"sha-256=:{digest}:", str(ROWS)))
        self.assertRegex(trailers["Server-Timing"], r"^queue;dur=[0-9.]+, hold;dur=[0-9.]+, client;dur=[0-9.]+$")
        self.assertNotIn("Trailer", self.get("/exports/orders.csv", client=client).head)

    # ---- how it ends

    def test_errors_before_the_first_byte(self):
        for sql, status, detail, end in [
                ("select nothing from orders", 500, "the query is not valid", "query_failed"),
                ("delete from orders", 403, None, None)]:
            with self.subTest(sql):
                self.query(sql)
                answer = self.get("/exports/x.csv")
                self.assertIn(answer.status, (status, 500, 502, 503))
                text = self.assert_problem(answer, answer.status)["detail"]
                self.assertNotIn("nothing", text, "what the database says is for logs only")
                if detail:
                    self.assertEqual((answer.status, text), (status, detail))
                    self.log(end=end, status=status)
                eventually(lambda: any("nothing" in line or "write" in line for line in self.gateway.errors), 5, "it is on stderr")
                self.rest_is_now()
                self.gateway.stop()
                self.gateway = self.leaks = None

    def test_no_such_database(self):
        self.path += ".not"
        self.serve()
        self.assert_problem(self.get("/exports/x.csv"), 503)
        self.rest_is_now()

    def test_an_error_behind_the_first_byte_is_seen(self):
        self.query(FAILS_LATE)
        for target, fields in [("/exports/x.csv", []), ("/exports/x.csv.gz", []), ("/exports/x.json", [("TE", "trailers")])]:
            client = self.client()
            client.request("GET", target, *fields)
            self.assertEqual(client.recv_head().status, 200)
            end = client.wait_end(10)
            self.assertEqual(end.kind, "reset")
            self.log(target=target, status=200, end="query_failed")
        self.rest_is_now()

    def test_limits(self):
        self.query("select id from orders", "        rows_max: 100\n")
        self.assertEqual(self.assert_problem(self.get("/exports/x.csv"), 500)["detail"], "the result is larger than allowed")
        self.log(end="query_failed", status=500)
        self.rest_is_now()

    def test_as_many_as_may_be(self):
        """503 if as many run as may, 429 if one client asks too often; both say when to come again."""
        self.serve(f"        query: {json.dumps(SILENT)}\n", route="requests_max: 1")
        busy = self.client()
        busy.request("GET", "/exports/busy.csv")
        eventually(lambda: self.gateway.live()["requests"] == 1, 5)
        answer = self.get("/exports/x.csv")
        self.assert_problem(answer, 503)
        self.assertEqual(answer.head["Retry-After"], "1")
        self.log(end="route_busy", status=503)
        busy.close()
        self.log(target="/exports/busy.csv", end="client_closed")
        self.rest_is_now()
        self.reload(self.config("        query: select 1 as one\n", route="rate_limit: {requests: 1, per: 1h}"), workers=1)
        self.assertEqual(self.get("/exports/x.csv").status, 200)
        answer = self.get("/exports/x.csv")
        self.assert_problem(answer, 429)
        self.assertGreater(int(answer.head["Retry-After"]), 0)

    def test_the_query_takes_too_long(self):
        self.query(SILENT, "        timeout: 300ms\n")
        self.assert_problem(self.get("/exports/x.csv"), 504)
        self.log(end="upstream_timeout", status=504)
        self.rest_is_now()

    QUICK = "\n        parameters: {quick: {type: integer, default: \"0\"}}\n"

    def one_connection(self, sql, queue=", queue_max: 1, acquire_timeout: 300ms"):
        # :quick makes it end at once.
        self.query(f"select * from ({sql}) where :quick = 0 limit case when :quick = 0 then -1 else 0 end", self.QUICK, source=f", pool_size: 1{queue}")
        self.check_released()
        self.rest_is_now()

    def test_all_connections_in_use(self):
        self.one_connection(SILENT)
        busy = self.client()
        busy.request("GET", "/exports/busy.csv")
        eventually(lambda: self.gateway.live()["requests"] == 1, 5)
        answer = self.get("/exports/second.csv")
        self.assertEqual(self.assert_problem(answer, 503)["detail"], "no connection to the database became free in time")
        self.assertEqual(answer.head["Retry-After"], "1")
        self.log(end="upstream_busy", status=503)
        busy.close()
        self.log(target="/exports/busy.csv", end="client_closed")
        self.check_released()

    def test_client_gone_while_queued(self):
        self.one_connection(SILENT, ", queue_max: 1, acquire_timeout: 30s")
        busy, waiting = self.client(), self.client()
        busy.request("GET", "/exports/busy.csv")
        eventually(lambda: self.gateway.live()["requests"] == 1, 5)
        waiting.request("GET", "/exports/waiting.csv")
        eventually(lambda: self.gateway.live()["requests"] == 2, 5)
        self.assertEqual(self.assert_problem(self.get("/exports/third.csv"), 503)["detail"], "too many exports wait for the database")
        waiting.reset()
        self.log(target="/exports/waiting.csv", status=None, end="client_reset")
        eventually(lambda: self.gateway.live()["requests"] == 1, 5)
        busy.close()
        self.check_released()

    def test_client_gone_while_the_query_is_silent(self):
        self.one_connection(SILENT)
        for way in ("close", "reset"):
            client = self.client()
            client.request("GET", "/exports/x.csv")
            eventually(lambda: self.gateway.live()["requests"] == 1, 5)
            getattr(client, way)()
            self.log(target="/exports/x.csv", end="client_closed" if way == "close" else "client_reset")
            self.check_released()

    def test_client_gone_while_rows_come(self):
        self.one_connection(ENDLESS)
        for target in ("/exports/x.csv", "/exports/x.ndjson.gz"):
            client = self.client(receive_buffer=4096)
            client.request("GET", target)
            self.assertEqual(client.recv_head().status, 200)
            client.reset()
            self.log(target=target, end="client_reset")
            self.check_released()

    def test_a_slow_client_does_not_hold_the_connection(self):
        self.one_connection("select id, hex(randomblob(1000)) as pad from orders limit 3000")
        slow = self.client(receive_buffer=4096)
        slow.request("GET", "/exports/slow.csv", ("TE", "trailers"))
        head = slow.recv_head()
        self.check_released()  # while nearly all is still to be taken
        body = slow.recv_body(head)
        self.assertEqual(len(list(csv.reader(io.StringIO(body.data.decode(), newline="")))), 3001)
        timing = timing_of(body)
        self.assertLessEqual(timing["hold"], timing["client"])

    def test_the_wait_for_a_connection_is_not_its_hold(self):
        """A pool of one: the second waits in the queue until the first has left."""
        admin = free_port()
        self.run_with(self.listener() + f"""
admin: {{address: '127.0.0.1:{admin}'}}
sources: {{shop: {{sqlite: '{self.path}', pool_size: 1, acquire_timeout: 60s}}}}
routes:
  - {{match: {{path: /silent}}, export: {{source: shop, query: "{SILENT}"}}}}
  - {{match: {{path: /orders}}, export: {{source: shop, query: select * from orders limit 10}}}}
""", workers=1)
        ask = lambda: {f["target"]: f for f in json.load(urllib.request.urlopen(f"http://127.0.0.1:{admin}/api/v1/flows"))["flows"]}
        first, second = self.client(), self.client()
        first.request("GET", "/silent")
        eventually(lambda: ask().get("/silent", {}).get("holding"))
        second.request("GET", "/orders", ("TE", "trailers"))
        wait = 0.7
        waits = eventually(lambda: (f := ask().get("/orders")) and f["waiting_ms"] > 1000 * wait and f, 10 * SLACK)
        self.assertEqual((waits["phase"], waits["waiting_for"], waits["holding"], waits["hold_ms"]), ("queue", "database", False, None))
        self.assertEqual((waits["stalled_by"], waits["stalled_ms"] > 500), ("database", True))
        first.reset()
        timing = timing_of(second.response().body)
        self.assertGreater(timing["queue"], 1000 * wait)
        self.assertLess(timing["hold"], timing["queue"], "ten rows")
        line = self.log(target="/orders").all
        self.assertGreater(line["queue_ms"], 1000 * wait)
        self.assertLess(line["hold_ms"], line["queue_ms"])
        self.leaks = None  # a session of the database is kept, which is no leak

    def test_reload_in_the_middle(self):
        self.one_connection(ENDLESS)
        client = self.client(receive_buffer=4096)
        client.request("GET", "/exports/x.csv")
        client.recv_head()
        self.reload(self.config(f"        query: {json.dumps('select 1 as one')}\n"), workers=1)
        self.assertEqual(self.get("/exports/y.csv").data, b"one\r\n1\r\n")
        self.assertEqual(self.gateway.live()["requests"], 1, "the one that was begun goes on")
        client.reset()
        self.log(target="/exports/x.csv", end="client_reset")
        self.rest_is_now()

    def test_the_gateway_ends(self):
        self.run_with(self.config(f"        query: {json.dumps(SILENT)}\n"), workers=1, more=", drain_timeout: 300ms")
        client = self.client()
        client.request("GET", "/exports/x.csv")
        eventually(lambda: self.gateway.live()["requests"] == 1, 5)
        self.leaks = None
        self.gateway.signal(signal.SIGTERM)
        self.assert_problem(client.response(), 503)
        self.log(end="drained", status=503)
        self.assertEqual(self.gateway.process.wait(10), 0)


class ExportConfigs(RunCase):
    def test_what_is_wrong_is_told(self):
        for body, message in [
                ("source: shop, query: 'select 1; select 2'", "statement"), ("source: shap, query: 'select 1'", "shop"),
                ("source: shop, query: 'select :a'", "parameter"), ("source: shop, query: 'select 1', parameters: {a: {}}", "has no parameter"),
                ("source: shop, query: 'select :a', parameters: {a: {type: integer, default: x}}", "not a whole number"),
                ("source: shop, query: 'select :a', parameters: {a: {required: true, default: x}}", "no use for a default"),
                ("source: shop, query: 'select ?'", "need names"),
                ("source: shop, query: 'select :a', parameters: {a: {pattern: '(x'}}", "RE2 does not take this: missing ): (x"),
                ("source: shop, query: 'select :a', parameters: {a: {pattern: x+, default: y}}", "does not match the pattern"),
                *((f"source: shop, query: 'select 1', csv: {{delimiter: {d}}}", "is not 'tab' or one ASCII character") for d in ('\'"\'', '"\\n"', "ab", "''", "ä", "x")),
                ("source: shop, query: 'select 1', csv: {delimiter: ';', null_text: a;b}", "the delimiter stands in it"),
                ("source: shop, query: 'select 1', csv: {null_text: '\"'}", "without quotes and ends of lines"),
                ("source: shop, query: 'select 1', csv: {quote: some}", "minimal"), ("source: shop, query: 'select 1', non_utf8: keep", "replace"),
                ("source: shop, query: 'select 1', filename: 'a-{b}'", "there is no parameter 'b'"), ("source: shop, query: 'select 1', formats: [xml]", "csv, ndjson or json")]:
            with self.subTest(body):
                self.write(self.listener() + f"sources: {{shop: {{sqlite: /tmp/x.db}}}}\nroutes: [{{export: {{{body}}}}}]\n")
                done = subprocess.run([BINARY, "validate", "-c", str(self.file)], capture_output=True, text=True, check=False, timeout=20)
                self.assertEqual(done.returncode, 1)
                self.assertIn(message, done.stderr)
                self.assertRegex(done.stderr, r"config.yaml:\d+:\d+: |:\d+:\d+: ")
        self.write(self.listener() + "sources: {shop: {sqlite: /tmp/x.db}}\nroutes:\n"
                   "  - {match: {path: /x}, export: {source: shop, query: 'select 1', formats: [csv]}}\n  - {match: {path: /x.csv.gz}, respond: {status: 204}}\n")
        done = subprocess.run([BINARY, "validate", "-c", str(self.file)], capture_output=True, text=True, check=False, timeout=20)
        self.assertIn("can take the same request", done.stderr)
        self.write(self.listener() + "sources: {shop: {sqlite: /tmp/x.db}}\nroutes: [{match: {path: /x}, export: {source: shop, query: 'select :a', parameters: {a: {from: header, key: X-A}}}}]\n")
        done = subprocess.run([BINARY, "explain", "-c", str(self.file), "GET", "/x"], capture_output=True, text=True, check=True, timeout=20)
        self.assertRegex(done.stdout, r"rows of a query to the source shop[^\n]*\n    :a is text, from the header X-A\n(.|\n)*timeout +5m")



@unittest.skipIf(PROGRAMS is None, "PostgreSQL is not installed")
class OfPostgres(RunCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Postgres()
        cls.addClassCleanup(cls.server.close)
        cls.server.sql("create table orders as select i as id, case i % 2 when 0 then 'north' else 'south' end as region, i / 4.0 as total "
                       "from generate_series(1, 100000) i")

    def serve(self, sql, more="", server="", pool="pool_size: 1"):
        self.run_with(self.listener() + f"""
sources: {{shop: {{postgres: '{self.server.source}', {pool}}}}}
routes:
  - match: {{path_prefix: /exports/}}
    export:
        source: shop
        query: {json.dumps(sql)}
{more}
""", workers=1, more=server)

    def active(self):
        return int(self.server.sql("select count(*) from pg_stat_activity where state <> 'idle' and pid <> pg_backend_pid() and backend_type = 'client backend'"))

    def test_rows_with_a_bound_parameter(self):
        self.serve("select * from orders where region = :region order by id", "        parameters: {region: {}}")
        answer = self.client().exchange("GET", "/exports/x.csv?region=south")
        rows = list(csv.reader(io.StringIO(answer.data.decode(), newline="")))
        self.assertEqual((answer.status, rows[0], rows[1], len(rows)), (200, ["id", "region", "total"], ["1", "south", "0.25000000000000000000"], 50_001))
        self.assertEqual(self.client().exchange("GET", "/exports/x.csv?region=" + "o'hara").data, b"id,region,total\r\n")
        self.rest_is_now()

    def test_who_leaves_ends_the_query_and_the_session_is_used_again(self):
        self.serve("select generate_series(1, 100000000) as i, repeat('x', 500), pg_backend_pid()")
        for target in ("/exports/x.csv", "/exports/x.json"):
            client = self.client(receive_buffer=65536)
            client.request("GET", target)
            self.assertEqual(client.recv_head().status, 200)
            self.assertEqual(self.active(), 1)
            client.reset()
            eventually(lambda: self.active() == 0, 5, "the query is cancelled")
        sessions = "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
        eventually(lambda: self.server.sql(sessions) == "1\n", 10, "one session is left")
        self.rest_is_now()

    def many(self, count, sql):
        """A pool of four, and so many clients at once that read nothing yet. `:n` is how many rows there are."""
        self.serve(sql, "        parameters: {n: {type: integer, default: \"100000000\"}}", pool="pool_size: 4, queue_max: 1000, acquire_timeout: 1m")
        self.assertEqual(self.client().exchange("GET", "/exports/x.csv?n=1").status, 200)
        self.rest_is_now()
        crowd = Crowd(self.gateway.address, count, request("GET", "/exports/x.csv" + ("?n=12000" if count < 100 else "")), receive_buffer=16384)
        self.adopt(crowd)
        return crowd

    def test_five_hundred_that_leave(self):
        crowd = self.many(500, "select i, repeat('x', 500) as pad from (select generate_series(1, :n::int) i) as streamed")
        eventually(lambda: self.gateway.live()["requests"] == 500 and self.active() == 4, 20)
        crowd.vanish(7)
        eventually(lambda: self.active() == 0, 10, "all queries are cancelled")
        for answer in [self.client().exchange("GET", "/exports/x.csv?n=3") for _ in range(5)]:
            self.assertEqual((answer.status, answer.data.count(b"\r\n")), (200, 4))
        self.rest_is_now()

    @unittest.skipIf(SANITIZED, "300 MB are spooled and read")
    def test_fifty_that_do_not_read_hold_no_connection(self):
        crowd = self.many(50, "select i, repeat('x', 500) as pad from (select generate_series(1, :n::int) i) as streamed")
        eventually(lambda: self.gateway.live()["requests"] == 50, 20)
        crowd.receive(100)  # each has had its turn
        eventually(lambda: self.active() == 0, 20, "the database has done its part")
        self.assertEqual(self.gateway.live()["requests"], 50, "nobody has read its six megabytes yet")
        for sock in crowd.socks:
            got = b""
            while not got.endswith(b"\r\n0\r\n\r\n"):
                data = sock.recv(1 << 20)
                self.assertTrue(data, "an end after %d bytes" % len(got))
                got = got[-10:] + data
        crowd.close()
        self.rest_is_now()

    def test_who_leaves_while_the_database_is_silent(self):
        self.serve("select pg_sleep(3600)")
        client = self.client()
        client.request("GET", "/exports/x.csv")
        eventually(lambda: self.active() == 1, 5)
        client.close()
        eventually(lambda: self.active() == 0, 5, "the query is cancelled")
        self.log(end="client_closed")
        self.rest_is_now()

    def idle_since(self):
        """When the session became idle, by this machine's clock."""
        return float(self.server.sql("select coalesce(max(extract(epoch from state_change)), 0) from pg_stat_activity "
                                     "where state = 'idle' and application_name = 'headgate'"))

    def test_a_cancel_takes_less_than_a_tenth_of_a_second(self):
        self.serve("select pg_sleep(3600)")
        taken = []
        for _ in range(5):
            client = self.client()
            client.request("GET", "/exports/x.csv")
            eventually(lambda: self.active() == 1, 5)
            gone = time.time()
            client.reset()
            eventually(lambda: self.idle_since() > gone, 5, "the session is idle again")
            taken.append(self.idle_since() - gone)
        self.assertLess(min(taken), 0.1, taken)
        self.rest_is_now()

    def test_for_a_client_that_has_gone_no_query_is_begun(self):
        self.serve("select 1 as one")
        self.assertEqual(self.client().exchange("GET", "/exports/x.csv").status, 200)
        self.rest_is_now()
        begun = "select query_start from pg_stat_activity where application_name = 'headgate'"
        before = self.server.sql(begun)
        self.gateway.signal(signal.SIGSTOP)
        client = self.client()
        client.request("GET", "/exports/gone.csv")
        client.close()
        self.gateway.signal(signal.SIGCONT)
        self.log(target="/exports/gone.csv", end="client_closed")
        self.assertEqual(self.server.sql(begun), before)

    def test_the_server_ends_a_query_by_itself_if_we_cannot(self):
        self.serve("select pg_sleep(3600)", "        timeout: 1s")
        client = self.client()
        client.request("GET", "/exports/x.csv")
        eventually(lambda: self.active() == 1, 5)
        self.gateway.signal(signal.SIGSTOP)
        try:
            eventually(lambda: self.server.sql("select count(*) from pg_stat_activity where query like '%pg_sleep%' and state = 'active' and pid <> pg_backend_pid()") == "0\n", 10,
                       "statement_timeout follows from the deadline")
        finally:
            self.gateway.signal(signal.SIGCONT)
        self.assert_problem(client.response(), 504)
        eventually(lambda: self.active() == 0, 5, "the session is idle again")
        self.rest_is_now()

    def test_a_deadline_behind_the_first_byte(self):
        self.serve("select generate_series(1, 100000000) as i, repeat('x', 500), pg_sleep(0.001)", "        timeout: 1500ms")
        client = self.client()
        client.request("GET", "/exports/x.csv", ("TE", "trailers"))
        self.assertEqual(client.recv_head().status, 200)
        self.assertEqual(client.wait_end(10).kind, "reset")
        self.log(target="/exports/x.csv", status=200, end="upstream_timeout")
        eventually(lambda: self.active() == 0, 5)
        self.rest_is_now()

    def test_the_server_restarts_in_the_middle(self):
        self.serve("select generate_series(1, :n) as i, repeat('x', 500)", "        parameters: {n: {type: integer, default: \"3\"}}")
        client = self.client(receive_buffer=65536)
        client.request("GET", "/exports/x.csv?n=100000000")
        self.assertEqual(client.recv_head().status, 200)
        self.server.restart()
        self.assertEqual(client.wait_end(10).kind, "reset")
        self.log(status=200, end="upstream_unreachable")
        self.assertEqual(self.client().exchange("GET", "/exports/x.csv").data.count(b"\r\n"), 4)
        self.rest_is_now()

    def test_errors_and_a_limit_of_time(self):
        self.serve("select 1 / (:n - 1) as a", "        parameters: {n: {type: integer}}")
        self.assert_problem(self.client().exchange("GET", "/exports/x.csv?n=1"), 400)
        self.assertEqual(self.client().exchange("GET", "/exports/x.csv?n=2").data, b"a\r\n1\r\n")
        self.rest_is_now()

    def test_a_query_that_takes_too_long(self):
        self.serve("select pg_sleep(3600)", "        timeout: 300ms")
        self.assert_problem(self.client().exchange("GET", "/exports/x.csv"), 504)
        eventually(lambda: self.active() == 0, 5)
        self.rest_is_now()

    def test_the_end_of_the_gateway_is_the_end_of_the_query(self):
        self.serve("select pg_sleep(3600)", server=", drain_timeout: 300ms")
        client = self.client()
        client.request("GET", "/exports/x.csv")
        eventually(lambda: self.active() == 1, 5)
        self.gateway.signal(signal.SIGTERM)
        self.gateway.wait_exit()
        eventually(lambda: self.active() == 0, 5, "the query is cancelled")


if __name__ == "__main__":
    unittest.main()
