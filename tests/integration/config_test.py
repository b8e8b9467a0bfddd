#!/usr/bin/env python3
"""The commands about configurations, the example, and the schema."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import jsonschema
import yaml

from support import BINARY

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EXAMPLE = ROOT / "packaging/headgate.example.yaml"

SHORTEST = """\
listeners: [{name: web, address: ":8080"}]
routes: [{match: {path_prefix: /api/}, proxy: {upstream: api}}]
upstreams: {api: {endpoints: ["127.0.0.1:9001", "127.0.0.1:9002"]}}
"""

# Files that are wrong in a way that a schema can know.
WRONG = {
    "unknown key": SHORTEST + "server: {worker: 1}\n",
    "no unit": SHORTEST + "server: {drain_timeout: 30}\n",
    "not a size": SHORTEST + "server: {stream_buffer: 64KB}\n",
    "out of range": SHORTEST + "server: {workers: 0}\n",
    "not a boolean": SHORTEST + "server: {access_log: maybe}\n",
    "two actions": SHORTEST.replace("proxy:", "respond: {}, proxy:"),
    "no action": SHORTEST.replace(", proxy: {upstream: api}", ""),
    "two paths": SHORTEST.replace("/api/", "/api/, path: /x"),
    "no slash": SHORTEST.replace("/api/", "api"),
    "no endpoints": SHORTEST.replace('"127.0.0.1:9001", "127.0.0.1:9002"', ""),
    "no port": SHORTEST.replace("127.0.0.1:9001", "127.0.0.1"),
    "no address": SHORTEST.replace(', address: ":8080"', ""),
    "no listeners": SHORTEST.split("\n", 1)[1],
    "bad name": SHORTEST.replace("name: web", "name: a b"),
}


def run(*arguments, cwd=None, **environment):
    return subprocess.run([BINARY, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=20, cwd=cwd, env=os.environ | environment)


class Commands(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, text, name="gateway.yaml"):
        (self.folder / name).write_text(text)
        return name

    def run_here(self, *arguments, **environment):
        return run(*arguments, cwd=self.folder, **environment)

    def assert_ok(self, done, output=None):
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        if output is not None:
            self.assertEqual(done.stdout, output)

    def test_validate(self):
        file = self.write(SHORTEST)
        self.assert_ok(self.run_here("validate", "-c", file), "gateway.yaml: ok, 1 listener, 1 route, 1 upstream\n")

    def test_validate_tells_what_is_wrong(self):
        file = self.write(SHORTEST.replace("upstream: api}", "upstrem: api, rate_grace: 3}"))
        done = self.run_here("validate", "-c", file)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        line = SHORTEST.splitlines()[1].replace("upstream: api}", "upstrem: api, rate_grace: 3}")
        self.assertIn(f"gateway.yaml:2:{line.index('upstrem') + 1}: 'upstrem' is not a key of proxy; did you mean "
                      f"'upstream'?\n  2 | {line}\n    | {' ' * line.index('upstrem')}^\n", done.stderr)
        self.assertIn("'3' needs a unit: write 3s, or ms, m or h", done.stderr)

    def test_files_that_cannot_be_read(self):
        for name, message in {"none.yaml": "No such file", ".": "not a regular file"}.items():
            done = self.run_here("validate", "-c", name)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertRegex(done.stderr, f"^{re.escape(name)}: cannot be read: .*{message}")
        done = self.run_here("validate", "-c", self.write("# nothing\n"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("is empty", done.stderr)

    def test_usage(self):
        file = self.write(SHORTEST)
        for arguments in (["validate"], ["validate", "-c"], ["validate", "-c", file, "more"], ["explain"],
                          ["explain", "-c", file, "GET"], ["explain", "-c", file, "-H", "a: b"], ["schema", "x"], ["init", "a", "b"],
                          ["explain", "-c", file, "G T", "/"], ["explain", "-c", file, "GET", "no-path"],
                          ["explain", "-c", file, "GET", "http://a b/"],
                          ["explain", "-c", file, "GET", "/", "-H", "no colon"],
                          ["explain", "-c", file, "GET", "/", "-H", "a b: c"]):
            with self.subTest(arguments):
                done = self.run_here(*arguments)
                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertNotEqual(done.stderr, "")

    def test_init(self):
        done = self.run_here("init")
        self.assert_ok(done, "headgate.yaml: written; to check it: headgate validate -c headgate.yaml\n")
        self.assert_ok(self.run_here("validate", "-c", "headgate.yaml"),
                       "headgate.yaml: ok, 1 listener, 2 routes, 1 upstream\n")
        again = self.run_here("init")
        self.assertEqual((again.returncode, again.stdout), (1, ""))
        self.assertIn("headgate.yaml: it exists already", again.stderr)
        self.assert_ok(self.run_here("init", "other.yaml"))
        text = (self.folder / "other.yaml").read_text()
        self.assertEqual(text, (self.folder / "headgate.yaml").read_text())
        jsonschema.Draft202012Validator(schema()).validate(yaml.safe_load(text))

    def test_variables_and_files(self):
        (self.folder / "secret").write_text("hush-hush\n")
        text = SHORTEST.replace("127.0.0.1:9001", "${WHERE}")
        file = self.write(text.replace("/api/", f'"${{file:{self.folder}/secret}}"'))
        done = self.run_here("validate", "-c", file, WHERE="nowhere")
        self.assertEqual(done.returncode, 1)
        self.assertIn("'nowhere' is not host:port", done.stderr)
        self.assertRegex(done.stderr, r"gateway.yaml:2:33: '\$\{file:.*/secret\}' is not a path")
        self.assertNotIn("hush", done.stderr)
        (self.folder / "secret").write_text("/hush/\n")
        self.assert_ok(self.run_here("validate", "-c", file, WHERE="127.0.0.1:1"))
        done = self.run_here("validate", "-c", file)
        self.assertIn("the variable WHERE is not set", done.stderr)

    def explain(self, *arguments, text=None):
        done = self.run_here("explain", "-c", self.write(text or EXAMPLE.read_text()), *arguments)
        self.assert_ok(done)
        return done.stdout

    def test_explain(self):
        text = self.explain("GET", "http://api.example.org:8080/v1/users?preview=1", "-H", "X-Version: next")
        self.assertRegex(text, r"at the listener web \(gateway.yaml:\d+\), 0.0.0.0:8080\n  takes the route next ")
        self.assertRegex(text, r"not api \(gateway.yaml:\d+\), which would take it, too: it asks for fewer header fields")
        self.assertRegex(text, r"goes to the upstream api-next \(gateway.yaml:\d+\): 127.0.0.1:9003\n")
        line = EXAMPLE.read_text().splitlines().index("    first_byte_timeout: 1m") + 1
        self.assertRegex(text, rf"\n +first_byte_timeout +1m +gateway.yaml:{line}, defaults\n")
        self.assertNotIn("listener postgres", text)

        text = self.explain("GET", "http://x.api.example.org:8080/v1/../v1/users", "-H", "X-Version: next")
        self.assertIn("takes the route api ", text)
        self.assertRegex(text, r"upstream api \(.*\), weight 90: 127.0.0.1:9001, 127.0.0.1:9002 weight 2\n")
        line = EXAMPLE.read_text().splitlines().index("      first_byte_timeout: 20s # only here") + 1
        self.assertRegex(text, rf"\n +first_byte_timeout +20s +gateway.yaml:{line}\n")
        self.assertIn("takes the route health ", self.explain("GET", "/healthz"))
        self.assertIn("answered 404", self.explain("GET", "/"))
        self.assertIn("no http listener on port 5433", self.explain("GET", "http://a:5433/"))

    def test_explain_what_is_built_in(self):
        text = self.explain("GET", "/api/x", text=SHORTEST)
        self.assertRegex(text, r"\n +connect_timeout +5s +built in\n")
        self.assertRegex(text, r"\n +header_timeout +15s +built in\n")

    def test_explain_all(self):
        text = self.explain()
        listeners = re.findall(r"^listener (\S+) \(gateway.yaml:\d+\)$", text, re.MULTILINE)
        document = yaml.safe_load(EXAMPLE.read_text())
        self.assertEqual(listeners, [each["name"] for each in document["listeners"]])
        for kind in ("upstreams", "sources"):
            self.assertEqual(re.findall(rf"^{kind[:-1]} (\S+) ", text, re.MULTILINE), list(document[kind]))
        self.assertEqual(len(re.findall("^route ", text, re.MULTILINE)), len(document["routes"]))
        line = EXAMPLE.read_text().splitlines().index("    first_byte_timeout: 1m") + 1
        self.assertRegex(text, rf"\n +first_byte_timeout +1m +gateway.yaml:{line}, defaults\n")
        self.assertRegex(text, r"\n +sampling +0\.01 +gateway.yaml:\d+\n")

    def test_explain_tells_no_secrets(self):
        sources = ("a: {postgres: 'postgresql://u:hush@h/d?x=1'}", "b: {postgres: 'postgres://u:hu@sh@h'}",
                   "c: {postgres: 'host=h password=hush'}", "d: {postgres: 'postgres://h/d?password=hush'}",
                   "e: {postgres: 'postgres://u@h:5432/d'}")
        text = self.explain(text=SHORTEST + "sources: {" + ", ".join(sources) + "}\n")
        self.assertNotIn("hush", text)
        told = re.findall(r"^    postgres +(.*?) +gateway.yaml", text, re.MULTILINE)
        self.assertEqual(told, ["postgresql://u:(not shown)@h/d?x=1", "postgres://u:(not shown)@h", "(not shown)", "(not shown)",
                                "postgres://u@h:5432/d"])

    def test_explain_needs_a_right_configuration(self):
        done = self.run_here("explain", "-c", self.write("a: 1\n"), "GET", "/")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("'a' is not a key", done.stderr)

    def test_what_the_schema_refuses_is_refused(self):
        validator = jsonschema.Draft202012Validator(schema())
        for what, text in WRONG.items():
            with self.subTest(what):
                self.assertFalse(validator.is_valid(yaml.safe_load(text)))
                self.assertEqual(self.run_here("validate", "-c", self.write(text)).returncode, 1)


def schema():
    return json.loads(run("schema").stdout)


def marked(document, part, value, found):
    """Adds to `found` each key of `value`, with its description, that the part of the schema knows."""
    if "$ref" in part:
        marked(document, document["$defs"][part["$ref"].rsplit("/", 1)[1]], value, found)
    for form in part.get("anyOf", []):
        marked(document, form, value, found)
    if isinstance(value, dict):
        for key, inside in value.items():
            if known := part.get("properties", {}).get(key):
                found.add((key, known["description"]))
                marked(document, known, inside, found)
            elif isinstance(part.get("additionalProperties"), dict):
                marked(document, part["additionalProperties"], inside, found)
    if isinstance(value, list):
        for inside in value:
            marked(document, part.get("items", {}), inside, found)


def described(part):
    """All keys that the schema knows, with their descriptions."""
    if isinstance(part, dict):
        for key, inside in part.get("properties", {}).items():
            yield key, inside["description"]
        for inside in part.values():
            yield from described(inside)
    if isinstance(part, list):
        for inside in part:
            yield from described(inside)


class Example(unittest.TestCase):
    def test_it_is_right(self):
        done = run("validate", "--without-files", "-c", str(EXAMPLE))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("ok, 3 listeners, 8 routes, 4 upstreams", done.stdout)

    def test_the_schema_is_one_and_takes_it(self):
        jsonschema.Draft202012Validator.check_schema(schema())
        for text in (EXAMPLE.read_text(), SHORTEST):
            jsonschema.Draft202012Validator(schema()).validate(yaml.safe_load(text))

    def test_it_has_every_key(self):
        found = set()
        marked(schema(), schema(), yaml.safe_load(EXAMPLE.read_text()), found)
        self.assertEqual(set(described(schema())) - found, set())


if __name__ == "__main__":
    unittest.main()
