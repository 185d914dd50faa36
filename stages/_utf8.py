"""Comes before what a stage imports: names of classes and files are UTF-8 whatever the locale.

Where the locale says otherwise, the stage starts again in Python's UTF-8 mode. Training needs none:
what it reads and writes under such names is UTF-8 by itself, or ASCII.
"""

import os
import sys

if sys.getfilesystemencoding() != "utf-8":
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONUTF8": "1"})
