#!/usr/bin/env python3
"""`./dev bench` measures everything it says it does: a quick run of it, whose numbers mean nothing."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from xml.etree import ElementTree

from support import BINARY, SANITIZED
from support.postgres import PROGRAMS

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.append(str(BENCH))
from compare import SCENARIOS  # noqa: E402

NAMES = [s.name for s in SCENARIOS if PROGRAMS or s.name != "exports"]


@unittest.skipIf(SANITIZED, "what a sanitizer slows down is measured elsewhere")
class Bench(unittest.TestCase):
    def run_it(self, folder, *arguments):
        page = Path(folder) / "page.md"
        done = subprocess.run([sys.executable, "-B", BENCH / "compare.py", "--quick", "--output", page, *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=350, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        text = page.read_text()
        self.assertIn(text, done.stdout)
        self.assertIn("page.svg", text)
        ElementTree.parse(page.with_suffix(".svg"))
        return text

    def rows(self, text, name):
        return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith(f"| {name} ")]

    def test_each_scenario(self):
        with tempfile.TemporaryDirectory() as folder:
            text = self.run_it(folder, "--peers", "", "--scenarios", ",".join(NAMES))
        for name in NAMES:
            row = self.rows(text, name)[0]
            self.assertRegex(row[1], r"^[\d.,]+$", name)

    def test_beside_a_peer(self):
        with tempfile.TemporaryDirectory() as folder:
            text = self.run_it(folder, "--peers", "nginx", "--scenarios", "churn,upload-chunked")
            self.assertEqual(sorted(os.listdir(folder)), ["page.md", "page.svg"])
        for name in ("churn", "upload-chunked"):
            row = self.rows(text, name)[0]
            self.assertRegex(row[2], r"^[\d.,]+ \(nginx\)$")
            self.assertRegex(row[4], r"^\d+\.\d\d$")
        self.assertEqual(len(self.rows(text, "splice relay")), 1)


if __name__ == "__main__":
    if not BINARY:
        sys.exit("HEADGATE_BIN must name the gateway's program")
    unittest.main()
