"""tidy.py checks what has changed, whatever it was that changed, and nothing else."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
CLEAN = "#include <name.hpp>\nint main() { return of(nullptr); }\n"
COMPILER = shutil.which("clang++-19")


@unittest.skipUnless(shutil.which("clang-tidy-19") and COMPILER, "there is no clang-tidy-19: ./dev tidy installs it")
class Tidy(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name).resolve()
        self.root = self.checkout("one")

    def checkout(self, name):
        root = self.top / name
        (root / "tests").mkdir(parents=True)
        shutil.copy(HERE / "tidy.py", root / "tests")
        (root / ".clang-tidy").write_text("Checks: '-*,modernize-use-nullptr'\nWarningsAsErrors: '*'\n")
        (root / "name.hpp").write_text("inline int of(const char* p) { return p ? 1 : 0; }\n")
        (root / "main.cpp").write_text(CLEAN)
        command = {"directory": str(root), "file": f"{root}/main.cpp",
                   "command": f"{COMPILER} -I{root} -std=c++23 -o main.o -c {root}/main.cpp"}
        (root / "compile_commands.json").write_text(json.dumps([command]))
        return root

    def tidy(self, root=None):
        root = root or self.root
        done = subprocess.run([sys.executable, "tests/tidy.py", str(root), f"{root}/main.cpp"], cwd=root, text=True,
                              env=os.environ | {"XDG_CACHE_HOME": str(self.top / "cache")}, capture_output=True)
        return done.returncode, done.stdout

    def assert_checked(self, expected, root=None):
        status, said = self.tidy(root)
        self.assertEqual((status, "as they were" not in said), (0, expected), said)

    def test_what_is_clean_is_checked_once(self):
        self.assert_checked(True)
        self.assert_checked(False)
        self.assert_checked(False, self.checkout("two"))

    def test_what_has_findings_is_checked_each_time(self):
        (self.root / "main.cpp").write_text(CLEAN.replace("nullptr", "0"))
        for _ in range(2):
            status, said = self.tidy()
            self.assertEqual(status, 1)
            self.assertIn("modernize-use-nullptr", said)

    def test_a_changed_header_comment_or_check_is_checked(self):
        for name, change in [("name.hpp", "inline int other() { return 0; }\n"), ("main.cpp", "// NOLINT\n"),
                             ("main.cpp", "#define NAME 1\n"), (".clang-tidy", "# another\n")]:
            self.assert_checked(True)
            with open(self.root / name, "a") as file:
                file.write(change)
        self.assert_checked(True)


if __name__ == "__main__":
    unittest.main()
