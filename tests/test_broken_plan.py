"""A plan that somebody edited, or half of one, is one line."""

import re

import pytest

from helpers import params
from unfreeze import files, models, places
from unfreeze.errors import UserError
from unfreeze.params import plan
from unfreeze.params.settle import resolve


@pytest.fixture(scope="module")
def made():
    return resolve(params({"base": {}, "other": {"seeds": [1]}}, search={"lr": [0.001, 0.01]}))


@pytest.fixture
def written(made, tmp_path):
    plan.write(made, tmp_path)
    assert plan.read(tmp_path) == made
    return tmp_path


def test_a_part_that_another_part_names_is_missed(written, made):
    (weights,), (dataset,) = made.weights, made.datasets
    for part, name in (("weights", weights), ("datasets", dataset),
                       ("subsets", next(iter(made.subsets))), ("runs", "other")):
        file = written / places.PLAN / f"{part}.yaml"
        before = file.read_text()
        content = files.read_yaml(file)
        del content[name]
        files.write_yaml(file, content)
        with pytest.raises(UserError, match=rf"{part}\.yaml: lacks {re.escape(name)}, which"):
            plan.read(written)
        file.write_text(before)


@pytest.mark.parametrize(("part", "content", "said"), [
    ("score", "acuracy", r"'acuracy' is no score \(did you mean 'accuracy'\?\); allowed: "),
    ("budget", {"minutes": 3}, "'minutes' is no budget; allowed: "),
])
def test_a_score_or_cost_that_there_is_not_is_one_line(written, part, content, said):
    files.write_yaml(written / places.PLAN / f"{part}.yaml", content)
    with pytest.raises(UserError, match=rf"{part}\.yaml: {said}.*run `dvc repro`"):
        plan.read(written)


@pytest.mark.parametrize("part", ["runs", "searches"])
@pytest.mark.parametrize("kind", ["knobs", "training_knobs"])
def test_a_knob_that_is_gone_is_one_line_for_who_asks(written, part, kind):
    file = written / places.PLAN / f"{part}.yaml"
    content = files.read_yaml(file)
    run = content["base"] if part == "runs" else content["base"]["candidates"][1]["run"]
    del run[kind]["batch_size"]
    files.write_yaml(file, content)
    read = plan.read(written)
    run = read.runs["base"] if part == "runs" else read.searches["base"].candidates[1].run
    with pytest.raises(UserError, match=rf"{part}\.yaml: lacks batch_size; run `dvc repro`"):
        getattr(run, kind)["batch_size"]


def test_weights_that_a_model_does_not_have_are_one_line():
    assert models.official_weights("resnet18", "IMAGENET1K_V1").name
    with pytest.raises(UserError, match=r"resnet18 has no weights 'IMAGENET1K_V9' \(did you mean"):
        models.official_weights("resnet18", "IMAGENET1K_V9")
    with pytest.raises(UserError, match="cnn has no weights 'X'; there are none"):
        models.official_weights("cnn", "X")
