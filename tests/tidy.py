"""Checks files with clang-tidy, one per core at a time, and remembers what was found clean.

    tidy.py BUILD_FOLDER FILE...

What clang-tidy says of a file depends on the file after preprocessing (comments and definitions kept), on the checks, and
on clang-tidy. The digest of these of each clean file is kept, as the name of an empty file in the user's cache: what
has not changed since is not checked again, in whichever checkout it lies. What has findings is never remembered. A
digest that nobody has asked for in 30 days is forgotten."""

import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parent.parent
TIDY = "clang-tidy-19"
KEPT_SECONDS = 30 * 24 * 3600
# GoogleTest's headers make names the slowest check by far, and tests may ignore what they call.
TEST_CHECKS = ["--checks=-readability-identifier-naming,-bugprone-unused-return-value"]


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(base) / "headgate" / "tidy"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def forget_old(folder):
    oldest = time.time() - KEPT_SECONDS
    for kept in folder.iterdir():
        if kept.stat().st_mtime < oldest:
            kept.unlink(missing_ok=True)


def options_of(file):
    path = pathlib.Path(file)
    return TEST_CHECKS if path.name.endswith("_test.cpp") or path.is_relative_to(ROOT / "tests") else []


def digest_of(file, command, common):
    """None if it cannot be preprocessed: then clang-tidy says why."""
    words = shlex.split(command["command"])
    words[words.index("-o") + 1] = "-"
    words[words.index("-c")] = "-E"
    text = subprocess.run([*words, "-C", "-dD"], cwd=command["directory"], capture_output=True)
    if text.returncode != 0:
        return None
    digest = hashlib.sha256(common)
    digest.update(" ".join(words + options_of(file)).replace(str(ROOT), ".").encode())
    digest.update(text.stdout.replace(os.fsencode(ROOT), b"."))
    return digest.hexdigest()


def check(file, build):
    done = subprocess.run([TIDY, "--quiet", "-p", build, *options_of(file), file], capture_output=True, text=True)
    found = re.sub(r"(?m)^\d+ warnings? .*generated.*\n", "", done.stdout + done.stderr)
    return done.returncode == 0, found


def main():
    build, *files = sys.argv[1:]
    commands = {c["file"]: c for c in json.loads((pathlib.Path(build) / "compile_commands.json").read_text())}
    folder = cache_folder()
    forget_old(folder)
    version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    common = version + (ROOT / ".clang-tidy").read_bytes()

    def one(file):
        digest = digest_of(file, commands[file], common)
        if digest and (folder / digest).exists():
            os.utime(folder / digest)
            return True, True
        clean, found = check(file, build)
        print(f"    {os.path.relpath(file, ROOT)}" + ("" if clean else "\n" + found), flush=True)
        if clean and digest:
            (folder / digest).touch()
        return clean, False

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = list(pool.map(one, files))
    known = sum(was_known for _, was_known in results)
    if known:
        print(f"    {known} of {len(files)} files are as they were when they were found clean")
    return 0 if all(clean for clean, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
