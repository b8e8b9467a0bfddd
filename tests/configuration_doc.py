"""docs/configuration.md shows the keys of configurations. The tables are in gateway/config/tables/.

usage: configuration_doc.py [--write]      --write puts what `headgate reference` prints into the page. HEADGATE_BIN is
                                           the program.
"""

import os
import pathlib
import re
import subprocess
import sys

page = pathlib.Path(__file__).resolve().parent.parent / "docs/configuration.md"
printed = subprocess.run([os.environ["HEADGATE_BIN"], "reference"], capture_output=True, text=True, check=True).stdout
text = page.read_text()
match = re.search(r"(<!-- printed by headgate reference -->\n)(.*)(<!-- end -->)", text, re.DOTALL)
if sys.argv[1:] == ["--write"]:
    page.write_text(text[: match.end(1)] + "\n" + printed.strip() + "\n\n" + text[match.start(3) :])
elif match.group(2).strip() != printed.strip():
    sys.exit(f"{page.name} does not show the keys as they are; to put them there: "
             f"HEADGATE_BIN={os.environ['HEADGATE_BIN']} python3 tests/configuration_doc.py --write")
