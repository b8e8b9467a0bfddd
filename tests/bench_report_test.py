"""The report of ./dev bench: what is a ratio to what, and where it is saved."""

import sys
import tempfile
import unittest
from argparse import Namespace
from pathlib import Path
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
import charts  # noqa: E402
import report  # noqa: E402
from compare import SCENARIOS, Measured  # noqa: E402


def scenario(name):
    return next(s for s in SCENARIOS if s.name == name)


class ReportTest(unittest.TestCase):
    def test_medians_and_their_ratios(self):
        measured = {"headgate": Measured([3, 1, 2], [10]), "nginx": Measured([4, 4, 4], [5]),
                    "haproxy": Measured([2.5], [5]), "direct": Measured([], [20])}
        text = report.table(scenario("small"), measured)
        row = next(line for line in text if line.startswith("| headgate"))
        self.assertEqual([cell.strip() for cell in row.split("|")[1:-1]],
                         ["headgate", "2.00 [1.00 - 3.00]", "0.80", "10.0"])
        self.assertRegex(next(line for line in text if line.startswith("| direct")), r"\| +- \| +- \| +20\.0 \|")
        self.assertEqual(len({len(line) for line in text if line.startswith("|")}), 1, "not aligned")

    def test_a_proxy_that_could_not_be_measured_is_named_and_not_compared_with(self):
        measured = {"headgate": Measured([2]), "nginx": Measured(problem="not installed"), "haproxy": Measured([1])}
        text = report.table(scenario("idle"), measured)
        self.assertIn("nginx: not installed.", text)
        self.assertFalse(any(line.startswith("| nginx") for line in text))
        summary = report.summary([scenario("idle")], {"idle": measured})
        self.assertEqual([cell.strip() for cell in summary[-1].split("|")[1:-1]],
                         ["idle", "2.00", "1.00 (haproxy)", "bytes/connection", "2.00", "1.00"])

    def test_limits_are_no_peers(self):
        measured = {"headgate": Measured([1.2]), "nginx": Measured([3]), "splice relay": Measured([1]), "direct": Measured([])}
        row = report.summary([scenario("download")], {"download": measured})[-1]
        self.assertEqual([cell.strip() for cell in row.split("|")[1:-1]],
                         ["download", "1.20", "3.00 (nginx)", "s CPU/GiB", "0.40", "1.05 of splice relay: 1.20"])

    def test_other_columns(self):
        measured = {"headgate": Measured([1], [4000], {"p50": [0.1, 0.3, 0.2], "p99": [1]}), "nginx": Measured([2], [4000])}
        text = report.table(scenario("events"), measured)
        self.assertRegex(next(line for line in text if line.startswith("| headgate")), r"\| +0\.200 \| +1\.00 \|$")
        self.assertRegex(next(line for line in text if line.startswith("| nginx")), r"\| +- \| +- \|$")

    def test_the_chart(self):
        measured = {"headgate": Measured([1]), "nginx": Measured([2]), "haproxy": Measured([10]), "caddy": Measured(problem="no"),
                    "direct": Measured([], [1])}
        drawn = charts.chart([scenario("small"), scenario("idle")], {"small": measured, "idle": {"headgate": Measured([1])}})
        root = ElementTree.fromstring(drawn)
        bars = [float(bar.get("width")) for bar in root.iter("{http://www.w3.org/2000/svg}rect") if "%" not in bar.get("width")]
        self.assertEqual(len(bars), 3)
        self.assertAlmostEqual(bars[0] * 2, bars[1], delta=0.2)
        self.assertEqual(bars[2], max(bars), "cut, and said")
        texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("haproxy 10.0  (5.0 times)", texts)
        self.assertNotIn("idle", texts, "nothing to compare with")

    def test_a_noisy_machine_is_said(self):
        quiet, noisy = Measured(others=[0.01, 0.02]), Measured(others=[0.3, 0.4])
        self.assertNotIn("quieter", report.noise({"small": {"nginx": quiet}}))
        self.assertIn("quieter machine", report.noise({"small": {"nginx": noisy}}))

    def test_only_the_marked_section_of_a_file_is_replaced(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.md"
            page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
            report.save(page, "new\n")
            self.assertEqual(page.read_text(), f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n")
            plain = Path(folder) / "new" / "plain.md"
            report.save(plain, "new\n")
            self.assertEqual(plain.read_text(), "new\n")

    def test_the_whole_text_fits_the_page(self):
        options = Namespace(proxy_core=0, load_core=1, rounds=1, peers=[], headgate="/nonexistent", output=Path("page.md"))
        measured = {"headgate": Measured([2.5], [100], {}, [0.01]), "nginx": Measured([5], [50], {}, [0.01])}
        text = report.markdown([scenario("small")], {"small": measured}, options, "loopback", 3)
        self.assertLessEqual(max(map(len, text.splitlines())), 120)
        text = " ".join(text.split())
        self.assertIn("headgate (not there)", text)
        self.assertIn("median of 1 round,", text)


if __name__ == "__main__":
    unittest.main()
