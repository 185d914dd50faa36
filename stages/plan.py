"""params.yaml -> plan/: the settled runs, the datasets, maps, weights and subsets they need, and
what they are held against (claims, budget, reported numbers), and what is declared and not run;
compared/pairs.yaml: which runs are compared layer by layer."""

from pathlib import Path

import _source  # noqa: F401
from unfreeze import files, places
from unfreeze.errors import UserError
from unfreeze.params import config
from unfreeze.stage import run_stage


def main() -> None:
    params = Path("params.yaml")
    if not params.is_file():
        raise UserError("params.yaml: no such file here; `git checkout params.yaml` restores it")
    plan = config.resolve(files.read_yaml(params))
    with files.whole_folder(places.PLAN) as folder:
        files.write_yaml(folder / "runs.yaml", plan.runs)
        files.write_yaml(folder / "datasets.yaml", plan.datasets)
        files.write_yaml(folder / "maps.yaml", plan.maps)
        files.write_yaml(folder / "weights.yaml", plan.weights)
        files.write_yaml(folder / "subsets.yaml", plan.subsets)
        files.write_yaml(folder / "claims.yaml", plan.claims)
        files.write_yaml(folder / "budget.yaml", plan.budget)
        files.write_yaml(folder / "reported.yaml", plan.reported)
        files.write_yaml(folder / "not_run.yaml", plan.not_run)
    files.write_yaml(places.COMPARED / "pairs.yaml", plan.compare)
    print(f"{len(plan.runs)} runs: {', '.join(plan.runs)}")


if __name__ == "__main__":
    run_stage(main)
