"""dvc.yaml names what decides the outputs of a stage, and nothing that does not."""

import yaml

from helpers import ROOT
from unfreeze.fingerprint import Fingerprints


def sources(stage: str) -> list[str]:
    """The folders and files below src/ that a stage of the root's dvc.yaml depends on."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    deps = (stages[stage].get("do") or stages[stage])["deps"]
    return [dep.removeprefix("${root}/src/") for dep in deps if dep.startswith("${root}/src/")]


def test_pin_depends_on_all_that_training_reaches():
    fingerprints = Fingerprints(ROOT / "stages/train.py", ROOT / "src")
    modules = {name.split(":")[0] for name in fingerprints.reached()} - {"train", "_source",
                                                                         "unfreeze"}
    within = tuple(name.removesuffix(".py").replace("/", ".") for name in sources("pin"))
    assert not {module for module in modules
                if not any(f"{module}.".startswith(f"{name}.") for name in within)}


def test_no_stage_of_training_depends_on_what_comes_after_it():
    for stage in ("plan", "fetch-data", "decode", "fetch-weights", "subset", "pin", "train"):
        assert not any(source.startswith(("unfreeze/judging", "unfreeze/reporting"))
                       or source == "unfreeze" for source in sources(stage)), stage


def test_every_dependency_is_there():
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]:
        assert all((ROOT / "src" / source).exists() for source in sources(stage)), stage
