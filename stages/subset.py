"""plan/subsets.yaml, data/ -> subsets/NAME.json: train, validation and test indices."""

import json

import _source  # noqa: F401
from unfreeze import files, places
from unfreeze.data import subsets
from unfreeze.data.reading import arrays
from unfreeze.errors import UserError
from unfreeze.stage import run_stage


def main() -> None:
    wanted = files.read_yaml(places.PLAN / "subsets.yaml")
    with files.whole_folder(places.SUBSETS) as folder:
        for name, arguments in wanted.items():
            source = places.DATA / arguments["dataset"]
            labels = arrays.load_labels(source)
            settings = {key: value for key, value in arguments.items() if key != "dataset"}
            try:
                indices = subsets.draw(labels["train"], labels["test"], **settings)
            except UserError as error:
                raise UserError(f"params.yaml: {arguments['dataset']}: {error}") from None
            head = arguments | {"dataset_digest": arrays.read_card(source)["digest"]}
            files.write_text(folder / name, json.dumps(head | indices) + "\n")
    print(f"{len(wanted)} subsets")


if __name__ == "__main__":
    run_stage(main)
