"""docs/fuzzing.md shows the differences that the fuzz targets know. The list is in fuzz/differences.cpp.

usage: fuzzing_doc.py PROGRAM [--write]      PROGRAM: print_differences; --write puts its output into the page
"""

import pathlib
import re
import subprocess
import sys

page = pathlib.Path(__file__).resolve().parent.parent / "docs/fuzzing.md"
listed = subprocess.run([sys.argv[1]], capture_output=True, text=True, check=True).stdout.strip()
text = page.read_text()
match = re.search(r"(<!-- printed by print_differences -->\n)(.*)(<!-- end -->)", text, re.DOTALL)
if sys.argv[2:] == ["--write"]:
    page.write_text(text[: match.end(1)] + "\n" + listed + "\n\n" + text[match.start(3) :])
elif match.group(2).strip() != listed:
    sys.exit(f"{page.name} does not show what {sys.argv[1]} prints; to put it there: {' '.join(sys.argv)} --write")
