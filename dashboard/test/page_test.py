#!/usr/bin/env python3
"""The page of the admin server: its libraries are what package-lock.json says, and it works in a real browser.

What that needs (node, chromium, playwright-core and axe-core) `./dev test` installs. Without it this is skipped (77), and says what is missing;
HEADGATE_NODE_MODULES says where those of npm and the libraries were installed (default: dashboard/node_modules).
"""

import os
import pathlib
import shutil
import subprocess
import sys

PAGE = pathlib.Path(__file__).resolve().parent.parent
MODULES = pathlib.Path(os.environ.get("HEADGATE_NODE_MODULES") or PAGE / "node_modules")
CHROMIUM = os.environ.get("HEADGATE_CHROMIUM", "/usr/bin/chromium")
VENDORED = {  # in vendor/: as published
    "preact.mjs": "preact/dist/preact.mjs", "htm.mjs": "htm/dist/htm.mjs", "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css", "licenses/preact.txt": "preact/LICENSE", "licenses/htm.txt": "htm/LICENSE",
    "licenses/uplot.txt": "uplot/LICENSE"}
SKIPPED = 77


def missing():
    if not shutil.which("node"):
        return "node (Debian: nodejs)"
    if not os.access(CHROMIUM, os.X_OK):
        return "chromium"
    for package in ("playwright-core", "axe-core"):
        if not (MODULES / package).is_dir():
            return f"{package} in {MODULES} (npm ci in dashboard/)"
    return None


def check_vendored():
    """npm has checked the packages against the hashes in package-lock.json; these files must be theirs."""
    there = {str(path.relative_to(PAGE / "vendor")) for path in (PAGE / "vendor").rglob("*") if path.is_file()}
    wrong = there ^ set(VENDORED)
    wrong |= {name for name in there & set(VENDORED) if (PAGE / "vendor" / name).read_bytes() != (MODULES / VENDORED[name]).read_bytes()}
    if wrong:
        sys.exit(f"in dashboard/vendor, not as published: {', '.join(sorted(wrong))}")


def main():
    if lacking := missing():
        print(f"skipped: there is no {lacking}")
        sys.exit(SKIPPED)
    check_vendored()
    environment = os.environ | {"HEADGATE_NODE_MODULES": str(MODULES), "HEADGATE_CHROMIUM": CHROMIUM}
    tests = sorted(map(str, (PAGE / "test").glob("*.test.mjs")))
    sys.exit(subprocess.run(["node", "--test", "--test-concurrency=2", *tests], env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
