"""The report of ./dev bench: what is a ratio to what, and where it is saved."""

import sys
import tempfile
import unittest
from argparse import Namespace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
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
                         ["headgate", "2.00 [1.00 - 3.00]", "0.50", "0.80", "10.0"])
        self.assertRegex(next(line for line in text if line.startswith("| direct")), r"\| +- \| +- \| +- \| +20\.0 \|")
        self.assertEqual(len({len(line) for line in text if line.startswith("|")}), 1, "not aligned")

    def test_a_proxy_that_could_not_be_measured_is_named_and_not_compared_with(self):
        measured = {"headgate": Measured([2]), "nginx": Measured(problem="not installed"), "haproxy": Measured([1])}
        text = report.table(scenario("idle"), measured)
        self.assertIn("nginx: not installed.", text)
        self.assertFalse(any(line.startswith("| nginx") for line in text))
        summary = report.summary([scenario("idle")], {"idle": measured})
        self.assertEqual([cell.strip() for cell in summary[-1].split("|")[1:-1]],
                         ["idle", "2.00", "-", "1.00", "bytes/connection", "-", "2.00"])

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
        options = Namespace(proxy_core=0, load_core=1, rounds=1, peers=[], headgate="/nonexistent")
        measured = {"headgate": Measured([2.5], [100], [0.9], [0.01]), "nginx": Measured([5], [50], [0.9], [0.01])}
        text = report.markdown([scenario("small")], {"small": measured}, options, "loopback", 3)
        self.assertLessEqual(max(map(len, text.splitlines())), 120)
        text = " ".join(text.split())
        self.assertIn("headgate (not there)", text)
        self.assertIn("median of 1 round,", text)


if __name__ == "__main__":
    unittest.main()
