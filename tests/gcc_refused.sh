#!/usr/bin/env bash
# CMake must refuse GCC before 13, and say why. usage: gcc_refused.sh CHECKOUT; exits with 77 (skipped) where there is
# no such GCC.
set -euo pipefail

skip() {
    echo "skipped: $*"
    exit 77
}

compiler=$(command -v g++) || skip "there is no g++ here"
version=$("$compiler" -dumpfullversion)
[[ ${version%%.*} -lt 13 ]] || skip "g++ is version $version, which headgate accepts"

dir=$(mktemp -d)
trap 'rm -rf -- "$dir"' EXIT
if output=$(cmake -S "$1" -B "$dir" -DCMAKE_CXX_COMPILER="$compiler" 2>&1); then
    echo "CMake accepts g++ $version"
    exit 1
fi
# CMake breaks lines where it likes: compare with all white space made one.
output=$(tr -s '[:space:]' ' ' <<<"$output")
for words in "cannot be built with GCC $version" "destroyed twice when the coroutine suspends" "Use clang-19"; do
    [[ $output == *"$words"* ]] || {
        printf 'CMake refuses g++ %s without saying "%s". It says:\n%s\n' "$version" "$words" "$output"
        exit 1
    }
done
echo "CMake refuses g++ $version and says why"
