"""What the server imports of which pool.py's processes are forked: torch, once for all of them."""

import atexit
import os

from unfreeze.ahead import training  # noqa: F401

# The server ends with who started it, at once: taking apart what importing torch has made would
# keep it for seconds. (Its processes end without calling this.)
atexit.register(os._exit, 0)
