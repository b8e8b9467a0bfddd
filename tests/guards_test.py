#!/usr/bin/env python3
"""What a few fixed paths cost, against the record in tests/guards/costs.json.

Each path is run twice under callgrind, so many times and more times, on a kernel that only plays back; the difference, divided, is
what one time costs: the same number in every run. One that has grown by more than a tenth fails, and so does one that has shrunk
by more than a fifth: then the record no longer guards what was won. Allocations and system calls must be exactly as recorded.

After a change that is meant:  ./dev instructions --update
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

RECORD = pathlib.Path(__file__).resolve().parent / "guards" / "costs.json"
PATHS = {"request": (200, 700), "connection": (200, 700), "event": (200, 1200), "pull": (1000, 5000), "timer": (1000, 5000)}
GROWTH_MAX, SHRINKAGE_MAX = 1.10, 0.80
SKIPPED = 77


def instructions(program, path, times):
    """All that the program executes, by callgrind."""
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", program, path, str(times)],
                             capture_output=True, text=True, check=False)
    total = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not total:
        sys.exit(f"guards: {path} cannot be counted (status {run.returncode}):\n{run.stdout}{run.stderr}")
    return int(total.group(1))


def measure(program, path):
    """What one time costs: {"instructions": ..., "allocations": ..., "reads": ..., ...}."""
    few, many = PATHS[path]
    rest = subprocess.run([program, path, "20000"], capture_output=True, text=True, check=True)
    each = (instructions(program, path, many) - instructions(program, path, few)) / (many - few)
    return {"instructions": round(each), **json.loads(rest.stdout)}


def complaints(path, now, before):
    """What is wrong with the path, in words."""
    for what, value in now.items():
        known = before.get(what)
        if known is None:
            yield f"{path}: {what} is not recorded"
        elif what != "instructions":
            # What is done once in a while, such as growing a table, is not what is guarded.
            if abs(value - known) > 0.01:
                yield f"{path}: {what} {value}, recorded {known}"
        elif value > known * GROWTH_MAX:
            yield f"{path}: {value} instructions, {value / known - 1:.0%} more than the {known} recorded"
        elif value < known * SHRINKAGE_MAX:
            yield f"{path}: {value} instructions, {1 - value / known:.0%} fewer than the {known} recorded: well done, now update the record"


def main():
    parser = argparse.ArgumentParser(description="Compares what fixed paths cost with the record, or renews the record.")
    parser.add_argument("program", help="guarded_paths of the build")
    parser.add_argument("build", help="the preset that it was built with: a part of the record")
    parser.add_argument("--update", action="store_true", help="write what is measured into the record")
    options = parser.parse_args()

    if os.environ.get("HEADGATE_SANITIZE"):
        print("guards: SKIPPED: valgrind cannot run programs with sanitizers")
        return SKIPPED
    if not shutil.which("valgrind") or subprocess.run(["valgrind", "--tool=none", "true"], capture_output=True, check=False).returncode:
        print("guards: SKIPPED: valgrind is not installed, or cannot run here; `./dev deps test` installs it")
        return SKIPPED
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    known = record.setdefault(options.build, {})
    wrong = []
    for path in PATHS:
        now = measure(options.program, path)
        before = known.get(path, {})
        print(f"{path:11} {now['instructions']:8} instructions (recorded {before.get('instructions', '-')}), "
              + ", ".join(f"{value:g} {what}" for what, value in now.items() if what != "instructions"))
        wrong += complaints(path, now, before)
        if options.update:
            known[path] = now
    if options.update:
        RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        print(f"guards: recorded in {RECORD.name}; say in the commit why")
        return 0
    for line in wrong:
        print(f"guards: {line}")
    if wrong:
        print("guards: if that is meant, renew the record with `./dev instructions --update` and say why in the commit")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
