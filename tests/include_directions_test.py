#!/usr/bin/env python3
"""include_directions.py must find what it is there to find: each wrong include is fed to it in a temporary tree."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKER = pathlib.Path(__file__).resolve().parent / "include_directions.py"


class IncludeDirections(unittest.TestCase):
    def run_checker(self, name, text):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True)
            path.write_text(text, encoding="utf-8")
            return subprocess.run([sys.executable, "-B", CHECKER, folder], capture_output=True, text=True, check=False)

    def assert_refused(self, name, text, message):
        done = self.run_checker(name, text)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn(message, done.stdout)

    def assert_accepted(self, name, text):
        done = self.run_checker(name, text)
        self.assertEqual(done.stdout + done.stderr, "1 files, 0 violations\n")
        self.assertEqual(done.returncode, 0)

    def test_every_room_refuses_what_it_may_not_know(self):
        for room, target in [("core", "flow"), ("flow", "io"), ("flow", "stages"), ("stages", "io"), ("io", "stages"),
                             ("io", "http"), ("http", "db"), ("http", "stages"), ("db", "http"), ("testing", "http"),
                             ("io", "testing")]:
            with self.subTest(room=room, target=target):
                self.assert_refused(f"headgate/{room}/a.cpp", f"#include <headgate/{target}/b.hpp>\n",
                                    f"headgate/{room}/a.cpp:1: <headgate/{target}/b.hpp>: headgate/{room} may not include")

    def test_the_library_does_not_know_the_gateway(self):
        self.assert_refused("headgate/http/a.cpp", "#include <gateway/routes/b.hpp>\n", "may not include gateway")

    def test_what_is_below_is_accepted(self):
        self.assert_accepted("headgate/http/client.cpp", "#include <headgate/io/a.hpp>\n#include <headgate/core/b.hpp>\n")
        self.assert_accepted("headgate/io/tcp.cpp", "#include <sys/socket.h>\n#include <headgate/io/tcp.hpp>\n")
        self.assert_accepted("gateway/main.cpp", "#include <headgate/db/a.hpp>\n#include <gateway/config/b.hpp>\n")

    def test_tests_may_use_the_test_kit(self):
        self.assert_accepted("headgate/flow/a_test.cpp", "#include <headgate/testing/b.hpp>\n")
        self.assert_refused("headgate/flow/a_test.cpp", "#include <headgate/io/b.hpp>\n", "may not include headgate/io")

    def test_no_operating_system_in_the_inner_rooms(self):
        for header in ["sys/socket.h", "unistd.h", "fcntl.h", "netinet/in.h"]:
            for room in ["core", "flow", "stages"]:
                self.assert_refused(f"headgate/{room}/a.cpp", f"#include <{header}>\n", "knows no operating system")
        self.assert_accepted("headgate/core/a_test.cpp", "#include <sys/resource.h>\n")

    def test_http_parsers_do_no_io(self):
        for name in ["message.hpp", "parser.cpp", "chunked.hpp", "writer.cpp"]:
            self.assert_refused(f"headgate/http/{name}", "#pragma once\n#include <headgate/io/loop.hpp>\n",
                                "an HTTP parser does no I/O")

    def test_headers_start_with_pragma_once(self):
        self.assert_refused("headgate/io/a.hpp", "#include <vector>\n#pragma once\n", "starts with #pragma once")
        self.assert_accepted("headgate/io/a.hpp", "// One line\n/* and\n   more */\n\n#pragma once\n#include <vector>\n")

    def test_quotes_and_unknown_rooms_are_refused(self):
        self.assert_refused("headgate/io/a.cpp", '#include "loop.hpp"\n', "are written <from/the/root.hpp>")
        self.assert_refused("headgate/cellar/a.cpp", "int a;\n", "headgate/cellar is not in the rule table")
        self.assert_refused("gateway/a.cpp", "#include <headgate/cellar/a.hpp>\n", "not in the rule table")

    def test_an_include_in_a_comment_is_none(self):
        self.assert_accepted("headgate/core/a.cpp", "// #include <headgate/io/a.hpp>\n/*\n#include <headgate/io/b.hpp>\n*/\n")

    def test_the_line_is_right(self):
        self.assert_refused("headgate/core/a.cpp", "/* 1\n2 */\nint a;\n\n  #  include <unistd.h>\n", "headgate/core/a.cpp:5:")


if __name__ == "__main__":
    unittest.main()
