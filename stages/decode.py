"""_made/plan/, _made/data/ -> _made/decoded/NAME/: the photos at the size that the models see. What
is there stays; what no run needs any more goes, and is kept in DVC's cache."""

from functools import partial

import _source  # noqa: F401
import _utf8  # noqa: F401
from unfreeze import files, places
from unfreeze.data import decoding
from unfreeze.data.reading import arrays
from unfreeze.params import plan
from unfreeze.stage import run_stage


def main() -> None:
    planned = plan.read()
    places.DECODED.mkdir(parents=True, exist_ok=True)
    decoding.remove_unwanted(places.DECODED, planned.decoded)
    # So that the folder is not empty, which DVC warns of, where no run reads photos.
    files.write_json(places.DECODED / "decoded.json", list(planned.decoded))
    for name, wanted in planned.decoded.items():
        dataset = places.DATA / wanted.dataset
        decoding.update(places.DECODED / name, wanted, arrays.read_card(dataset)["digest"],
                        partial(decoding.find, dataset, planned.datasets[wanted.dataset]))


if __name__ == "__main__":
    run_stage(main)
