"""The C++ of these pages is in the examples that are compiled and run."""

import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parent.parent
pages = {
    "docs/testing-your-streams.md": "examples/testing_example_test.cpp",
    "docs/architecture.md": "examples/architecture_example_test.cpp",
    "docs/exports.md": "examples/shared_stage.cpp",
}


def squeezed(text):
    return re.sub(r"\s+", "", text)


wrong = False
for page, example in pages.items():
    code = squeezed((root / example).read_text())
    blocks = re.findall(r"^```cpp\n(.*?)^```", (root / page).read_text(), re.DOTALL | re.MULTILINE)
    missing = [b for b in blocks if squeezed(b) not in code]
    for block in missing:
        print(f"not in {example}:\n{block}")
    print(f"{page}: {len(blocks)} blocks, {len(missing)} missing")
    wrong = wrong or bool(missing) or not blocks
sys.exit(1 if wrong else 0)
