"""_made/plan/, _made/data/, _made/decoded/, _made/weights/, _made/subsets/ -> _made/ranked/: the
models of `rank`, scored by the training images before any is trained; nothing where none is listed.
"""

import _source  # noqa: F401
import _utf8  # noqa: F401
from unfreeze import files, places
from unfreeze.params import plan
from unfreeze.ranking import written
from unfreeze.stage import run_stage


def main() -> None:
    planned = plan.read()
    ranked = []
    if planned.rank:
        from unfreeze.ranking import of_study  # here, since it imports torch

        ranked = of_study.ranked(planned)
    with files.whole_folder(places.RANKED) as folder:
        written.write(ranked, folder)
    print(written.as_text(ranked))


if __name__ == "__main__":
    run_stage(main)
