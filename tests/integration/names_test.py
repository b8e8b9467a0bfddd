#!/usr/bin/env python3
"""Endpoints by name: looked up again by the TTL of their answers, added and removed while requests go on."""

import socket
import time
import unittest

from support import SLACK, LeakCheck, Origin, RunCase, eventually, named
from support.dns import AAAA, SRV, Dns


def can_listen(host):
    try:
        with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return True
    except OSError:
        return False


class NamesCase(RunCase):
    def setUp(self):
        super().setUp()
        self.dns = Dns()
        self.addCleanup(self.dns.close)

    def origins(self, hosts, script=None):
        """Origins that say their host, at several addresses and one port."""
        while True:
            made = []
            try:
                for host in hosts:
                    port = made[0].address[1] if made else 0
                    made.append(Origin(script or named(host), host=host, port=port))
            except OSError:  # taken at another address
                for origin in made:
                    origin.close()
                continue
            self._origins += made
            return made

    def start_named(self, endpoints, options="", proxy=""):
        self.run_with(self.listener() + f"routes: [{{proxy: {{upstream: x{proxy}}}}}]\n"
                      f"upstreams: {{x: {{endpoints: [{endpoints}], balancing: {{policy: round_robin}}{options}}}}}\n",
                      workers=1, more=f", resolver: {{nameservers: ['{self.dns.address}'], timeout: 300ms, tries: 2}}")
        self.measure_between_checks()

    def served_by(self, count=12):
        client = self.client()
        answers = [client.exchange() for _ in range(count)]
        client.close()
        return {a.data.decode() if a.status == 200 else a.status for a in answers}

    def wait_served_by(self, *hosts):
        eventually(lambda: self.served_by() == set(hosts), 10 * SLACK, f"served by {hosts}")


class Addresses(NamesCase):
    def test_each_address_is_an_endpoint(self):
        origins = self.origins(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
        port = origins[0].address[1]
        self.dns.names["api.test"] = ["127.0.0.1", "127.0.0.2"]
        self.start_named(f"'api.test:{port}'", ", dns: {resolve: all}")
        self.wait_served_by("127.0.0.1", "127.0.0.2")
        self.assertEqual(self.client().exchange().status, 200)
        self.dns.names["api.test"] = ["127.0.0.2", "127.0.0.3"]
        self.wait_served_by("127.0.0.2", "127.0.0.3")

    def test_without_it_a_name_is_one_endpoint(self):
        origins = self.origins(["127.0.0.1", "127.0.0.2"])
        self.dns.names["api.test"] = ["127.0.0.1", "127.0.0.2"]
        self.start_named(f"'api.test:{origins[0].address[1]}'")
        self.assertEqual(len(self.served_by()), 1)
        self.assertTrue(self.log().upstream.startswith("api.test:"))

    @unittest.skipUnless(can_listen("::1"), "there is no IPv6 here")
    def test_addresses_of_both_families(self):
        origins = self.origins(["127.0.0.1", "::1"])
        self.dns.names["api.test"] = ["127.0.0.1", "::1"]
        self.start_named(f"'api.test:{origins[0].address[1]}'", ", dns: {resolve: all}")
        self.wait_served_by("127.0.0.1", "::1")
        self.assertIn(("api.test", AAAA), self.dns.asked)

    def test_the_ttl_is_kept_to_within_bounds(self):
        origins = self.origins(["127.0.0.1", "127.0.0.2"])
        self.dns.ttl = 3600
        self.dns.names["api.test"] = ["127.0.0.1"]
        self.start_named(f"'api.test:{origins[0].address[1]}'", ", dns: {resolve: all, refresh_max: 500ms}")
        self.wait_served_by("127.0.0.1")
        self.dns.names["api.test"] = ["127.0.0.2"]
        self.wait_served_by("127.0.0.2")
        self.dns.ttl = 0
        count = len(self.dns.asked)
        begun = time.monotonic()
        eventually(lambda: time.monotonic() - begun > 1.5)
        self.assertLessEqual(len(self.dns.asked) - count, 8, "no more than once a second, for two families")

    def test_the_last_good_answer_is_kept(self):
        origins = self.origins(["127.0.0.1"])
        self.dns.names["api.test"] = ["127.0.0.1"]
        self.start_named(f"'api.test:{origins[0].address[1]}'", ", dns: {resolve: all, refresh_min: 100ms}")
        self.wait_served_by("127.0.0.1")
        for spoil in ("broken", "unknown"):
            if spoil == "broken":
                self.dns.broken = True
            else:
                self.dns.broken = False
                del self.dns.names["api.test"]
            count = len(self.dns.asked)
            eventually(lambda: len(self.dns.asked) >= count + 4, 10, "it is asked again")
            self.assertEqual(self.served_by(), {"127.0.0.1"})
        self.dns.names["api.test"] = ["127.0.0.1"]
        count = len(self.dns.asked)
        eventually(lambda: len(self.dns.asked) >= count + 4, 10)

    def test_streams_to_an_endpoint_that_is_gone_go_on(self):
        """Idle connections to it are closed, busy ones carry their exchange to its end."""
        origins = self.origins(["127.0.0.1", "127.0.0.2"], script=None)
        port = origins[0].address[1]
        for origin in origins:
            origin.close()
        leaver = Origin(host="127.0.0.1", port=port)
        stayer = Origin(named("127.0.0.2"), host="127.0.0.2", port=port)
        self._origins += [leaver, stayer]
        self.dns.names["api.test"] = ["127.0.0.1"]
        self.start_named(f"'api.test:{port}'", ", dns: {resolve: all}")
        idler, streamer = self.client(), self.client()
        idler.request("GET", "/idle")
        streamer.request("PUT", "/stream", body=b"x" * 10)
        conns = [leaver.accept(), leaver.accept()]
        heads = {conn: conn.recv_head() for conn in conns}
        idle, busy = sorted(conns, key=lambda c: heads[c].target)
        idle.respond(200, [], b"idle")
        self.assertEqual(idler.response().data, b"idle")
        busy.recv_exact(10)
        busy.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        streamer.recv_head()
        self.dns.names["api.test"] = ["127.0.0.2"]
        self.assertEqual(idle.wait_end(10).kind, "fin")
        self.wait_served_by("127.0.0.2")
        self.assertEqual(self.gateway.live()["upstream_busy"], 1)
        self.assertTrue(busy.open_and_silent(0.1))
        busy.send(b"half")
        self.assertEqual(streamer.recv_exact(8), b"halfhalf")
        self.assertEqual(busy.wait_end(10).kind, "fin", "it is not kept")

    def test_a_reload_in_the_midst_of_lookups(self):
        origins = self.origins(["127.0.0.1"])
        port = origins[0].address[1]
        self.dns.names["api.test"] = ["127.0.0.1"]
        for i in range(5):
            text = (self.listener() + "routes: [{proxy: {upstream: x}}]\n"
                    f"upstreams: {{x: {{endpoints: ['api.test:{port}'], dns: {{resolve: all, refresh_min: {i + 1}ms}}, "
                    f"queue_max: {i + 1}}}}}\n")
            if i == 0:
                self.run_with(text, workers=1, more=f", resolver: {{nameservers: ['{self.dns.address}']}}")
            else:
                self.reload(text, workers=1)
            self.assertEqual(self.served_by(), {"127.0.0.1"})
        self.reload(self.listener() + "routes: [{respond: {}}]\n", workers=1)
        self.leaks = LeakCheck(self.gateway, 1)
        self.assertEqual(self.gateway.live()["upstream_busy"], 0)


class Services(NamesCase):
    def test_ports_weights_and_priorities(self):
        heavy, light, spare = (self.origin_named(name) for name in ("heavy", "light", "spare"))
        self.dns.names["a.test"] = ["127.0.0.1"]
        self.dns.services["_http._tcp.api.test"] = [(1, 3, heavy.address[1], "a.test"), (1, 1, light.address[1], "a.test"),
                                                    (2, 1, spare.address[1], "a.test")]
        self.start_named("{srv: _http._tcp.api.test}", ", ejection: {consecutive_failures: 1, max_ejection_percent: 100}")
        self.wait_served_by("heavy", "light")
        client = self.client()
        answers = [client.exchange().data for _ in range(40)]
        self.assertEqual((answers.count(b"heavy"), answers.count(b"light")), (30, 10))
        heavy.close()
        light.close()
        self.wait_served_by("spare")
        self.assertIn(("_http._tcp.api.test", SRV), self.dns.asked)

    def test_records_come_and_go(self):
        first, second = self.origin_named("first"), self.origin_named("second")
        self.dns.names["a.test"] = ["127.0.0.1"]
        self.dns.services["_http._tcp.api.test"] = [(1, 0, first.address[1], "a.test")]
        self.start_named("{srv: _http._tcp.api.test}")
        self.assertEqual(self.served_by(), {"first"}, "also before the first answer")
        self.dns.services["_http._tcp.api.test"] = [(1, 0, second.address[1], "a.test"), (1, 0, 1, "nowhere.test")]
        self.wait_served_by("second")

    def test_a_name_that_does_not_exist(self):
        self.start_named("{srv: _http._tcp.none.test}")
        self.assert_problem(self.client().exchange(), 502)
        self.log(end="upstream_unreachable")


if __name__ == "__main__":
    unittest.main()
