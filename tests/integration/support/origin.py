"""A server that does what a test tells it to.

Either the test takes each connection by accept() and plays it by hand, in step with its client; or a script function
plays every connection on a thread of its own.
"""

import queue
import socket
import threading
import time

from .message import RequestHead, response
from .wire import TIMEOUT, Cut, Wire


class Connection(Wire):
    """A connection to the origin. `number` counts from 1 in the order of arrival."""

    def __init__(self, sock, number, peer):
        super().__init__(sock)
        self.number, self.peer = number, "%s:%d" % peer[:2]
        self.opened_at = time.monotonic()

    def recv_head(self):
        return RequestHead(self.recv_head_bytes())

    def recv_request(self, keep=True):
        """A whole request: its head and its body."""
        head = self.recv_head()
        return head, self.recv_body(head, keep)

    def respond(self, *arguments, **how):
        """Sends a response; see message.response()."""
        self.send(response(*arguments, **how))

    def serve(self, handler):
        """Calls handler(connection, head) for each request until the peer ends or the handler says False."""
        while True:
            try:
                head = self.recv_head()
            except Cut as e:
                if e.got:
                    raise
                return
            if handler(self, head) is False:
                return


class Origin:
    """Listens on 127.0.0.1, unless told, and on a port of its own, unless told. Keeps every connection there ever was in `connections`."""

    def __init__(self, script=None, receive_buffer=None, backlog=1024, port=0, host="127.0.0.1"):
        self.listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind((host, port))
        self.listener.listen(backlog)
        self.address = self.listener.getsockname()
        self.script = script
        self.connections = []
        self.failures = []  # exceptions of scripts, other than that the peer had ended
        self.notes = queue.Queue()
        self._waiting = queue.Queue()
        self._threads = []
        self._closed = False
        self._acceptor = threading.Thread(target=self._accept_all, daemon=True)
        self._acceptor.start()

    @property
    def name(self):
        return "%s:%d" % self.address[:2]

    def url(self):
        return f"http://{self.name}"

    def accept(self, within=TIMEOUT):
        """The next connection, to be played by the test."""
        try:
            return self._waiting.get(timeout=within)
        except queue.Empty:
            raise AssertionError(f"no connection to the origin within {within} s") from None

    def no_connection(self):
        """Whether all that came was accept()ed."""
        return self._waiting.empty()

    def note(self, what):
        """Called by scripts; wait_note() gives it to the test."""
        self.notes.put(what)

    def wait_note(self, within=TIMEOUT):
        try:
            return self.notes.get(timeout=within)
        except queue.Empty:
            raise AssertionError(f"nothing was noted within {within} s; scripts failed: {self.failures}") from None

    def stop_listening(self):
        """Refuses connections from now on. Those that exist go on."""
        if not self._closed:
            self._closed = True
            try:
                self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            except OSError:
                pass
            self.listener.close()
            self._acceptor.join(TIMEOUT)

    def close(self):
        self.stop_listening()
        for connection in list(self.connections):
            connection.close()
            self.failures += connection.failures
        for thread in self._threads:
            thread.join(TIMEOUT)

    def _accept_all(self):
        while not self._closed:
            try:
                sock, peer = self.listener.accept()
            except OSError:
                return
            connection = Connection(sock, len(self.connections) + 1, peer)
            self.connections.append(connection)
            if self.script is None:
                self._waiting.put(connection)
            else:
                thread = threading.Thread(target=self._play, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _play(self, connection):
        try:
            self.script(connection)
        except Cut:
            pass
        except Exception as e:  # pylint: disable=broad-except
            if connection.closed_at is None:  # else it was the test that closed it
                self.failures.append(e)
        finally:
            connection.close()
