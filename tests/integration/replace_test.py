#!/usr/bin/env python3
"""Another process takes over: not a connection is lost, and if it cannot, nothing has changed."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest
from pathlib import Path

from support import BINARY, SANITIZED, SLACK, Client, Gateway, Origin, RunCase, eventually, free_port, process, request

DONE = re.compile(r"headgate: upgraded: process (\d+) serves, (\d+) ends")


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


class ReplaceCase(RunCase):
    """The program is a copy, which tests may exchange for another. What they start ends with them."""

    def setUp(self):
        super().setUp()
        self.folder = self.file.parent
        self.program = self.folder / "headgate"
        self.install(BINARY)
        self.admin_port = free_port()
        self.later = []  # processes that have taken over
        self.server = ""

    def install(self, program):
        fresh = self.folder / "new"
        shutil.copy(program, fresh)
        os.replace(fresh, self.program)

    def install_script(self, text):
        fresh = self.folder / "new"
        fresh.write_text("#!/bin/sh\n" + text)
        fresh.chmod(0o755)
        os.replace(fresh, self.program)

    def begin(self, text, workers=2, more=", drain_timeout: 2s"):
        self.configure(text, workers, more)
        self.gateway = Gateway("run", None, arguments=["-c", str(self.file)], program=str(self.program))

    def configure(self, text, workers=2, more=", drain_timeout: 2s"):
        self.write(f"server: {{workers: {workers}{more}}}\nadmin: {{address: '127.0.0.1:{self.admin_port}'}}\n" + text)

    def command(self, *arguments):
        return subprocess.run([BINARY, *arguments, "--admin", f"127.0.0.1:{self.admin_port}"], text=True, capture_output=True,
                              check=False, timeout=90)

    def upgrade(self):
        done = self.command("upgrade")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = DONE.fullmatch(done.stdout.strip())
        self.later.append(int(found[1]))
        return self.later[-1]

    def refused(self):
        done = self.command("upgrade")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertTrue(done.stderr.endswith("headgate: not upgraded; this process serves on\n"), done.stderr)
        return done.stderr

    def old_ends(self, within=10 * SLACK):
        self.assertEqual(self.gateway.process.wait(within), 0)

    def _stop(self):
        for pid in self.later:
            if not is_gone(pid):
                os.kill(pid, signal.SIGTERM)
        for pid in self.later:
            try:
                eventually(lambda pid=pid: is_gone(pid), 20, "the process that has taken over ends")
            finally:
                if not is_gone(pid):
                    os.kill(pid, signal.SIGKILL)
        super()._stop()

    def respond(self, body="one", port=None):
        return self.listener(port=port) + f"routes: [{{respond: {{body: {body}}}}}]\n"


class Replaced(ReplaceCase):
    def test_the_new_process_serves_the_new_file_at_the_same_sockets(self):
        self.begin(self.respond())
        kept = self.client()
        self.assertEqual(kept.exchange().data, b"one")
        sockets = process.listening_inodes(self.port)
        self.configure(self.respond("two"))
        new = self.upgrade()
        self.assertEqual(process.listening_inodes(self.port), sockets)
        self.assertEqual(self.client().exchange().data, b"two")
        answer = kept.exchange()
        self.assertEqual((answer.data, answer.head["Connection"]), (b"one", "close"), "by the old process, and the last")
        self.old_ends()
        self.assertEqual(self.client().exchange().data, b"two")
        self.configure(self.respond("three"))
        self.assertEqual(self.command("reload").returncode, 0)
        self.assertEqual(self.client().exchange().data, b"three")
        self.assertNotEqual(self.upgrade(), new)
        self.assertEqual(self.client().exchange().data, b"three")

    def test_by_signal(self):
        self.begin(self.respond())
        self.gateway.signal(signal.SIGUSR2)
        eventually(lambda: any(line.startswith("headgate: upgraded") for line in self.gateway.errors), 20)
        self.later.append(int(DONE.search(self.gateway.stderr())[1]))
        self.old_ends()
        self.assertEqual(self.client().exchange().data, b"one")

    def test_more_and_fewer_workers(self):
        self.begin(self.respond(), workers=3)
        for workers in (1, 4, 2):
            self.configure(self.respond(), workers=workers)
            self.upgrade()
            self.assertEqual({self.client().exchange().data for _ in range(50)}, {b"one"})
            eventually(lambda: is_gone(([self.gateway.pid] + self.later)[-2]), 10)
            # With more sockets than workers some have several: every one of them is accepted from.
            self.assertEqual({self.client().exchange().data for _ in range(50)}, {b"one"})
        self.assertGreaterEqual(len(process.listening_inodes(self.port)), 4)

    def test_what_waits_to_be_accepted_is_served(self):
        """Connections that came while nobody accepted, because the old process stood still, are the new one's to serve."""
        self.begin(self.respond(), workers=1)
        waiting = []
        self.gateway.signal(signal.SIGSTOP)
        try:
            for _ in range(20):
                client = self.client()
                client.request()
                waiting.append(client)
            self.gateway.signal(signal.SIGUSR2)
        finally:
            self.gateway.signal(signal.SIGCONT)
        for client in waiting:
            self.assertEqual(client.response().data, b"one")
        eventually(lambda: DONE.search(self.gateway.stderr()), 20)
        self.later.append(int(DONE.search(self.gateway.stderr())[1]))

    def test_port_0_and_a_unix_socket(self):
        path = str(self.folder / "web.sock")
        text = f"listeners: [{{name: any, address: '127.0.0.1:0'}}, {{name: local, address: 'unix:{path}'}}]\nroutes: [{{respond: {{body: x}}}}]\n"
        self.begin(text, workers=1)
        self.upgrade()
        self.old_ends()
        self.assertEqual(self.client().exchange().data, b"x")
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(path)
                s.sendall(request("GET", "/"))
                self.assertIn(b"200 OK", s.recv(1000))
        os.kill(self.later[-1], signal.SIGTERM)
        eventually(lambda: not os.path.exists(path), 10, "its owner removes the path")

    def test_listeners_that_come_and_go_with_the_new_file(self):
        gone, new = self.port, free_port()
        self.begin(self.respond())
        self.configure(self.respond("two", port=new))
        self.upgrade()
        self.gateway.address = ("127.0.0.1", new)
        self.assertEqual(self.client().exchange().data, b"two")
        self.old_ends()
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", gone))
        eventually(lambda: any(f"no listener is for the socket 127.0.0.1:{gone}" in line for line in self.gateway.errors), 5)

    def test_what_began_goes_on_until_the_deadline(self):
        up = Origin()
        self._origins.append(up)
        self.begin(self.listener() + "routes: [{proxy: {upstream: x, upgrades: [websocket]}}]\n"
                   f"upstreams: {{x: {{endpoints: ['{up.name}']}}}}\n", more=", drain_timeout: 1500ms")
        chat = self.client()
        chat.send(request("GET", "/", [("Connection", "Upgrade"), ("Upgrade", "websocket")]))
        chat_up = up.accept()
        chat_up.recv_head()
        chat_up.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        self.assertEqual(chat.recv_head().status, 101)
        loading = self.client()
        loading.request()
        load_up = up.accept()
        load_up.recv_head()
        load_up.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ")
        head = loading.recv_head()
        since = time.monotonic()
        self.upgrade()
        chat_up.send(b"still there?")
        self.assertEqual(chat.recv_exact(12), b"still there?")
        load_up.send(b"whole")
        self.assertEqual(loading.recv_body(head).data, b"half whole")
        self.assertEqual(chat.wait_end(10).kind, "reset")
        self.assertGreater(time.monotonic() - since, 1.4)
        self.old_ends()

    def test_the_tunnel_of_one_command(self):
        a = self.origin_named("a")
        self.gateway = Gateway("tunnel", a.name, program=str(self.program))
        self.gateway.signal(signal.SIGUSR2)
        eventually(lambda: DONE.search(self.gateway.stderr()), 20)
        self.later.append(int(DONE.search(self.gateway.stderr())[1]))
        self.old_ends()
        self.assertEqual(self.client().exchange().data, b"a")


class UnderLoad(ReplaceCase):
    def test_not_one_request_fails(self):
        a = self.origin_named("a")
        self.begin(self.listener() + f"routes: [{{proxy: {{upstream: x}}}}]\nupstreams: {{x: {{endpoints: ['{a.name}']}}}}\n")
        stop, counts, wrong = threading.Event(), [0, 0], []

        def keep_alive():
            client = None
            while not stop.is_set():
                client = client or Client(self.gateway.address)
                answer = client.exchange()
                counts[0] += 1
                if answer.data != b"a":
                    wrong.append(answer.data)
                if answer.head.get("Connection") == "close":
                    client.close()
                    client = None
            if client:
                client.close()

        def anew():
            while not stop.is_set():
                client = Client(self.gateway.address)
                answer = client.exchange("GET", "/", ("Connection", "close"))
                counts[1] += 1
                if answer.data != b"a":
                    wrong.append(answer.data)
                client.close()

        def guarded(work):
            try:
                work()
            except Exception as e:  # pylint: disable=broad-except
                wrong.append(repr(e))

        threads = [threading.Thread(target=guarded, args=(work,)) for work in (keep_alive, keep_alive, anew, anew)]
        for thread in threads:
            thread.start()
        rounds = 2 if SANITIZED else 4
        try:
            for i in range(rounds):
                before = list(counts)
                self.configure(self.file.read_text().split("\n", 2)[2], workers=(3, 1, 2, 4)[i])
                self.upgrade()
                eventually(lambda before=before: all(c > b for c, b in zip(counts, before)), 10)
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        self.assertEqual(wrong, [])
        self.assertGreater(min(counts), 20)

    def test_with_wrk(self):
        self.begin(self.respond())
        wrk = subprocess.Popen(["wrk", "-t1", "-c20", "-d4s", f"http://127.0.0.1:{self.port}/"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        rounds = 0
        while wrk.poll() is None and rounds < 3:
            time.sleep(0.5)
            self.upgrade()
            rounds += 1
        said = wrk.communicate()[0]
        self.assertNotIn("Non-2xx", said)
        # A connection that the old process closes with its answer is made anew by wrk, which counts that as nothing.
        self.assertNotRegex(said, r"Socket errors: connect [1-9]|write [1-9]|timeout [1-9]")
        self.assertEqual(rounds, 3)


class NotReplaced(ReplaceCase):
    def serves_on(self):
        self.assertEqual(self.client().exchange().data, b"one")
        self.assertEqual(self.gateway.process.poll(), None)

    def test_a_bad_configuration(self):
        self.begin(self.respond())
        self.configure(self.respond("two").replace("respond", "respnd"))
        said = self.refused()
        self.assertIn("headgate.yaml:4:11: 'respnd' is not a key of a route; did you mean 'respond'?", said)
        self.serves_on()
        self.assertNotEqual(self.command("reload").returncode, 0, "it reads the same file")
        self.configure(self.respond("two"))
        self.upgrade()
        self.assertEqual(self.client().exchange().data, b"two")

    def test_an_address_that_is_taken(self):
        self.begin(self.respond())
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.configure(self.respond(port=taken.getsockname()[1]))
            self.assertIn("Address already in use", self.refused())
        self.serves_on()

    def test_a_program_that_is_not_one(self):
        self.begin(self.respond(), more=", upgrade_timeout: 700ms")
        for script, why in (("exit 3", "ended with status 3"), ("kill -SEGV $$", "signal 11"), ("exec sleep 60", "not ready in time"),
                            ("echo nonsense >&4; exec sleep 60", "")):
            with self.subTest(script):
                self.install_script(script)
                since = time.monotonic()
                self.assertIn(why, self.refused())
                self.assertLess(time.monotonic() - since, 5 * SLACK)
                self.serves_on()
        self.program.unlink()
        self.assertIn("No such file or directory", self.refused())
        self.serves_on()
        self.install(BINARY)
        self.upgrade()
        self.assertEqual(self.client().exchange().data, b"one")

    def test_one_at_a_time(self):
        self.begin(self.respond(), more=", upgrade_timeout: 2s")
        self.install_script("exec sleep 60")
        threads = [threading.Thread(target=self.refused)]
        threads[0].start()
        try:
            eventually(lambda: "under way" in self.command("reload").stderr, 5)
            self.assertIn("an upgrade is under way", self.command("upgrade").stderr)
        finally:
            threads[0].join(20)
        self.assertEqual(self.command("reload").returncode, 0)
        self.serves_on()

    def test_an_end_in_the_middle(self):
        self.begin(self.respond(), more=", upgrade_timeout: 60s")
        self.install_script("exec sleep 60")
        self.gateway.signal(signal.SIGUSR2)
        eventually(lambda: process.children(self.gateway.pid), 10)
        child = process.children(self.gateway.pid)[0]
        self.gateway.signal(signal.SIGTERM)
        self.assertEqual(self.gateway.wait_exit(10), 0)
        eventually(lambda: is_gone(child), 5, "it does not outlive the one that it was to replace")


if __name__ == "__main__":
    unittest.main()
