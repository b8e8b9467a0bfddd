#!/usr/bin/env python3
"""The alert rules and the Grafana board: Prometheus' own tool understands every expression, and the alerts fire when they should."""

import json
import pathlib
import subprocess
import tempfile
import unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
RULES = ROOT / "packaging/prometheus"
BOARD = ROOT / "packaging/grafana/headgate.json"
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*", "$route": ".*"}


def board_expressions():
    board = json.loads(BOARD.read_text())
    found = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    found += [note["expr"] for note in board["annotations"]["list"]]
    for name, value in VARIABLES.items():
        found = [expression.replace(name, value) for expression in found]
    return found


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], text=True, capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


class Monitoring(unittest.TestCase):
    def test_alert_rules(self):
        self.assertEqual(promtool("check", "rules", RULES / "alerts.yaml")[0], 0, promtool("check", "rules", RULES / "alerts.yaml")[1])

    def test_alerts_fire_when_they_should(self):
        status, text = promtool("test", "rules", RULES / "alerts_test.yaml")
        self.assertEqual(status, 0, text)

    def test_board_expressions(self):
        expressions = board_expressions()
        self.assertGreater(len(expressions), 30)
        rules = [{"record": f"board:{i}", "expr": expression} for i, expression in enumerate(expressions)]
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}, file)
            file.flush()
            status, text = promtool("check", "rules", file.name)
        self.assertEqual(status, 0, text)
        self.assertEqual([e for e in expressions if "$" in e], [], "variables that the board does not have")

    def test_board_layout(self):
        taken = set()
        for panel in json.loads(BOARD.read_text())["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(taken & cells, f"{panel['title']} lies on another panel")
            self.assertLessEqual(at["x"] + at["w"], 24)
            taken |= cells
            if panel["type"] != "row":
                self.assertTrue(panel["description"], panel["title"])


if __name__ == "__main__":
    unittest.main()
