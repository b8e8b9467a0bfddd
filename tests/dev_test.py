#!/usr/bin/env python3
"""./dev installs what is missing, as it should, and leaves the machine as it was.

The script runs in a copy of itself whose path has a space, with a PATH that holds only what each test puts there: a few real tools, and
stand-ins for dpkg-query, apt-get, sudo and systemctl that write down how they were called. Nothing is installed.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

DEV = pathlib.Path(__file__).resolve().parent.parent / "dev"
TOOLS = ["awk", "bash", "cat", "chmod", "cksum", "clang-format-19", "cp", "dirname", "env", "find", "git", "grep", "mkdir", "mv",
         "nproc", "readlink", "rm", "rmdir", "sed", "sh", "sort", "tee", "touch", "tr", "wc", "xargs"]

DPKG_QUERY = """
for word; do [ ! -e "$STATE/installed/$word" ] || { case "$*" in *Package*) printf '%s ' "$word";; esac; echo installed; }; done"""

# Installing asks the policy about three services, as a package's own script would, and may be told to fail or to kill
# its caller.
APT_GET = """
echo "apt-get $*" >>"$STATE/log"
case " $* " in *" --simulate "*) [ ! -e "$STATE/no-lists" ] || exit 100; exit 0 ;; *" update "*) rm -f "$STATE/no-lists"; exit 0 ;; esac
for service in nginx nginx.service haproxy.service ssh; do
    if [ -x "$HEADGATE_POLICY" ]; then "$HEADGATE_POLICY" "$service" start; else true; fi
    echo "policy $service $?" >>"$STATE/log"
done
[ ! -e "$STATE/kill" ] || kill -TERM $PPID
[ ! -e "$STATE/fail" ] || exit 100
for word; do case $word in -*|install|*=*) ;; *) touch "$STATE/installed/$word" ;; esac; done"""

RECORD = """echo "$(printf '%s ' "${0##*/}" "$@")" >>"$STATE/log\""""


class Dev(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="headgate dev ")
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.bin, self.checkout, self.policy = self.root / "bin", self.root / "check out", self.root / "policy-rc.d"
        self.installed = self.root / "installed"
        for path in [self.bin, self.checkout, self.installed]:
            path.mkdir()
        shutil.copy(DEV, self.checkout / "dev")
        for tool in TOOLS:
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)
        self.stand_in("dpkg-query", DPKG_QUERY)
        self.stand_in("apt-get", APT_GET)
        self.stand_in("sudo", RECORD + '\nexec "$@"')
        self.stand_in("systemctl", RECORD)
        self.stand_in("id", "echo 1000")
        text = DEV.read_text(encoding="utf-8")
        lists = re.search(r"declare -A packages=\((.*?)\n\)", text, re.DOTALL).group(1)
        for package in re.sub(r'\[\w+\]=|"', " ", lists).split():
            (self.installed / package).touch()

    def stand_in(self, name, script):
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!{shutil.which('sh')}\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def uninstall(self, *packages):
        for package in packages:
            (self.installed / package).unlink()

    def dev(self, *arguments, **environment):
        return subprocess.run([self.checkout / "dev", *arguments], cwd="/", capture_output=True, text=True, check=False, timeout=60,
                              env={"PATH": str(self.bin), "HOME": str(self.root), "STATE": str(self.root),
                                   "HEADGATE_POLICY": str(self.policy), **environment})

    def log(self):
        path = self.root / "log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def assert_ok(self, done):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    # ---- help

    def test_every_command_has_help(self):
        commands = re.findall(r"^cmd_(\w+)\(\)", DEV.read_text(encoding="utf-8"), re.MULTILINE)
        self.assertIn("demo", commands)
        overview = self.dev("help")
        self.assert_ok(overview)
        self.assertEqual(overview.stdout, self.dev().stdout)
        for command in commands:
            self.assertEqual(len(re.findall(rf"^  {command} .*\w", overview.stdout, re.MULTILINE)), 1, command)
            details = self.dev("help", command).stdout.splitlines()
            self.assertGreater(len(details), 1, command)
            self.assertTrue(details[0].startswith(command), details)

    def test_an_unknown_command_is_an_error(self):
        for arguments in [["nonsense"], ["help", "nonsense"], ["tidy", "nonsense"]]:
            done = self.dev(*arguments)
            self.assertEqual(done.returncode, 1)
            self.assertIn("./dev help", done.stderr)

    # ---- installing

    def test_nothing_is_done_when_nothing_is_missing(self):
        done = self.dev("deps")
        self.assert_ok(done)
        self.assertEqual(self.log(), "")
        self.assertRegex(done.stdout, r"^\./dev deps: ok in \d+ s; everything is installed\n$")

    def test_what_is_missing_is_named_and_installed(self):
        self.uninstall("libfmt-dev", "wrk")
        done = self.dev("deps")
        self.assert_ok(done)
        self.assertIn("to compile headgate: libfmt-dev\n", done.stdout)
        self.assertIn("to run the tests: wrk\n", done.stdout)
        self.assertIn("using sudo", done.stdout)
        self.assertRegex(self.log(), r"sudo env DEBIAN_FRONTEND=noninteractive apt-get .* install -y --no-install-recommends libfmt-dev wrk")
        self.assertNotIn("update", self.log())
        self.assertNotIn("sudo tee", self.log())

    def test_a_command_installs_only_its_own(self):
        self.uninstall("libbenchmark-dev", "clang-tidy-19")
        self.dev("soak")
        self.assertEqual(self.log(), "")

    def test_root_needs_no_sudo(self):
        self.stand_in("id", "echo 0")
        (self.bin / "sudo").unlink()
        self.uninstall("wrk")
        self.assert_ok(self.dev("deps", "test"))
        self.assertTrue((self.installed / "wrk").exists())

    def test_package_lists_are_fetched_when_they_are_missing(self):
        (self.root / "no-lists").touch()
        self.uninstall("wrk")
        self.assert_ok(self.dev("deps"))
        self.assertRegex(self.log(), r"(?s)--simulate.* update\n.* install -y ")

    def test_neither_root_nor_sudo(self):
        (self.bin / "sudo").unlink()
        self.uninstall("wrk")
        done = self.dev("deps")
        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no sudo here. Run as root: apt-get install wrk\n", done.stderr)
        self.assertIn("./dev deps: FAILED", done.stdout)

    def test_not_debian(self):
        (self.bin / "dpkg-query").unlink()
        done = self.dev("deps", "build")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not a Debian system", done.stderr)
        self.assertRegex(done.stderr, r"to compile headgate: clang-19 .*zlib1g-dev\n")
        self.assert_ok(self.dev("deps", "build", HEADGATE_DEPS="skip"))

    # ---- services

    def test_new_services_are_not_started(self):
        self.uninstall("nginx-light", "haproxy")
        self.assert_ok(self.dev("deps"))
        self.assertIn("policy nginx 101\npolicy nginx.service 101\npolicy haproxy.service 101\npolicy ssh 0\n", self.log())
        self.assertIn("systemctl --quiet disable nginx", self.log())
        self.assertIn("systemctl --quiet disable haproxy", self.log())
        self.assertFalse(self.policy.exists())

    def test_a_service_that_is_in_use_is_left_alone(self):
        (self.installed / "nginx").touch()
        self.uninstall("nginx-light", "haproxy")
        self.assert_ok(self.dev("deps"))
        self.assertIn("policy nginx 0\npolicy nginx.service 0\npolicy haproxy.service 101\n", self.log())
        self.assertNotIn("disable nginx", self.log())

    def keep_a_policy(self):
        self.policy.write_text("#!/bin/sh\n# mine\ncase $1 in ssh) exit 104;; esac\nexit 0\n", encoding="utf-8")
        self.policy.chmod(0o755)

    def assert_policy_is_kept(self):
        self.assertIn("# mine", self.policy.read_text(encoding="utf-8"))
        self.assertEqual([path.name for path in self.root.glob("policy*")], ["policy-rc.d"])

    def test_an_existing_policy_is_asked_and_given_back(self):
        self.keep_a_policy()
        self.uninstall("haproxy")
        self.assert_ok(self.dev("deps"))
        self.assertIn("policy nginx 0\npolicy nginx.service 0\npolicy haproxy.service 101\npolicy ssh 104\n", self.log())
        self.assert_policy_is_kept()

    def test_the_policy_is_given_back_after_a_failure(self):
        self.keep_a_policy()
        (self.root / "fail").touch()
        self.uninstall("haproxy")
        done = self.dev("deps")
        self.assertEqual(done.returncode, 1)
        self.assertIn("apt-get could not install: haproxy", done.stderr)
        self.assertIn("policy haproxy.service 101", self.log())
        self.assert_policy_is_kept()

    def test_the_policy_is_given_back_after_a_signal(self):
        self.keep_a_policy()
        (self.root / "kill").touch()
        self.uninstall("haproxy")
        done = self.dev("deps")
        self.assertEqual(done.returncode, 143, done.stdout + done.stderr)
        self.assert_policy_is_kept()

    def test_the_policy_is_given_back_by_the_run_after_one_that_was_killed(self):
        self.keep_a_policy()
        self.policy.rename(self.root / "policy-rc.d.before-headgate")
        self.policy.write_text("#!/bin/sh\n# written by headgate's ./dev for the time of one apt-get install\nexit 101\n", encoding="utf-8")
        self.uninstall("haproxy")
        self.assert_ok(self.dev("deps"))
        self.assert_policy_is_kept()

    # ---- the checkout

    @unittest.skipIf(os.geteuid() == 0, "root can write everything")
    def test_a_checkout_that_cannot_be_written_is_built_elsewhere(self):
        self.checkout.chmod(0o555)
        self.addCleanup(self.checkout.chmod, 0o755)
        done = self.dev("clean")
        self.assert_ok(done)
        self.assertIn(f"building in {self.root}/.cache/headgate/build-", done.stdout)

    def test_clean_removes_only_builds(self):
        for name in ["dev", "asan", "mine"]:
            (self.checkout / "build" / name).mkdir(parents=True)
        self.assert_ok(self.dev("clean"))
        self.assertEqual([path.name for path in (self.checkout / "build").iterdir()], ["mine"])

    @unittest.skipUnless(shutil.which("clang-format-19"), "needs clang-format-19")
    def test_format(self):
        (self.checkout / ".clang-format").write_text("BasedOnStyle: LLVM\n", encoding="utf-8")
        source = self.checkout / "a file.cpp"
        source.write_text("int   a;\n", encoding="utf-8")
        done = self.dev("format", "--check")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("a file.cpp:1:4:", done.stderr)
        self.assertEqual(source.read_text(encoding="utf-8"), "int   a;\n")
        self.assert_ok(self.dev("format"))
        self.assertEqual(source.read_text(encoding="utf-8"), "int a;\n")
        self.assertIn("1 files", self.dev("format", "--check").stdout)


if __name__ == "__main__":
    unittest.main()
