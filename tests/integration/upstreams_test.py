#!/usr/bin/env python3
"""How an upstream is used: how many connections, who waits for one, how long one lives, and which endpoints are left out."""

import threading
import time
import unittest

from support import SLACK, Client, GatewayCase, LeakCheck, RunCase, eventually, named


def numbered(connection):
    """Answers every request with the number of its connection."""
    connection.serve(lambda conn, head: conn.respond(200, [], b"%d" % conn.number))


class Queue(GatewayCase):
    def start_limited(self, connections, *flags, **how):
        self.start("--upstream-connections-max", str(connections), *flags, **how)

    def ask(self, target):
        client = self.client()
        client.request("GET", target)
        return client

    def wait_requests(self, count):
        eventually(lambda: self.gateway.live()["requests"] == count, 5, f"{count} requests are in progress")

    def test_a_freed_connection_goes_to_who_has_waited_longest(self):
        self.start_limited(1)
        first = self.ask("/1")
        upstream = self.origin.accept()
        self.assertEqual(upstream.recv_head().target, "/1")
        waiting = []
        for i in range(2, 6):
            waiting.append(self.ask(f"/{i}"))
            self.wait_requests(i)
        self.assertTrue(self.origin.no_connection())
        upstream.respond(body=b"1")
        self.assertEqual(first.response().data, b"1")
        for i, client in enumerate(waiting, 2):
            self.assertEqual(upstream.recv_head().target, f"/{i}")
            self.assertTrue(client.open_and_silent())
            upstream.respond(body=b"%d" % i)
            self.assertEqual(client.response().data, b"%d" % i)
        self.assertTrue(self.origin.no_connection(), "one connection is enough for all")

    def test_who_finds_the_queue_full_is_told_at_once(self):
        self.start_limited(1, "--upstream-queue-max", "1")
        first = self.ask("/1")
        upstream = self.origin.accept()
        second = self.ask("/2")
        self.wait_requests(2)
        third = self.ask("/3")
        answer = third.response()
        members = self.assert_problem(answer, 503)
        self.assertRegex(members["detail"], "all connections to the upstream are in use")
        self.assertRegex(answer.head["Retry-After"], "^[1-9][0-9]*$")
        self.log(target="/3", end="upstream_busy", status=503)
        for client, body in ((first, b"1"), (second, b"2")):
            upstream.recv_head()
            upstream.respond(body=body)
            self.assertEqual(client.response().data, body)
        third.request("GET", "/3")
        upstream.recv_head()
        upstream.respond(body=b"3")
        self.assertEqual(third.response().data, b"3", "its own connection was kept")

    def test_who_waits_for_too_long_is_told(self):
        self.start_limited(1, "--upstream-queue-timeout", "300ms")
        first = self.ask("/1")
        upstream = self.origin.accept()
        begun = time.monotonic()
        second = self.ask("/2")
        answer = second.response()
        self.assertGreaterEqual(time.monotonic() - begun, 0.3)
        self.assertRegex(self.assert_problem(answer, 503)["detail"], "none became free in time")
        self.log(target="/2", end="upstream_busy", status=503)
        upstream.recv_head()
        upstream.respond(body=b"1")
        self.assertEqual(first.response().data, b"1")

    def test_a_client_that_leaves_while_it_waits_leaves_its_place(self):
        self.start_limited(1, "--upstream-queue-max", "1")
        first = self.ask("/1")
        upstream = self.origin.accept()
        upstream.recv_head()
        for leave, end in (("close", "client_closed"), ("reset", "client_reset")):
            second = self.ask("/2")
            self.wait_requests(2)
            getattr(second, leave)()
            self.log(target="/2", end=end)
            self.wait_requests(1)
        third = self.ask("/3")
        self.wait_requests(2)
        upstream.respond(body=b"1")
        self.assertEqual(first.response().data, b"1")
        self.assertEqual(upstream.recv_head().target, "/3", "nothing was sent for those who left")
        upstream.respond(body=b"3")
        self.assertEqual(third.response().data, b"3")

    def test_a_connection_that_broke_lets_the_next_one_in(self):
        self.start_limited(1)
        first = self.ask("/1")
        self.origin.accept().reset()
        self.assert_problem(first.response(), 502)
        second = self.ask("/2")
        upstream = self.origin.accept()
        third = self.ask("/3")
        self.wait_requests(2)
        second.reset()  # with its connection
        upstream = self.origin.accept()
        self.assertEqual(upstream.recv_head().target, "/3")
        upstream.respond(body=b"3")
        self.assertEqual(third.response().data, b"3")

    def test_many_clients_share_few_connections(self):
        self.start_limited(3, script=numbered)
        clients = [self.client() for _ in range(50)]
        for _ in range(5):
            for client in clients:
                client.request()
            for client in clients:
                self.assertEqual(client.response().status, 200)
        self.assertLessEqual(len(self.origin.connections), 3)

    def test_a_switched_connection_counts_until_its_end(self):
        self.start_limited(1, "--upgrade", "websocket", "--upstream-queue-max", "0")
        first = self.client()
        first.request("GET", "/1", ("Connection", "Upgrade"), ("Upgrade", "websocket"))
        upstream = self.origin.accept()
        upstream.recv_head()
        upstream.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        self.assertEqual(first.recv_head().status, 101)
        second = self.ask("/2")
        self.assert_problem(second.response(), 503)
        first.reset()
        self.log(target="/1", status=101)
        second.request("GET", "/2")
        upstream = self.origin.accept()
        upstream.recv_head()
        upstream.respond(body=b"2")
        self.assertEqual(second.response().data, b"2")


class TunnelQueue(GatewayCase):
    command = "tunnel"

    def test_a_tunnel_waits_for_another_to_end(self):
        self.start("--upstream-connections-max", "1", "--upstream-queue-max", "1")
        first = self.client()
        upstream = self.origin.accept()
        second = self.client()
        second.send(b"second")
        eventually(lambda: self.gateway.live()["requests"] == 2, 5)
        third = self.client()
        self.assertEqual(third.wait_end().kind, "reset")
        self.log(client=third.name, end="upstream_busy")
        self.assertTrue(self.origin.no_connection())
        first.reset()
        self.assertEqual(upstream.wait_end().kind, "reset")
        self.assertEqual(self.origin.accept().recv_exact(6), b"second")
        second.reset()


class Age(GatewayCase):
    def numbers(self, count):
        client = self.client()
        return [int(client.exchange().data) for _ in range(count)]

    def test_so_many_requests_on_a_connection(self):
        self.start("--upstream-requests-per-connection-max", "3", script=numbered)
        self.assertEqual(self.numbers(8), [1, 1, 1, 2, 2, 2, 3, 3])

    def test_so_long_a_connection_lives(self):
        self.start("--upstream-connection-lifetime-max", "400ms", script=numbered)
        self.assertEqual(self.numbers(2), [1, 1])
        self.assertEqual(self.gateway.live()["upstream_idle"], 1)
        eventually(lambda: self.gateway.live()["upstream_idle"] == 0, 5, "it is closed though nobody asks")
        self.assertEqual(self.numbers(1), [2])

    def test_a_connection_in_use_is_not_cut_for_its_age(self):
        self.start("--upstream-connection-lifetime-max", "1ms")
        client = self.client()
        client.request()
        upstream = self.origin.accept()
        upstream.recv_head()
        self.assertTrue(upstream.open_and_silent(0.05))
        upstream.respond(body=b"whole")
        self.assertEqual(client.response().data, b"whole")
        self.assertEqual(upstream.wait_end().kind, "fin")


def broken(connection):
    """Resets every connection once it has been asked something."""
    connection.recv_head()
    connection.reset()


class Load:
    """Clients that ask one thing after the other, on connections that are kept. Counts the answers by status."""

    def __init__(self, address, clients):
        self.address, self.stopped = address, threading.Event()
        self.lock, self.counts, self.failures = threading.Lock(), {}, []
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        client = Client(self.address)
        try:
            while not self.stopped.is_set():
                answer = client.exchange()
                with self.lock:
                    key = answer.data.decode() if answer.status == 200 else answer.status
                    self.counts[key] = self.counts.get(key, 0) + 1
        except Exception as e:  # pylint: disable=broad-except
            self.failures.append(e)
        finally:
            client.close()

    def taken(self):
        """The counts since the last time."""
        with self.lock:
            counts, self.counts = self.counts, {}
            return counts

    def wait(self, key, more):
        """Until there were so many more answers of this kind."""

        def count():
            with self.lock:
                return self.counts.get(key, 0)

        goal = count() + more
        eventually(lambda: count() >= goal, 10 * SLACK, f"{more} more answers {key}: {self.counts}, {self.failures}")

    def close(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join(10)


class UpstreamCase(RunCase):
    def start_upstream(self, endpoints, options="", route=""):
        names = ", ".join(f"'{e}'" for e in endpoints)
        self.run_with(self.listener() + f"routes: [{{proxy: {{upstream: x{route}}}}}]\n"
                      f"upstreams: {{x: {{endpoints: [{names}]{options}}}}}\n", workers=1)

    def ask(self, count):
        """The answers to so many requests, one after the other: bodies, and statuses of failures."""
        client = self.client()
        answers = [client.exchange() for _ in range(count)]
        client.close()
        return [answer.data.decode() if answer.status == 200 else answer.status for answer in answers]


class Ejection(UpstreamCase):
    def test_an_endpoint_that_fails_is_left_alone(self):
        """Of many requests only so many fail as it takes to know."""
        good, bad = self.origin_named("good"), self.origin_named("bad", broken)
        self.start_upstream([good.name, bad.name], ", ejection: {consecutive_failures: 3}")
        answers = self.ask(200)
        self.assertEqual((answers.count(502), answers.count("good")), (3, 197))
        self.assertEqual(len(bad.connections), 3)

    def test_it_is_tried_again_and_taken_back(self):
        well = threading.Event()
        tried = []  # when; an endpoint is ejected after it was tried, so no time between two may be too short

        def sick_one(conn):
            tried.append(time.monotonic())
            (named("sick") if well.is_set() else broken)(conn)

        good, sick = self.origin_named("good"), self.origin_named("sick", sick_one)
        self.start_upstream([good.name, sick.name], ", ejection: {consecutive_failures: 2, base_ejection_time: 300ms}")
        self.assertEqual(self.ask(100).count(502), 2)
        self.assertEqual(eventually(lambda: self.ask(5).count(502), 10), 1, "one failure is enough the second time")
        well.set()
        eventually(lambda: "sick" in self.ask(5), 10)
        self.assertGreater(tried[2] - tried[1], 0.28)
        self.assertGreater(tried[3] - tried[2], 0.58, "it was left alone for twice as long")
        self.assertEqual(self.ask(50).count(502), 0)

    def answers_with_a_sorry_one(self, options):
        good = self.origin_named("good")
        bad = self.origin_named("bad", lambda conn: conn.serve(lambda c, head: c.respond(503, [], b"sorry")))
        self.start_upstream([good.name, bad.name], options)
        return self.ask(100)

    def test_who_answers_5xx_is_not_ejected(self):
        self.assertGreater(self.answers_with_a_sorry_one("").count(503), 10)

    def test_who_answers_5xx_is_ejected_if_that_is_asked_for(self):
        self.assertEqual(self.answers_with_a_sorry_one(", ejection: {consecutive_5xx: 4}").count(503), 4)

    def test_a_single_endpoint_is_always_used(self):
        bad = self.origin_named("bad", broken)
        self.start_upstream([bad.name], ", ejection: {consecutive_failures: 1}")
        self.assertEqual(self.ask(10), [502] * 10)
        self.assertEqual(len(bad.connections), 10)

    def test_when_all_are_ejected_all_are_used(self):
        well = threading.Event()
        script = lambda conn: (named("well") if well.is_set() else broken)(conn)
        both = [self.origin_named(name, script).name for name in "ab"]
        self.start_upstream(both, ", ejection: {consecutive_failures: 1, max_ejection_percent: 100}")
        self.assertEqual(self.ask(10), [502] * 10)
        well.set()
        self.assertEqual(self.ask(10), ["well"] * 10)

    def test_killed_and_back_under_load(self):
        """Only what was in progress there fails: who cannot connect is sent to another."""
        clients = 8
        a, b = self.origin_named("a"), self.origin_named("b")
        self.start_upstream([a.name, b.name], ", ejection: {consecutive_failures: 2, base_ejection_time: 300ms}")
        load = Load(self.gateway.address, clients)
        self.addCleanup(load.close)
        load.wait("a", 20)
        load.wait("b", 20)
        a.close()
        load.wait("b", 500)
        counts = load.taken()
        self.assertLessEqual(sum(n for key, n in counts.items() if key not in ("a", "b")), clients, counts)
        load.wait("b", 1000)
        self.assertEqual(set(load.taken()), {"b"}, "what begins later does not fail")
        self.origin_named("a", port=a.address[1])
        load.wait("a", 100)
        self.assertEqual(set(load.taken()), {"a", "b"})
        load.close()
        self.assertEqual(load.failures, [])


    def test_killed_and_back_under_load_with_retries(self):
        """Then nothing fails at all: what was in progress is sent to the other."""
        a, b = self.origin_named("a"), self.origin_named("b")
        self.start_upstream([a.name, b.name], ", ejection: {consecutive_failures: 2, base_ejection_time: 300ms}, "
                            "retry_budget: {budget_percent: 100}",
                            ", retries: {retry_on: [connect_failure, reset], num_retries: 3}")
        load = Load(self.gateway.address, 8)
        self.addCleanup(load.close)
        for _ in range(3):
            load.wait("a", 20)
            a.close()
            load.wait("b", 300)
            a = self.origin_named("a", port=a.address[1])
        load.wait("a", 100)
        load.close()
        self.assertEqual(set(load.taken()), {"a", "b"})
        self.assertEqual(load.failures, [])

    def test_it_is_said(self):
        good, bad = self.origin_named("good"), self.origin_named("bad", broken)
        self.start_upstream([good.name, bad.name], ", ejection: {consecutive_failures: 2, base_ejection_time: 100ms}")
        self.ask(20)
        for text in ("is ejected for its failures", "has its share again"):
            eventually(lambda: self.ask(1) and f"headgate: upstream x: {bad.name} {text}" in self.gateway.errors, 5, text)


class HealthChecks(UpstreamCase):
    """Each worker asks each endpoint every 100 ms, and some more."""

    def start_checked(self, endpoints, check):
        self.start_upstream(endpoints, f", ejection: {{consecutive_failures: 0}}, health_check: {{interval: 100ms, {check}}}")
        self.measure_between_checks()

    def serve_unwell(self, well):
        """Answers /health as told, and resets whoever asks for anything else while it is unwell."""

        def handle(conn, head):
            if head.target == "/health":
                conn.respond(204 if well.is_set() else 503)
                return False
            if not well.is_set():
                conn.reset()
                return False
            conn.respond(200, [], b"second")

        return lambda conn: conn.serve(handle)

    def test_down_and_up_again(self):
        well = threading.Event()
        well.set()
        first, second = self.origin_named("first"), self.origin_named("second", self.serve_unwell(well))
        self.start_checked([first.name, second.name], "type: http, path: /health")
        self.assertEqual(set(self.ask(60)), {"first", "second"})
        well.clear()
        eventually(lambda: set(self.ask(20)) == {"first"}, 10 * SLACK, "it is found to be down")
        self.assertEqual(set(self.ask(100)), {"first"})
        well.set()
        eventually(lambda: "second" in self.ask(20), 10 * SLACK, "it is found to be up")
        self.assertEqual(set(self.ask(60)), {"first", "second"})

    def test_a_machine_without_a_listener(self):
        """Nobody is sent there once that is known, and nobody failed before."""
        first, second = self.origin_named("first"), self.origin_named("second")
        self.start_checked([first.name, second.name], "type: tcp, unhealthy_threshold: 2")
        self.assertEqual(set(self.ask(60)), {"first", "second"})
        second.close()
        for _ in range(10):
            self.assertEqual(set(self.ask(10)), {"first"})
        self.origin_named("third", port=second.address[1])
        eventually(lambda: "third" in self.ask(20), 10 * SLACK)

    def test_idle_connections_to_who_is_down_are_closed(self):
        well = threading.Event()
        well.set()
        first, second = self.origin_named("first"), self.origin_named("second", self.serve_unwell(well))
        self.start_checked([first.name, second.name], "type: http, path: /health")
        self.assertEqual(set(self.ask(60)), {"first", "second"})
        self.assertEqual(self.gateway.live()["upstream_idle"], 2)
        well.clear()
        eventually(lambda: self.gateway.live()["upstream_idle"] == 1, 10 * SLACK)
        eventually(lambda: f"headgate: upstream x: {second.name} is found to be down" in self.gateway.errors)
        well.set()
        eventually(lambda: f"headgate: upstream x: {second.name} is found to be up" in self.gateway.errors, 10 * SLACK)

    def test_checks_end_when_the_upstream_is_changed_or_gone(self):
        first, second = self.origin_named("first"), self.origin_named("second")
        self.start_checked([first.name], "type: tcp")
        eventually(lambda: len(first.connections) >= 2, 10)
        self.reload(self.listener() + "routes: [{proxy: {upstream: x}}]\n"
                    f"upstreams: {{x: {{endpoints: ['{second.name}']}}}}\n", workers=1)
        self.leaks = LeakCheck(self.gateway, 1)
        count = len(first.connections)
        self.assertEqual(set(self.ask(20)), {"second"})
        begun = time.monotonic()
        eventually(lambda: time.monotonic() - begun > 0.5)  # several intervals, in which nothing happens
        self.assertLessEqual(len(first.connections), count + 1, "one may not have been accepted yet")

    def test_when_all_are_down_all_are_used(self):
        sorry = threading.Event()
        origins = [self.origin_named(name, self.serve_unwell(sorry)) for name in "ab"]
        self.start_checked([o.name for o in origins], "type: http, path: /health, unhealthy_threshold: 1")
        eventually(lambda: all(len(o.connections) >= 2 for o in origins), 10)
        before = [len(o.connections) for o in origins]
        self.assertEqual(set(self.ask(30)), {502})
        for origin, count in zip(origins, before):
            self.assertGreater(len(origin.connections), count + 3)


class Balancing(UpstreamCase):
    def start_three(self, balancing):
        self.start_upstream([self.origin_named(name).name for name in "abc"], f", balancing: {{{balancing}}}")

    def test_in_turn(self):
        self.start_three("policy: round_robin")
        answers = self.ask(12)
        self.assertEqual(set(answers[:3]), {"a", "b", "c"})
        self.assertEqual(answers, answers[:3] * 4)

    def test_the_same_key_goes_to_the_same_endpoint(self):
        self.start_three("policy: consistent_hash, hash_on: cookie, hash_name: sid")
        homes = {}
        for i in list(range(40)) * 2:
            answer = self.client().exchange("GET", "/", ("Cookie", f"other=1; sid={i}")).data
            self.assertEqual(homes.setdefault(i, answer), answer)
        self.assertEqual(set(homes.values()), {b"a", b"b", b"c"})


class Sticky(UpstreamCase):
    def start_sticky(self, names="abc", options="", more=""):
        self.homes = {name: self.origin_named(name) for name in names}
        self.start_upstream([o.name for o in self.homes.values()],
                            f", balancing: {{policy: round_robin}}, sticky_cookie: {{name: home{options}}}{more}")

    def ask_with(self, *cookies):
        fields = [("Cookie", "; ".join(cookies))] if cookies else []
        client = self.client()
        answer = client.exchange("GET", "/", *fields)
        client.close()
        return answer.data.decode(), answer.head.get("Set-Cookie")

    def test_a_client_comes_back(self):
        self.start_sticky()
        tokens = {}
        for _ in range(6):
            home, cookie = self.ask_with()
            self.assertRegex(cookie, "^home=[0-9a-f]{16}; Path=/; HttpOnly; SameSite=Lax$")
            tokens[home] = cookie.split(";")[0]
        self.assertEqual(len(set(tokens.values())), 3)
        for home, token in tokens.items():
            for _ in range(5):
                self.assertEqual(self.ask_with("a=1", token, "b=2"), (home, None))
        for forged in ("home=", "home=0123456789abcdef", "home=127.0.0.1:80", "home=" + "f" * 100):
            self.assertIsNotNone(self.ask_with(forged)[1])

    def test_attributes(self):
        self.start_sticky(options=", ttl: 90s, path: /app, secure: true, same_site: none")
        self.assertRegex(self.ask_with()[1], "^home=[0-9a-f]{16}; Path=/app; Max-Age=90; HttpOnly; Secure; SameSite=None$")

    def test_an_endpoint_that_is_gone_is_replaced(self):
        self.start_sticky("ab", more=", ejection: {consecutive_failures: 1}")
        home, cookie = self.ask_with()
        token = cookie.split(";")[0]
        self.homes[home].close()
        other, fresh = self.ask_with(token)
        self.assertNotEqual(other, home)
        self.assertEqual(self.ask_with(fresh.split(";")[0]), (other, None))

    def test_a_secret_makes_the_same_values_again(self):
        cookies = set()
        origin = self.origin_named("a")
        for _ in range(2):
            if self.gateway:
                self.gateway.stop()
            self.start_upstream([origin.name], ", sticky_cookie: {name: home, secret: hush}")
            cookies.add(self.ask_with()[1])
        self.assertEqual(len(cookies), 1)

    def test_a_reload_keeps_what_clients_have(self):
        self.start_sticky("ab")
        home, cookie = self.ask_with()
        names = ", ".join(f"'{o.name}'" for o in self.homes.values())
        self.reload(self.listener() + "routes: [{proxy: {upstream: x}}]\n"
                    f"upstreams: {{x: {{endpoints: [{names}], queue_max: 7, sticky_cookie: {{name: home}}}}}}\n", workers=1)
        for _ in range(5):
            self.assertEqual(self.ask_with(cookie.split(";")[0]), (home, None))


class Circuit(UpstreamCase):
    def start_guarded(self, script, options, route="", more=""):
        self.guarded = self.origin_named("guarded", script)
        self.run_with(self.listener() + f"routes: [{{proxy: {{upstream: x{route}}}}}]\n"
                      f"upstreams: {{x: {{endpoints: ['{self.guarded.name}'], circuit_breaker: {{{options}}}}}{more}}}\n",
                      workers=1)

    def test_it_opens_and_is_tried_again_and_closes(self):
        well = threading.Event()
        self.start_guarded(lambda conn: (named("well") if well.is_set() else broken)(conn),
                           "consecutive_failures: 3, open_time: 1500ms, half_open_probes: 2")
        self.assertEqual(self.ask(10), [502] * 3 + [503] * 7)
        self.assertEqual(len(self.guarded.connections), 3, "nothing is sent while it is open")
        answer = self.client().exchange("GET", "/refused")
        self.assertRegex(self.assert_problem(answer, 503)["detail"], "too many requests to the upstream have failed")
        self.assertIn(answer.head["Retry-After"], ("1", "2"))
        self.log(target="/refused", end="upstream_circuit_open", status=503)
        eventually(lambda: self.ask(1) == [502], 10, "it is tried again")
        self.assertEqual(self.ask(1), [503], "one failure is enough now")
        well.set()
        eventually(lambda: self.ask(1) == ["well"], 10)
        self.assertEqual(self.ask(20), ["well"] * 20)

    def test_half_open_only_so_many_pass(self):
        hold = threading.Event()
        self.addCleanup(hold.set)
        asked = []

        def script(conn):
            def handle(conn, head):
                asked.append(head.target)
                if head.target == "/fail":
                    conn.respond(500, [], b"")
                else:
                    hold.wait(20)
                    conn.respond(200, [], b"ok")

            conn.serve(handle)

        self.start_guarded(script, "consecutive_failures: 1, open_time: 200ms, half_open_probes: 2")
        self.assertEqual(self.client().exchange("GET", "/fail").status, 500)
        clients = [self.client() for _ in range(6)]
        eventually(lambda: self.ask(1) == [503])
        begun = time.monotonic()
        eventually(lambda: time.monotonic() - begun > 0.3)  # it is half-open
        for client in clients:
            client.request("GET", "/probe")
        refused = [c for c in clients if not c.open_and_silent(0.1)]
        self.assertEqual((len(refused), asked.count("/probe")), (4, 2))
        for client in refused:
            self.assertEqual(client.response().status, 503)
        hold.set()
        for client in clients:
            if client not in refused:
                self.assertEqual(client.response().data, b"ok")
        self.assertEqual(self.ask(5), ["ok"] * 5)

    def test_a_probe_whose_client_leaves_tells_nothing(self):
        hold = threading.Event()
        self.addCleanup(hold.set)

        def handle(conn, head):
            if head.target == "/fail":
                conn.respond(500, [], b"")
                return True
            if head.target == "/hold":
                conn.wait_end(20)
                return False
            conn.respond(200, [], b"ok")
            return True

        self.start_guarded(lambda conn: conn.serve(handle), "consecutive_failures: 1, open_time: 100ms, half_open_probes: 1")
        self.assertEqual(self.client().exchange("GET", "/fail").status, 500)
        probe = self.client()

        def held():
            probe.request("GET", "/hold")
            return probe.open_and_silent(0.05) or not probe.response()

        eventually(held, 10)
        self.assertEqual(self.ask(3), [503] * 3)
        probe.reset()
        eventually(lambda: self.ask(1) == ["ok"], 5)


class Fallback(UpstreamCase):
    def start_fallback(self, primary, route="", options="", fallback=None):
        fallback = fallback or self.origin_named("fallback").name
        self.run_with(self.listener() + f"routes: [{{proxy: {{upstream: x, fallback: y{route}}}}}]\n"
                      f"upstreams: {{x: {{endpoints: ['{primary}']{options}}}, y: {{endpoints: ['{fallback}']}}}}\n",
                      workers=1)

    def test_nobody_listens(self):
        gone = self.origin_named("gone")
        gone.close()
        self.start_fallback(gone.name)
        self.assertEqual(self.ask(3), ["fallback"] * 3)
        client = self.client()
        client.request("POST", "/", body=b"x" * 100_000)  # nothing was sent yet
        self.assertEqual(client.response().data, b"fallback")

    def test_it_breaks_before_it_answers(self):
        self.start_fallback(self.origin_named("bad", broken).name)
        self.assertEqual(self.ask(3), ["fallback"] * 3)
        client = self.client()
        client.request("POST", "/", body=b"once")
        self.assert_problem(client.response(), 502)

    def test_the_circuit_is_open(self):
        bad = self.origin_named("bad", broken)
        self.start_fallback(bad.name, options=", circuit_breaker: {consecutive_failures: 2}")
        self.assertEqual(self.ask(10), ["fallback"] * 10)
        self.assertEqual(len(bad.connections), 2)
        client = self.client()
        client.request("POST", "/", body=b"x" * 100_000)  # it was not even tried
        self.assertEqual(client.response().data, b"fallback")

    def test_no_endpoint_is_well(self):
        bad = self.origin_named("bad", lambda conn: conn.serve(lambda c, head: c.respond(500, [], b"sorry")))
        self.start_fallback(bad.name, options=", health_check: {type: http, interval: 100ms, unhealthy_threshold: 1}")
        self.measure_between_checks()
        eventually(lambda: self.ask(1) == ["fallback"], 10)
        self.assertEqual(self.ask(10), ["fallback"] * 10)

    def test_after_retries(self):
        asked = []

        def sorry(conn, head):
            asked.append(head.target)
            conn.respond(503, [], b"sorry")

        bad = self.origin_named("bad", lambda conn: conn.serve(sorry))
        self.start_fallback(bad.name, ", retries: {retry_on: [503], num_retries: 2, base_interval: 1ms}")
        self.assertEqual(self.client().exchange().data, b"fallback")
        self.assertEqual(asked, ["/"] * 3)

    def test_an_answer_that_is_no_reason_for_a_retry_is_passed_on(self):
        bad = self.origin_named("bad", lambda conn: conn.serve(lambda c, head: c.respond(503, [], b"sorry")))
        self.start_fallback(bad.name)
        self.assertEqual(self.ask(3), [503] * 3)

    def test_the_fallback_fails_too(self):
        gone = [self.origin_named(name) for name in ("a", "b")]
        for origin in gone:
            origin.close()
        self.start_fallback(gone[0].name, fallback=gone[1].name)
        self.assert_problem(self.client().exchange(), 502)
        self.log(upstream=gone[1].name, end="upstream_refused", status=502)


if __name__ == "__main__":
    unittest.main()
