#!/usr/bin/env python3
"""The suite's own judgement: that it reads its tables as they are meant, and that it notices a proxy that does nothing."""

import socket
import sys
import tempfile
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from suite import cases  # noqa: E402
from suite.exchange import Slot  # noqa: E402
from suite.messages import ProtocolError, read_request, read_responses  # noqa: E402


class Relay:
    """A proxy that understands nothing: it passes bytes on, both ways."""

    name = "relay"
    patience = 0.5

    def __init__(self, origin):
        host, _, port = origin.partition(":")
        self.origin = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, socket.create_connection(self.origin) as upstream:
            back = threading.Thread(target=self.pump, args=(upstream, client), daemon=True)
            back.start()
            self.pump(client, upstream)
            back.join()

    def pump(self, a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Control(unittest.TestCase):
    """A relay does right what asks for nothing, and wrong all that asks for care."""

    def setUp(self):
        self.slot = Slot(Relay)
        self.cases = cases.load()

    def tearDown(self):
        self.slot.stop()

    def play(self, group, name):
        found = [case for case in self.cases if (case.group, case.name) == (group, name)]
        self.assertEqual(len(found), 1, f"{group}: {name}")
        return self.slot.play(found[0])

    def test_what_it_does_right(self):
        for group, name in [("method", "GET"), ("Content-Length", "one number"), ("chunks", "cut inside the framing"),
                            ("whole bodies", "by length"), ("whole bodies", "in chunks"),
                            ("cut bodies", "in a chunk, by FIN"),
                            ("requests one after the other", "five, with and without bodies")]:
            with self.subTest(f"{group}: {name}"):
                self.assertIsNone(self.play(group, name))

    def test_what_it_does_wrong(self):
        for group, name in [("method", "with NUL"), ("Host", "missing"), ("hop-by-hop fields", "a field that is named"),
                            ("what a gateway adds", "Via"), ("chunks", "LF behind the size"), ("version", "HTTP/1.0"),
                            ("requests one after the other", "behind close"),
                            ("one reads the length, the other the chunks", "TE.CL"),
                            ("framing of responses", "two lengths that differ"), ("fields of responses", "NUL in a value"),
                            ("whole bodies", "chunks for a client of HTTP/1.0"),
                            ("interim responses", "101 that nobody asked for"),
                            ("bytes behind a response", "a response behind a length"),
                            ("bytes behind a response", "a response behind chunks, later"),
                            ("bytes behind a response", "one byte behind a length, later")]:
            with self.subTest(f"{group}: {name}"):
                self.assertIsNotNone(self.play(group, name))


class Tables(unittest.TestCase):
    def test_all_can_be_read(self):
        for table, least in (("requests", 250), ("responses", 80), ("smuggling", 40)):
            self.assertGreaterEqual(len(cases.load([table])), least)

    def read(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.txt"
            path.write_text(text, encoding="ascii")
            return cases.read(path, "requests")

    def test_notation(self):
        [case] = self.read("define A x\\r\\n\ngroup g\nrfc 1\nwhy because\nwant refused 400\n\n"
                           "case c\nsend \\{A}\\(ab*3)\\x00\\0\\\\\n  \\s\\|\\~end\n")
        self.assertEqual(case.send, [b"x\r\nababab\0\0\\ ", cases.CUT, cases.WAIT, b"end"])
        self.assertEqual(case.wants[0][0].statuses, (400,))

    def test_own_verdicts_replace_those_of_the_group(self):
        first, second = self.read("group g\nrfc 1\nwhy because\nwant refused 400\n\ncase a\nwant forwarded\nbody x\n"
                                  "then refused 431\nwant dropped\n\ncase b\n")
        self.assertEqual([[step.kind for step in want] for want in first.wants], [["forwarded", "refused"], ["dropped"]])
        self.assertEqual(first.wants[0][0].all("body"), [b"x"])
        self.assertEqual([step.kind for step in second.wants[0]], ["refused"])

    def test_mistakes_are_told(self):
        for text in ("case c\n", "group g\nrfc 1\nwhy w\ncase c\n", "group g\nsned x\n", "group g\nwant forwarde\n",
                     "group g\nsend \\q\n", "group g\nsend \\{NONE}\n"):
            with self.assertRaises(cases.Malformed, msg=text):
                self.read(text)


class Messages(unittest.TestCase):
    def test_malformed_requests(self):
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\nHost: a\r\n\r\n", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
                     b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
                     b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n"):
            with self.assertRaises(ProtocolError, msg=data):
                read_request(data, 0)

    def test_how_a_response_ends(self):
        def complete(data, end, method="GET"):
            return [response.complete for response in read_responses(data, [method], end)]
        length, chunks = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.assertEqual(complete(length + b"abc", None), [True])
        self.assertEqual(complete(length + b"ab", "fin"), [False])
        self.assertEqual(complete(length, None, "HEAD"), [True])
        self.assertEqual(complete(chunks + b"3\r\nabc\r\n0\r\n", "fin"), [False])
        self.assertEqual(complete(chunks + b"3\r\nabc\r\n0\r\n\r\n", None), [True])
        self.assertEqual(complete(b"HTTP/1.1 200 OK\r\n\r\nabc", None), [False])
        self.assertEqual(complete(b"HTTP/1.1 200 OK\r\n\r\nabc", "reset"), [False])
        self.assertEqual(complete(b"HTTP/1.1 200 OK\r\n\r\nabc", "fin"), [True])
        self.assertEqual(complete(length + b"abcHTTP/1.1 20", None), [True, False])


if __name__ == "__main__":
    unittest.main()
