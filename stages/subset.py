"""_made/plan/, _made/data/ -> _made/subsets/NAME.json: train, validation and test indices."""

import json
from dataclasses import asdict

import _source  # noqa: F401
import _utf8  # noqa: F401
from unfreeze import files, places
from unfreeze.data import subsets
from unfreeze.data.reading import arrays
from unfreeze.errors import UserError
from unfreeze.params import plan
from unfreeze.stage import run_stage


def main() -> None:
    wanted = plan.read().subsets
    with files.whole_folder(places.SUBSETS) as folder:
        for name, subset in wanted.items():
            dataset = places.DATA / subset.dataset
            labels, groups = arrays.load_labels(dataset), subsets.load_groups(dataset)
            settings = {key: value for key, value in asdict(subset).items() if key != "dataset"}
            try:
                indices = subsets.draw(labels["train"], labels["test"], groups=groups,
                                       **settings)
            except UserError as error:
                raise UserError(f"params.yaml: {subset.dataset}: {error}") from None
            digest = arrays.read_card(dataset)["digest"]
            files.write_text(folder / name, json.dumps({
                "drawn_with": asdict(subset), "dataset_digest": digest, **indices}) + "\n")
    print(f"{len(wanted)} subsets")


if __name__ == "__main__":
    run_stage(main)
