#!/usr/bin/env python3
"""TLS in front and behind, with the tools that people have: curl, openssl s_client, nginx."""

import hashlib
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest
import urllib.request

from support import BINARY, RunCase, eventually, free_port


def openssl(*arguments, **how):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, **how)


class Authority:
    """Issues certificates."""

    def __init__(self, folder, name="ca"):
        self.folder, self.pem, self.key = folder, folder / f"{name}.pem", folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=Test CA",
                "-keyout", self.key, "-out", self.pem)

    def issue(self, name, common_name, alternatives):
        pem, key, ask, extra = (self.folder / f"{name}{end}" for end in (".pem", ".key", ".csr", ".ext"))
        extra.write_text("subjectAltName=" + ",".join(alternatives) + "\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/O=Example/CN={common_name}",
                "-keyout", key, "-out", ask)
        openssl("x509", "-req", "-in", ask, "-CA", self.pem, "-CAkey", self.key, "-CAcreateserial", "-days", "2", "-extfile", extra,
                "-out", pem)
        return pem, key


class TlsCase(RunCase):
    def setUp(self):
        super().setUp()
        self.folder = self.file.parent
        self.ca = Authority(self.folder)
        self.www = self.ca.issue("www", "www.example.org", ["DNS:www.example.org", "IP:127.0.0.1"])
        self.wild = self.ca.issue("wild", "wild", ["DNS:*.apps.example.org"])

    def secure(self, extra=""):
        certificates = ", ".join(f"{{certificate: {pem}, key: {key}}}" for pem, key in (self.www, self.wild))
        return f"listeners: [{{name: web, address: '127.0.0.1:{self.port}', tls: {{certificates: [{certificates}]{extra}}}}}]\n"

    def proxying(self, origin, extra="", tls=""):
        return (self.secure(extra) + "routes: [{proxy: {upstream: a}}]\n"
                f"upstreams: {{a: {{endpoints: ['{origin.name}']{tls}}}}}\n")

    def curl(self, *arguments, host="www.example.org", target="/", fails=False):
        done = subprocess.run(["curl", "-sS", "--max-time", "20", "--cacert", self.ca.pem, "--resolve", f"{host}:{self.port}:127.0.0.1", *map(str, arguments),
                               f"https://{host}:{self.port}{target}"], capture_output=True, check=False)
        self.assertEqual(done.returncode != 0, fails, done.stderr)
        return done.stderr.decode() if fails else done.stdout

    def s_client(self, *arguments):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-CAfile", self.ca.pem, *arguments],
                              input=b"", capture_output=True, check=False, timeout=20)
        return (done.stdout + done.stderr).decode(errors="replace")


class Termination(TlsCase):
    def test_requests_and_names(self):
        a = self.origin_named("a")
        self.run_with(self.proxying(a))
        self.assertEqual(self.curl(), b"a")
        self.assertIn(b"x-seen-x-forwarded-proto: https", self.curl("-i").lower())
        self.assertEqual(self.curl(host="shop.apps.example.org"), b"a")
        self.assertIn("certificate", self.curl(host="other.example.org", fails=True))
        self.assertIn("subject=O = Example, CN = wild", self.s_client("-servername", "x.apps.example.org"))

    def test_what_the_defaults_allow(self):
        a = self.origin_named("a")
        self.run_with(self.proxying(a))
        for version, accepted in (("-tls1_3", True), ("-tls1_2", True)):
            said = self.s_client(version)
            self.assertEqual("Verify return code: 0 (ok)" in said, accepted, said)
        for old in (["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"], ["-tls1", "-cipher", "DEFAULT@SECLEVEL=0"],
                    ["-tls1_2", "-cipher", "AES128-SHA"], ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
                    ["-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"]):
            said = self.s_client(*old)
            self.assertIn("Cipher is (NONE)", said, old)
        said = self.s_client("-tls1_2", "-alpn", "h2,http/1.1")
        self.assertIn("ALPN protocol: http/1.1", said)
        self.assertIn("Secure Renegotiation IS supported", said)
        self.assertIn("Compression: NONE", said)

    def test_large_bodies_both_ways(self):
        def echo(conn):
            conn.serve(lambda conn, head: conn.respond(body=conn.recv_body(head).data) or True)

        self.run_with(self.proxying(self.origin_named("echo", echo)))
        data = self.folder / "data"
        data.write_bytes(os.urandom(1 << 20) * 16)
        got = self.curl("--data-binary", f"@{data}", "-H", "Expect:")
        self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(data.read_bytes()).digest())

    def test_a_cut_body_is_seen_as_cut(self):
        def cut(conn):
            conn.recv_head()
            conn.send(b"HTTP/1.1 200 OK\r\n\r\nonly the begin")
            conn.reset()

        self.run_with(self.proxying(self.origin_named("cut", cut)))
        self.assertTrue(self.curl(fails=True))
        self.log(status=200, end="upstream_reset")

    def test_client_certificates(self):
        alice = self.ca.issue("alice", "alice", ["email:alice@example.org"])
        stranger = Authority(self.folder, "other").issue("mallory", "mallory", ["email:m@example.org"])
        seen = []

        def script(conn):
            def handle(conn, head):
                seen.append(head.get("X-Client-Certificate-Subject"))
                conn.respond(body=b"ok")

            conn.serve(handle)

        forged = ("-H", "X-Client-Certificate-Subject: CN=root")
        self.run_with(self.proxying(self.origin_named("a", script), f", client_certificates: optional, client_ca: {self.ca.pem}"))
        self.curl("--cert", alice[0], "--key", alice[1], *forged)
        self.curl(*forged)
        self.assertEqual(seen, ["CN=alice,O=Example", None])
        self.curl("--cert", stranger[0], "--key", stranger[1], fails=True)
        self.reload(self.proxying(self._origins[-1], f", client_certificates: required, client_ca: {self.ca.pem}"))
        self.curl(fails=True)
        self.curl("--cert", alice[0], "--key", alice[1])

    def test_who_says_nothing_or_nonsense(self):
        a = self.origin_named("a")
        self.run_with(self.proxying(a).replace("tls: {", "header_timeout: 300ms, tls: {"))
        silent, rude = self.client(), self.client()
        rude.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        for client in (silent, rude):
            client.wait_end(5)
        self.assertEqual(self.curl(), b"a")

    def test_new_certificates_are_served_after_a_reload(self):
        a = self.origin_named("a")
        self.run_with(self.proxying(a))
        before = self.s_client()
        time.sleep(0.01)
        fresh = self.ca.issue("www", "renewed.example.org", ["DNS:www.example.org"])
        self.assertEqual(fresh, self.www)
        self.reload(self.proxying(a))
        self.assertNotIn("renewed", before)
        self.assertIn("renewed", self.s_client())

    def test_files_that_are_wrong(self):
        a = self.origin_named("a")
        self.run_with(self.proxying(a))
        for what, why in ((self.wild[1], "www"), ("/nonexistent.key", "/nonexistent.key")):
            said = "\n".join(self.reload(self.proxying(a).replace(str(self.www[1]), str(what)), good=False))
            self.assertIn(why, said)
            self.assertEqual(self.curl(), b"a")


class ChangedFiles(TlsCase):
    def serving(self, origin, interval="50ms"):
        self.run_with(self.proxying(origin), more=f", certificate_check_interval: {interval}")

    def subject(self):
        return self.s_client()

    def said(self, text):
        return sum(text in line for line in self.gateway.errors)

    def test_a_new_certificate_is_served_by_itself(self):
        self.serving(self.origin_named("a"))
        self.assertNotIn("renewed", self.subject())
        self.ca.issue("www", "renewed.example.org", ["DNS:www.example.org"])
        eventually(lambda: "renewed" in self.subject(), 10)
        self.assertGreater(self.said("certificates have changed and were read again"), 0)

    def test_a_bad_one_changes_nothing_until_it_is_good(self):
        self.serving(self.origin_named("a"))
        good = self.www[0].read_text()
        self.www[0].write_text("no certificate")
        eventually(lambda: self.said("what was served before is served on"), 10)
        self.assertIn("www.pem: there is no certificate in it", "\n".join(self.gateway.errors))
        self.assertEqual(self.curl(), b"a")
        time.sleep(0.3)  # it has looked again meanwhile
        self.assertEqual(self.said("there is no certificate in it"), 1, "it is told once")
        self.www[0].write_text(good)
        eventually(lambda: self.said("were read again"), 10)
        self.assertEqual(self.curl(), b"a")

    def test_the_rest_of_the_file_is_not_read_again(self):
        self.serving(self.origin_named("a"))
        self.write("routes: [half of what somebody is writing")
        self.ca.issue("www", "renewed.example.org", ["DNS:www.example.org"])
        eventually(lambda: "renewed" in self.subject(), 10)
        self.assertEqual(self.said("headgate.yaml"), 0)

    def test_none(self):
        self.serving(self.origin_named("a"), interval="none")
        self.ca.issue("www", "renewed.example.org", ["DNS:www.example.org"])
        time.sleep(0.3)
        self.assertNotIn("renewed", self.subject())

    def test_sessions_outlive_a_reload_that_does_not_touch_the_certificates(self):
        a = self.origin_named("a")
        self.run_with(self.proxying(a))
        kept = str(self.folder / "session")
        self.assertIn("New, TLSv1.2", self.s_client("-tls1_2", "-sess_out", kept))
        self.reload(self.proxying(a, tls=", idle_max: 3"))
        self.assertIn("Reused, TLSv1.2", self.s_client("-tls1_2", "-sess_in", kept))

    def test_validate_opens_them(self):
        self.wild[1].unlink()
        self.www[1].write_text("nothing")
        text = (f"listeners:\n- name: web\n  address: ':{self.port}'\n  tls:\n    certificates:\n"
                f"    - certificate: {self.www[0]}\n      key: {self.www[1]}\n"
                f"    - certificate: {self.wild[0]}\n      key: {self.wild[1]}\n"
                f"routes: [{{proxy: {{upstream: a}}}}]\nupstreams:\n  a:\n    endpoints: ['a:1']\n"
                "    tls: {ca: /nonexistent.pem}\n")
        self.write(text)

        def validate(*flags):
            return subprocess.run([BINARY, "validate", *flags, "-c", self.file], text=True, capture_output=True, check=False)

        done = validate()
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        for place, why in (("7:12", "there is no private key in it (PEM)"), ("9:12", "No such file"),
                           ("14:15", "/nonexistent.pem: No such file")):
            self.assertRegex(done.stderr, rf"headgate\.yaml:{place}: .*{re.escape(why)}")
        self.assertEqual(validate("--without-files").returncode, 0)
        said = subprocess.run([BINARY, "run", "-c", self.file], text=True, capture_output=True, check=False, timeout=20)
        self.assertEqual((said.returncode, said.stderr), (1, done.stderr))

    def test_explain_tells_them(self):
        self.write(self.secure(", version_min: '1.3'") + "routes: [{proxy: {upstream: a}}]\n"
                   "upstreams: {a: {endpoints: ['a:1'], tls: {server_name: b.example.org}}}\n")
        said = subprocess.run([BINARY, "explain", "-c", self.file, "GET", "http://x/"], text=True, capture_output=True, check=True).stdout
        for line in (rf"certificates\[1\]\.key +{self.wild[1]} ", r"version_min +1\.3 .*headgate\.yaml:1\n", r"tls of the upstream a\n +server_name +b\.example\.org"):
            self.assertRegex(said, line)


class ToUpstreams(TlsCase):

    def test_pooled_connections_outlive_a_reload(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.www)
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        accepted = []

        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection, context.wrap_socket(connection, server_side=True) as secure:
                    accepted.append(secure)
                    while secure.recv(65536):
                        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        tls = f"{{ca: {self.ca.pem}, server_name: www.example.org}}"
        try:
            self.run_with(self.to(port, tls), workers=1)
            self.assertEqual(self.client().exchange().data, b"ok")
            self.reload(self.to(port, tls) + "defaults: {proxy: {first_byte_timeout: 20s}}\n", workers=1)
            self.assertEqual(self.client().exchange().data, b"ok")
            self.assertEqual(len(accepted), 1, "the pooled connection is used again")
            os.utime(self.ca.pem)
            self.reload(self.to(port, tls), workers=1)
            eventually(lambda: self.gateway.live()["upstream_idle"] == 0, 5)
            self.assertEqual(self.client().exchange().data, b"ok")
            self.assertEqual(len(accepted), 2, "whom to trust was read again")
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            self.gateway.stop()
            thread.join(5)

    def serve_tls(self, pem, key, *flags, port=None):
        """openssl s_server, which answers each request with a page of its own."""
        port = port or free_port()
        self.server = server = subprocess.Popen(["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", pem, "-key", key, "-www", "-quiet", *flags],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait, 10)
        self.addCleanup(server.send_signal, signal.SIGKILL)

        def listening():
            return subprocess.run(["ss", "-tlnH", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout

        eventually(listening, 10)
        return port

    def to(self, port, tls):
        return self.listener() + f"routes: [{{proxy: {{upstream: a}}}}]\nupstreams: {{a: {{endpoints: ['127.0.0.1:{port}'], tls: {tls}}}}}\n"

    def test_health_checks(self):
        """Whoever cannot prove who it is is down."""
        good, wrong = self.serve_tls(*self.www), self.serve_tls(*self.wild)
        self.run_with(self.listener() + "routes: [{proxy: {upstream: a}}]\n"
                      f"upstreams: {{a: {{endpoints: ['127.0.0.1:{good}', '127.0.0.1:{wrong}'], "
                      f"tls: {{ca: {self.ca.pem}, server_name: www.example.org}}, ejection: {{consecutive_failures: 0}}, "
                      "health_check: {type: http, interval: 100ms, timeout: 10s}}}\n", workers=1)
        self.measure_between_checks()
        said = "headgate: upstream a: 127.0.0.1:%d is found to be down"
        eventually(lambda: said % wrong in self.gateway.errors, 20)
        for _ in range(20):
            self.assertEqual(self.client().exchange().status, 200)
        self.assertNotIn(said % good, self.gateway.errors)

    def handshake(self):
        """How the connection for one more request began, as the upstream tells it."""
        answer = self.client().exchange()
        self.assertEqual(answer.status, 200)
        found = re.search(rb"^(New|Reused), TLSv1", answer.data, re.M)
        self.assertTrue(found, answer.data)
        return found[1].decode()

    def counted(self):
        """Handshakes in the metrics: full and resumed ones."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return tuple(int(re.search(rf'^headgate_upstream_tls_handshakes_total{{upstream="a",resumed="{r}"}} (\d+)$', text, re.M)[1])
                     for r in ("no", "yes"))

    def test_sessions_are_resumed(self):
        self.admin_port = free_port()
        for version in ("-tls1_3", "-tls1_2"):
            port = self.serve_tls(*self.www, version)
            text = self.to(port, f"{{ca: {self.ca.pem}}}") + f"admin: {{address: '127.0.0.1:{self.admin_port}'}}\n"
            self.run_with(text, workers=1)
            self.assertEqual([self.handshake() for _ in range(4)], ["New", "Reused", "Reused", "Reused"], version)
            self.assertEqual(self.counted(), (1, 3), version)
            self.gateway.stop()

    def test_a_ticket_that_is_refused_costs_nothing_else(self):
        """The upstream starts anew: with other keys for its tickets, then with another certificate."""
        for version in ("-tls1_3", "-tls1_2"):
            port = self.serve_tls(*self.www, version)
            self.run_with(self.to(port, f"{{ca: {self.ca.pem}}}"), workers=1)
            self.assertEqual([self.handshake() for _ in range(2)], ["New", "Reused"], version)
            for identity in (self.www, self.ca.issue("renewed", "renewed", ["IP:127.0.0.1"])):
                self.server.kill()
                self.server.wait(10)
                self.serve_tls(*identity, version, port=port)
                self.assertEqual([self.handshake() for _ in range(3)], ["New", "Reused", "Reused"], version)
            self.server.kill()
            self.server.wait(10)
            self.serve_tls(*self.wild, version, port=port)
            self.assertEqual(self.client().exchange().status, 502, "a full handshake again, with somebody else")
            self.gateway.stop()

    def test_an_upstream_without_tickets(self):
        port = self.serve_tls(*self.www, "-tls1_3", "-num_tickets", "0")
        self.run_with(self.to(port, f"{{ca: {self.ca.pem}}}"), workers=1)
        self.assertEqual([self.handshake() for _ in range(3)], ["New"] * 3)

    def test_no_session_outlives_a_change_of_the_settings(self):
        port = self.serve_tls(*self.www)
        self.run_with(self.to(port, f"{{ca: {self.ca.pem}}}"), workers=1)
        self.assertEqual([self.handshake() for _ in range(2)], ["New", "Reused"])
        self.reload(self.to(port, f"{{ca: {self.ca.pem}, server_name: www.example.org}}"), workers=1)
        self.assertEqual([self.handshake() for _ in range(2)], ["New", "Reused"])
        os.utime(self.ca.pem)
        self.reload(self.to(port, f"{{ca: {self.ca.pem}, server_name: www.example.org}}"), workers=1)
        self.assertEqual([self.handshake() for _ in range(2)], ["New", "Reused"], "whom to trust was read again")
        other = Authority(self.folder, "other")
        self.reload(self.to(port, f"{{ca: {other.pem}, server_name: www.example.org}}"), workers=1)
        self.assertEqual(self.client().exchange().status, 502, "a session would have been accepted")

    def test_verified_and_not(self):
        pem, key = self.www
        port = self.serve_tls(pem, key)
        self.run_with(self.to(port, f"{{ca: {self.ca.pem}}}"))
        answer = self.client().exchange()
        self.assertEqual(answer.status, 200)
        self.assertIn(b"TLSv1.3", answer.data)
        for tls, good in (("{}", False), (f"{{ca: {self.ca.pem}, server_name: www.example.org}}", True),
                          (f"{{ca: {self.ca.pem}, server_name: other.example.org}}", False),
                          ("{insecure_accept_any_certificate: true}", True)):
            self.reload(self.to(port, tls))
            answer = self.client().exchange()
            self.assertEqual(answer.status, 200 if good else 502, (tls, answer.data))


if __name__ == "__main__":
    unittest.main()
