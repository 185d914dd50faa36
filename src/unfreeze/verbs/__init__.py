"""What `unfreeze` can do, one file a verb, found by its name and listed in the order of ORDER.

A verb's file offers, without importing what takes long at its top, since --help imports all:

    HELP                     a few words for the list of verbs
    DESCRIPTION, EXAMPLE     what --help says before and after the arguments; each line of EXAMPLE
                             that begins with "  unfreeze" is a command that a test runs
    ORDER                    its place in the list: a number, small first
    add_arguments(parser)    argparse's
    run(arguments)           does it; raises UserError

What a verb does is in a package of its own, to be used from Python too.
"""

import importlib
import pkgutil
from types import ModuleType


def all_of_them() -> dict[str, ModuleType]:
    """{verb: its file}, in the order of the list."""
    loaded = {entry.name: importlib.import_module(f"{__name__}.{entry.name}")
              for entry in pkgutil.iter_modules(__path__)}
    return dict(sorted(loaded.items(), key=lambda item: (item[1].ORDER, item[0])))
