"""The gateway as a process: its start and end, its log, and what it uses."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

CONFIG = Path(__file__).resolve().parent / "headgate.yaml"


class Gateway:
    """A running gateway. Its log lines are kept until `pass_through` is called, and printed from then on."""

    def __init__(self, program, values):
        """`values` are those of the variables in headgate.yaml, but for the port."""
        ports = {"DEMO_PORT": "8080" if port_is_free(8080) else "0", "DEMO_ADMIN_PORT": "9909" if port_is_free(9909) else "0"}
        self.process = subprocess.Popen([program, "run", "-c", CONFIG], env=os.environ | values | ports,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, errors="replace", start_new_session=True)
        self.changed = threading.Condition()
        self.log, self.errors = [], []
        self.show = None
        for stream, lines in ((self.process.stdout, self.log), (self.process.stderr, self.errors)):
            threading.Thread(target=self.read, args=(stream, lines), daemon=True).start()
        ready = self.find(self.log, r"^headgate: listening on ([\d.]+):(\d+).* admin on ([\d.]+:\d+)", 10)
        if not ready:
            self.stop()
            sys.exit("demo: the gateway does not start: " + " ".join(self.errors or ["it says nothing"]))
        self.address = (ready[1], int(ready[2]))
        self.url = f"http://{ready[1]}:{ready[2]}"
        self.page = f"http://{ready[3]}/"

    def flow(self, name):
        """What the gateway tells of a live request."""
        with urllib.request.urlopen(f"{self.page}api/v1/flows?search={name}") as answer:
            return next(iter(json.load(answer)["flows"]), {})

    def read(self, stream, lines):
        for line in stream:
            with self.changed:
                lines.append(line.rstrip("\n"))
                self.changed.notify_all()
                if self.show:
                    self.show(lines[-1])
                    lines.clear()
        with self.changed:
            self.changed.notify_all()

    def find(self, lines, pattern, seconds=5):
        """The first line that matches, within a time; None if it does not come."""
        def look():
            return next(filter(None, (re.search(pattern, line) for line in lines)), None)
        with self.changed:
            self.changed.wait_for(lambda: look() or self.process.poll() is not None, seconds)
            return look()

    def end_of(self, request_id):
        """How the request ended, as the access log has it."""
        found = self.find(self.log, rf" end=(\S+) id={re.escape(request_id)}$")
        return found[1] if found else "not logged"

    def pass_through(self, show):
        with self.changed:
            self.log.clear()
            self.show = show

    def live(self):
        """What is alive in the gateway, as it says itself."""
        with self.changed:
            self.errors.clear()
        self.process.send_signal(signal.SIGUSR1)
        line = self.find(self.errors, r"^headgate: live (.*)$", 2)
        return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", line[1])} if line else {}

    def memory(self):
        """Bytes of memory that are resident: the exact count, not the kernel's estimate."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Rss:\s+(\d+)", text, re.M)[1]) * 1024

    def sockets(self):
        """How many sockets it has open."""
        return sum(target.startswith("socket:") for target in self.descriptors())

    def descriptors(self):
        folder = Path(f"/proc/{self.process.pid}/fd")
        for entry in folder.iterdir():
            try:
                yield os.readlink(entry)
            except OSError:
                pass

    def stop(self):
        """Ends it; gives its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


class MemoryWatch:
    """The most memory the gateway had while this was open."""

    def __init__(self, gateway):
        self.gateway = gateway
        self.before = self.peak = gateway.memory()
        self.after = None
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.done.wait(0.02):
            self.peak = max(self.peak, self.gateway.memory())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.after = self.gateway.memory()
        self.peak = max(self.peak, self.after)


def port_is_free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


def wait_until(condition, seconds):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()
