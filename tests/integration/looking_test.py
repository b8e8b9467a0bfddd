#!/usr/bin/env python3
"""What people look at a real gateway with: `headgate top`, `flows` and `status`, the board and the alerts."""

import json
import re
import subprocess
import unittest
import urllib.request
from pathlib import Path

from support import BINARY, SLACK, RunCase, eventually, free_port
from support.terminal import Terminal

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
SUFFIXES = re.compile(r"_(bucket|sum|count)$")


def endless(conn):
    """An origin that sends for as long as it is let."""
    conn.recv_request()
    conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\nContent-Type: text/plain\r\n\r\n")
    try:
        while True:
            conn.send(b"x" * 65536)
    except OSError:
        pass


class Looking(RunCase):
    def setUp(self):
        super().setUp()
        self.admin_name = f"127.0.0.1:{free_port()}"

    def look_at(self, script):
        origin = self.origin_named("downloads", script)
        self.run_with(self.listener() + f"admin: {{address: '{self.admin_name}'}}\n"
                      f"tracing: {{collector: 'http://127.0.0.1:{free_port()}', sampling: 0}}\n"
                      "routes: [{name: downloads, proxy: {upstream: files}}]\n"
                      f"upstreams: {{files: {{endpoints: ['{origin.name}']}}}}\n")

    def command(self, *arguments):
        return subprocess.run([BINARY, *arguments, "-c", str(self.file)], text=True, capture_output=True, check=False, timeout=60)

    def stalled_client(self):
        client = self.client(receive_buffer=4096)
        client.request("GET", "/big")
        client.recv_head()
        return client

    def test_a_stalled_client_in_flows_status_and_top(self):
        self.look_at(endless)
        self.assertEqual(self.command("flows").returncode, 3, "nothing is under way")
        self.assertRegex(self.command("status").stdout, r"ready, .*\n0 flows, 0 stalled, ")
        client = self.stalled_client()
        flows = eventually(lambda: self.stalled_flows(), 20 * SLACK, "the client is seen to be stalled")
        self.assertEqual([f["verdict"]["party"] for f in flows], ["client"])
        self.assertRegex(self.command("flows").stdout, r"client \d\S* s .* 127\.0\.0\.1 +downloads +GET /big\n")

        terminal = Terminal([BINARY, "top", "-c", str(self.file)], environment={"NO_COLOR": "1"})
        self.addCleanup(terminal.close)
        terminal.wait_for(r"^The client 127\.0\.0\.1 has taken nothing for \d", 20 * SLACK)
        terminal.type("\r")
        terminal.wait_for(r"> client .* takes nothing: \d", 20 * SLACK)
        terminal.wait_for(r"^what it did: ", 20 * SLACK)
        terminal.type("xy")
        terminal.wait_for(r"is aborted$", 20 * SLACK)
        self.assertEqual(client.wait_end(10 * SLACK).kind, "reset")
        terminal.type("qq")
        self.assertEqual(terminal.wait_exit(), 0)
        self.assertTrue(terminal.restored())

    def stalled_flows(self):
        done = self.command("flows", "--json", "--stalled", "2s")
        return json.loads(done.stdout)["flows"] if done.returncode == 0 else None

    def test_the_metrics_of_the_board_and_the_alerts_are_there(self):
        self.look_at(endless)
        with urllib.request.urlopen(f"http://{self.admin_name}/metrics", timeout=20) as answer:
            there = set(re.findall(r"^# TYPE (\S+) ", answer.read().decode(), re.MULTILINE))
        board = json.loads((PACKAGING / "grafana" / "headgate.json").read_text(encoding="utf-8"))
        text = " ".join(target["expr"] for panel in board["panels"] for target in panel.get("targets", []))
        text += " ".join(note["expr"] for note in board["annotations"]["list"])
        text += " ".join(re.findall(r"expr: (.*?)(?=\n +(?:for|labels):)", (PACKAGING / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"), re.DOTALL))
        named = {SUFFIXES.sub("", name) for name in re.findall(r"\b(?:headgate|process)_\w+", text)}
        self.assertGreater(len(named), 20)
        self.assertEqual(named - there, set())


if __name__ == "__main__":
    unittest.main()
