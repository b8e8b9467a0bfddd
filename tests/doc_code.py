"""The C++ of docs/testing-your-streams.md is in the example that is compiled and run."""

import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent


def squeezed(text):
    return re.sub(r"\s+", "", text)


code = squeezed((root / "examples/testing_example_test.cpp").read_text())
page = (root / "docs/testing-your-streams.md").read_text()
blocks = re.findall(r"^```cpp\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
missing = [b for b in blocks if squeezed(b) not in code]
for block in missing:
    print("not in examples/testing_example_test.cpp:\n" + block)
print(f"{len(blocks)} blocks, {len(missing)} missing")
sys.exit(1 if missing or not blocks else 0)
