#!/usr/bin/env python3
"""What a gateway tells of itself while something is wrong with it: what everything in it waits for."""

import re
import subprocess
import unittest

from support import BINARY, RunCase, eventually, free_port, request


class Dump(RunCase):
    def setUp(self):
        super().setUp()
        self.admin_port = free_port()

    def serve_origin(self, origin):
        self.run_with(self.listener() + f"routes: [{{proxy: {{upstream: x}}}}]\nupstreams: {{x: {{endpoints: ['{origin.name}']}}}}\n"
                      f"admin: {{address: '127.0.0.1:{self.admin_port}'}}\n", workers=1)

    def dump(self, *arguments):
        return subprocess.run([BINARY, "dump", "--admin", f"127.0.0.1:{self.admin_port}", *arguments], text=True,
                              capture_output=True, check=False, timeout=60)
    def test_shows_what_every_coroutine_waits_for(self):
        origin = self.start_origin()
        self.serve_origin(origin)
        client = self.client()
        client.send(request("POST", "/", fields=[("Content-Length", "10")]))
        up = origin.accept()
        up.recv_head()
        idle = [self.client() for _ in range(5)]
        eventually(lambda: re.search(r"  5 times\n +proxy::serve \(proxy.cpp:\d+\), \d+ bytes\n", self.dump().stdout), 5)
        dump = self.dump()
        self.assertEqual((dump.returncode, dump.stderr), (0, ""))
        self.assertRegex(dump.stdout, r"^headgate [\d.]+, process %d\n\nworker 0: \d+ coroutine\(s\)\n" % self.gateway.pid)
        tree = re.search(r"  once\n    request \w+: POST / of 127.0.0.1:\d+, [\d.]+ s old, .*\n( +proxy::serve .*\n( {6,}.*\n)+)", dump.stdout)[1]
        names = re.findall(r"^( +)(\S+)", tree, re.MULTILINE)
        depths = {name: len(spaces) for spaces, name in names}
        self.assertLess(depths["proxy::serve"], depths["proxy::serve_request"], tree)
        self.assertLess(depths["proxy::serve_request"], depths["exchange"], tree)
        self.assertGreaterEqual(sum(depth > depths["exchange"] for depth in depths.values()), 2, "both directions:\n" + tree)
        for c in idle:
            c.close()
        client.send(b"0123456789")
        self.assertEqual(up.recv_exact(10), b"0123456789")
        up.respond(200, [], b"goes on")
        self.assertEqual(client.response("POST").data, b"goes on")

    def test_writes_it_to_a_file(self):
        self.serve_origin(self.start_origin())
        path = self.file.parent / "dump.txt"
        done = self.dump("--output", str(path))
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.assertIn("worker 0: ", path.read_text())
        done = self.dump("--output", "/dev/full")
        self.assertEqual((done.returncode, done.stderr), (1, "/dev/full: No space left on device\n"))


class Names(unittest.TestCase):
    def test_the_program_names_its_own_functions(self):
        """What reports of stalls do, in a process of their own."""
        listed = subprocess.run(["nm", BINARY], text=True, capture_output=True, check=True).stdout
        offset = re.search(r"^([0-9a-f]+) T \w*run_command_line\w*$", listed, re.MULTILINE)[1]
        done = subprocess.run([BINARY, "symbolize", f"{int(offset, 16) + 8:x}", "1"], text=True, capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"^run_command_line \(cli.cpp:\d+\)\nheadgate\+0x0\n$")
        self.assertEqual(subprocess.run([BINARY, "symbolize", "nonsense"], check=False).returncode, 2)


if __name__ == "__main__":
    unittest.main()
