"""The README opens with the table of all runs of report.md, word for word."""

import re
import sys
from pathlib import Path

table = re.search(r"^\| run \| what it changes .*?\n\n", Path("report.md").read_text(),
                  re.MULTILINE | re.DOTALL)
if table is None or table.group() not in Path("README.md").read_text():
    sys.exit("README.md: its table is not the one of report.md; copy that one")
print("README.md shows the table of report.md")
