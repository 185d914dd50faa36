"""How a stage's script begins and ends."""

import gc
import os
import sys
from collections.abc import Callable

from unfreeze.errors import NO_ROOM, UserError


def run_stage(main: Callable[[], None]) -> None:
    """Run a script's main, and end the process. It does not return.

    A `UserError`, a disk without room or an interruption exits with 1 and one line; other errors go
    through. Where main succeeds the process ends at once, with 0: what is registered with `atexit`
    is not called.
    """
    gc.freeze()  # what has been imported stays: it need not be looked through again and again
    gc.enable()  # a stage begins without
    try:
        main()
        sys.stdout.flush()
        sys.stderr.flush()
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        where = f" while writing {error.filename}" if error.filename else ""
        sys.exit(
            f"error: no room left on the disk{where}: free some space (`dvc gc -w` drops cached "
            "results that no longer belong to the workspace) and run the same command again; "
            "nothing finished is lost"
        )
    except KeyboardInterrupt:
        sys.exit("error: interrupted; run the same command again to go on from the last epoch")
    finally:
        gc.unfreeze()  # or Triton's bindings would complain of leaks where Python ends by itself
    # All is written. To take apart what importing torch has made would take Python a second more.
    os._exit(0)
