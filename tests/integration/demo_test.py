"""The demonstration: it shows what it says, fits a terminal, and keeps serving until it is interrupted."""

import os
import re
import signal
import subprocess
import sqlite3
import sys
import tempfile
import unittest
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "demo"))
from shop import Shop  # noqa: E402

DEMO = [sys.executable, str(ROOT / "demo" / "demo.py"), "--quick"]
VERDICTS = ("download: arrived", "upload: arrived", "left mid-download: teardown", "left a silent stream: teardown",
            "slow client: in flight", "slow client: the page blames", "chunked, close: curl", "stalled upstream: answer", "export to 3G: rows",
            "export to 3G: database held", "tab closed: next export after", "alive in the gateway")


class DemoTest(unittest.TestCase):
    def test_everything_is_as_expected(self):
        result = subprocess.run([*DEMO, "--exit"], capture_output=True, text=True, timeout=100)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(result.stderr, "")
        table = result.stdout[result.stdout.index("what  "):]
        for what in VERDICTS:
            self.assertRegex(table, rf"(?m)^.*{what} .* (ok|-)$")
        self.assertNotIn("FAIL", result.stdout)
        self.assertNotIn("\033", result.stdout, "colours, though it is no terminal")
        self.assertLessEqual(max(map(len, result.stdout.splitlines())), 80)

    def test_it_keeps_serving_until_it_is_interrupted(self):
        with subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
            try:
                shown = ""
                while "Its access log follows" not in shown:
                    line = demo.stdout.readline()
                    self.assertTrue(line, shown)
                    shown += line
                url = re.search(r"curl (http://\S+/hello)", shown)[1]
                with urllib.request.urlopen(url, timeout=10) as response:
                    self.assertIn(b"Hello", response.read())
                page = re.search(r"is slow: see (http://\S+/)", shown)[1]
                with urllib.request.urlopen(page, timeout=10) as response:
                    self.assertIn(b"<title>", response.read())
                self.assertRegex(demo.stdout.readline(), r" 200 GET /hello .* end=complete ")
                demo.send_signal(signal.SIGINT)
                self.assertEqual(demo.wait(20), 0, shown)
            finally:
                demo.kill()

    def test_the_database_is_made_once(self):
        with tempfile.TemporaryDirectory() as folder:
            shown = []
            shop = Shop(Path(folder) / "demo", 60_000, lambda made, _: shown.append(made))
            self.assertEqual(shown, [0, 25_000, 50_000, 60_000])
            db = sqlite3.connect(shop.file)
            self.assertEqual(db.execute("select count(*), max(id) from orders").fetchone(), (60_000, 60_000))
            db.close()
            self.assertEqual(os.listdir(shop.file.parent), [shop.file.name])
            self.assertEqual(Shop(shop.file.parent, 60_000, self.fail).file, shop.file)

    def test_a_database_that_cannot_be_kept_is_made_elsewhere(self):
        with tempfile.NamedTemporaryFile() as no_folder:
            shop = Shop(Path(no_folder.name), 10, lambda *_: None)
            self.assertTrue(shop.file.exists())
            shop.made.cleanup()

    def test_a_missing_gateway_is_said(self):
        result = subprocess.run([*DEMO, "--gateway", "/nonexistent/headgate"], capture_output=True, text=True,
                                timeout=20)
        self.assertEqual(result.returncode, 1)
        self.assertIn("no gateway at /nonexistent/headgate", result.stderr)
        self.assertNotIn("Traceback", result.stderr)


if __name__ == "__main__":
    if not os.environ.get("HEADGATE_BIN"):
        sys.exit("HEADGATE_BIN must name the gateway's program")
    unittest.main()
