"""Races: what params.yaml says of them, what the next look is for, and the loop."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from conftest import ran
from helpers import ROOT, message, params, recipe_of
from test_verdicts import finished, hits, named
from unfreeze import files, places, recipe
from unfreeze.errors import UserError
from unfreeze.judging import outcome, posterior
from unfreeze.params import race as section
from unfreeze.params import settle
from unfreeze.params.plan import Claim, Plan
from unfreeze.params.race import ALPHAS, SEEDS, Look, Race
from unfreeze.racing import deciding, race, written

STUDIES = [ROOT / "params.yaml", *sorted(ROOT.glob("studies/*/small/params.yaml"))]
RUNS = {"a": {}, "b": {"lr": 0.01}, "c": {"seeds": [5]}}


def raced(content: dict, *later: Look) -> Race:
    """As at the first look of a study, and at more."""
    claims, runs = section.identity(settle.as_read(content))
    return Race(claims, runs, "", tuple(range(42, 58)), (
        Look(2, tuple(content["runs"]), {}, ()), *later))


# The section of params.yaml


def test_looks_spend_what_a_study_may_be_wrong():
    assert sum(ALPHAS) == pytest.approx(0.05) and len(ALPHAS) == len(SEEDS)


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.parent.parent.name)
def test_nothing_else_in_the_file_changes(tmp_path, file):
    text, path = file.read_text(), tmp_path / "params.yaml"
    path.write_text(text)
    content = yaml.safe_load(text)
    first = raced(content)
    names = tuple(content["runs"])
    second = raced(content, Look(4, names[:2], {f"{names[0]} > {names[1]}": "holds"}, ("b: #",)))
    for each in (first, second, first):
        written.put(path, each)
        assert path.read_text().startswith(text.rstrip("\n") + "\n\n# Written by `unfreeze race`")
        assert section.read(settle.as_read(yaml.safe_load(path.read_text())), names) == each
    written.put(path, None)
    assert path.read_text() == text


def test_what_stands_behind_the_section_stays(tmp_path):
    path, content = tmp_path / "params.yaml", {"runs": {"a": {}, "b": {}}}
    files.write_yaml(path, content)
    written.put(path, raced(content))
    path.write_text(path.read_text() + "# of the score\nscore: accuracy # by hand\n\n# the end\n")
    written.put(path, raced(content, Look(4, ("a",), {}, ())))
    text = path.read_text()
    assert "# of the score\nscore: accuracy # by hand\n\n# the end\n" in text
    assert text.count("race:") == 1 and "seeds: 4" in text
    assert yaml.safe_load(text)["score"] == "accuracy"


def test_seeds_are_those_of_the_largest_look_that_a_run_is_in():
    content = params(RUNS)
    content["race"] = section.section(raced(content, Look(4, ("a", "b"), {}, ()),
                                            Look(8, ("b",), {}, ())))
    plan = settle.resolve(content)
    assert {name: run.knobs["seeds"] for name, run in plan.runs.items()} == {
        "a": [42, 43, 44, 45], "b": list(range(42, 50)), "c": [42, 43]}
    assert plan.runs["c"].changes == {} and plan.runs["b"].changes == {"lr": 0.01}
    assert plan.race.alpha == 0.015 and plan.race.trainings == 4 + 8 + 2
    assert [plan.race.trained_for(look) for look in range(3)] == [6, 4, 4]


@pytest.mark.parametrize(("change", "words"), [
    ({"claims": ["a > c"]}, ["other claims", "--again"]),
    ({"claims": []}, ["other claims"]),
    ({"lr": 0.5}, ["other runs or knobs", "take back the change"]),
    ({"runs": RUNS | {"d": {"lr": 0.3}}}, ["other runs or knobs"]),
    ({"runs": {"a": {}, "b": {"lr": 0.02}, "c": {"seeds": [5]}}}, ["other runs or knobs"]),
    ({"seeds": [1, 2]}, ["other runs or knobs"]),
])
def test_looks_at_something_else_are_refused(change, words):
    content = params(RUNS, claims=["a > b"])
    content["race"] = section.section(raced(content))
    settle.resolve(content)
    message(content | change, "race: ", *words)


def test_what_is_said_about_the_answer_may_change():
    content = params(RUNS, claims=["a > b"])
    content["race"] = section.section(raced(content))
    content |= {"budget": {"operations": 1e9}, "margin": 2, "worth": 1, "compare": {},
                "claims": [{"claim": "a  >  b", "note": "with a note"}]}
    assert settle.resolve(content).race.looks


@pytest.mark.parametrize("damage", [
    lambda given: given.pop("order"), lambda given: given.update(order=[42] * 16),
    lambda given: given.update(order=[42]), lambda given: given.update(looks=[]),
    lambda given: given["looks"][0].update(seeds=3), lambda given: given.update(looks=3),
    lambda given: given["looks"].append({"seeds": 8, "runs": ["a"], "decided": {},
                                         "hopeless": []})])
def test_what_no_race_wrote_is_one_line(damage):
    content = params(RUNS)
    content["race"] = section.section(raced(content))
    damage(content["race"])
    message(content, "race: is not what `unfreeze race` writes", "--again")


def test_looks_at_what_other_code_trained_are_refused(tmp_path):
    file = tmp_path / places.RECIPES / "a.yaml"
    run = settle.resolve(params({"a": {"init": "scratch"}})).runs["a"]
    made = recipe_of(run, classes=("x", "y"), weights=None)
    recipe.write(file, made)
    at = Race(code=section.code(["a"], tmp_path))
    section.check_code(Race(), ["a", "gone"], tmp_path)  # nothing was looked at
    recipe.write(file, replace(made, knobs={**made.knobs, "batch_size": 7}))
    section.check_code(at, ["a"], tmp_path)  # which is for the digest of runs
    recipe.write(file, replace(made, code="another"))
    with pytest.raises(UserError, match="race: was looked at when other code .*--again"):
        section.check_code(at, ["a"], tmp_path)


# What the next look is for


def judged(runs, *claims, looks=1, margin=1.0, decided=None):
    """Of runs with so many looks behind them: what the last one showed, and the next."""
    runs = named(runs)
    at = Race(order=tuple(range(1, 17)), looks=tuple(
        Look(SEEDS[number], tuple(runs), decided or {} if number else {}, ())
        for number in range(looks)))
    plan = Plan({}, {}, {}, {}, {}, tuple(Claim(claim, "") for claim in claims), {}, {}, {}, {},
                margin=margin, race=at)
    found = deciding.judged(outcome.of_runs(plan, runs), at)
    return found, deciding.following(found, at)


def run(share, random, seeds=2, validation=None):
    """A run that is right about so much of the test images, and of the validation images."""
    made = finished({"accuracy": hits(share, 2000, seeds, random)}, tuple(range(1, seeds + 1)))
    if validation is None:
        return made
    return replace(made, finals={(seed, 0): {"accuracy": hits(validation, 300, 1, 50 + seed)[0]}
                                 for seed in made.seeds})


ALIKE = {"good": run(0.9, 1), "fair": run(0.6, 2), "like": run(0.605, 3), "poor": run(0.3, 4)}


def test_what_is_decided_needs_no_more_seeds_and_what_is_open_does():
    found, look = judged(ALIKE, "good > poor", "good > fair", "fair > like", margin=100)
    assert found.decided == {"good > poor": "holds", "good > fair": "holds"}
    assert found.contest == () and "no more than the margin" in found.settled
    undecided = [*found.open, *found.hopeless]
    assert undecided == ["fair > like"]
    if look:
        assert look == Look(4, ("fair", "like"), found.decided, ())


def test_what_earlier_looks_decided_stays_decided():
    found, look = judged(ALIKE, "like > fair", "good > poor", looks=2, margin=100,
                         decided={"like > fair": "holds"})
    assert found.decided == {"good > poor": "holds"} and not found.open and look is None


def test_of_a_claim_that_is_open_only_what_does_not_hold_yet_goes_on():
    found, look = judged(ALIKE | {"like": run(0.62, 3)}, "good > [poor, fair]",
                         "like > [poor, fair]", margin=100)
    assert found.decided == {"good > [poor, fair]": "holds"}
    assert [each.text for each in found.open["like > [poor, fair]"]] == ["like > fair"]
    assert look.runs == ("like", "fair")


def test_last_look_is_the_last(monkeypatch):
    monkeypatch.setattr(deciding, "HOPELESS", 0.0)
    found, look = judged(ALIKE, "fair > like", looks=4, margin=100)
    assert found.open and look is None


def effect(mean, seeds=2, seed_variance=0.5, images=0.5, rest=0.25):
    return SimpleNamespace(mean=mean, seeds=seeds, image_variance=images, rest_variance=rest,
                           seed_variance=seed_variance, degrees=3.0)


def test_chance_of_deciding_grows_with_the_effect_and_its_sign_is_told():
    above = [deciding.chance(effect(mean), 16, 0.005)[0] for mean in (-3, 0, 1, 2, 4, 8)]
    assert above == sorted(above) and above[0] < 1e-3 and above[-1] > 0.99
    for mean in (0.0, 1.5, 4.0):
        one, other = deciding.chance(effect(mean), 16, 0.005), deciding.chance(
            effect(-mean), 16, 0.005)
        assert one == pytest.approx(other[::-1])


def test_chance_of_deciding_is_that_of_simulated_continuations():
    """The truth lies about what is known as that does about the truth; then more seeds come."""
    random, now = np.random.default_rng(0), effect(1.5, seeds=4)
    over, level = 4 / 16, 0.01
    images = now.image_variance - now.rest_variance * (1 - over)
    then = images + now.seed_variance * over
    later = now.mean + np.sqrt(now.image_variance + now.seed_variance - then) * (
        random.normal(size=200_000))
    from scipy import stats

    degrees = (now.degrees + 12) * (then / (now.seed_variance * over))**2
    decided = later / np.sqrt(then) > stats.t.ppf(1 - level / 2, degrees)
    assert deciding.chance(now, 16, level)[0] == pytest.approx(decided.mean(), abs=0.005)


def test_chance_of_what_more_seeds_cannot_change_is_none_or_all():
    for mean, expected in ((0.5, 0.0), (9.0, 1.0)):
        known = effect(mean, seeds=16, seed_variance=0.0, rest=0.0)
        assert deciding.chance(known, 16, 0.05)[0] == pytest.approx(expected, abs=1e-6)


@pytest.fixture
def unsure(monkeypatch):
    """A recommendation that is expected to lose more than the margin."""
    monkeypatch.setattr(posterior.Posterior, "draws", lambda self, *rest: np.stack([
        np.roll(np.linspace(0, 60, len(self.mean)), shift) for shift in range(len(self.mean))]))


def test_best_run_is_raced_by_halving_on_validation(unsure):
    # On validation images the order is another than on test images.
    runs = {name: run(share, number, validation=validation) for number, (name, share, validation)
            in enumerate([("a", 0.9, 0.2), ("b", 0.8, 0.4), ("c", 0.7, 0.6), ("d", 0.6, 0.8)])}
    found, look = judged(runs)
    assert found.contest == ("d", "c") and look.runs == ("d", "c") and look.seeds == 4
    found, look = judged(runs, looks=2)
    assert found.contest == () and look is None and "halving has left one run" in found.settled


def test_test_images_choose_nothing(unsure):
    found, look = judged({"a": run(0.9, 1), "b": run(0.8, 2, validation=0.5)})
    assert found.contest == () and look is None and "test images do not choose" in found.settled


# The loop


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study whose `dvc repro` is quick: runs come with the seeds that params.yaml says, as good
    as the test says. Attributes: folder, runs: {name: share}, reproduced: the looks so far."""
    made = SimpleNamespace(folder=tmp_path, runs={}, reproduced=[], seconds=10.0)

    def write(claims, **shares):
        made.runs = shares
        files.write_yaml(tmp_path / "params.yaml", params(
            {name: {} for name in shares}, claims=claims, seeds=[7, 8, 9], search={}))

    def content():
        return settle.resolve(files.read_yaml(tmp_path / "params.yaml"))

    def judge(plan, folder):
        assert folder == tmp_path
        runs = named({name: finished({"accuracy": hits(share, 2000, 16, number)[
            :len(plan.runs[name].knobs["seeds"])]}, tuple(plan.runs[name].knobs["seeds"]))
            for number, (name, share) in enumerate(made.runs.items())})
        return outcome.of_runs(replace(plan, margin=100.0), runs)

    made.write, made.content = write, content
    monkeypatch.setattr(race, "_repro", lambda folder: made.reproduced.append(content().race.looks))
    monkeypatch.setattr(race.plan, "read", lambda folder: content())
    monkeypatch.setattr(race.outcomes, "judge", judge)
    monkeypatch.setattr(section, "code", lambda runs, folder: "of " + " ".join(runs))
    monkeypatch.setattr(race, "_of_replicate", lambda folder, name: made.seconds)
    monkeypatch.setattr(race, "available", lambda: SimpleNamespace(devices=("cpu", "cpu")))
    return made


def test_race_goes_on_until_nothing_is_open(study, capsys, monkeypatch):
    monkeypatch.setattr(deciding, "HOPELESS", 0.0)
    study.write(["a > c", "a > b"], a=0.63, b=0.6, c=0.3)
    race.run(study.folder)
    looks = study.content().race.looks
    assert study.reproduced[-1] == looks and [look.seeds for look in looks] == list(
        SEEDS[:len(looks)])
    assert len(looks) > 1 and looks[0].runs == ("a", "b", "c") and looks[1].runs == ("a", "b")
    assert study.content().race.code == "of a b c"
    assert looks[1].decided == {"a > c": "holds"}
    said = capsys.readouterr().out
    assert "race: a > c: holds\n" in said and "race: look 2 of 4, 4 seeds of a, b: about" in said
    assert f"seeds of every run would be {3 * looks[-1].seeds}" in said
    # What has ended says the same again, and trains nothing.
    before = (study.folder / "params.yaml").read_text()
    race.run(study.folder)
    assert (study.folder / "params.yaml").read_text() == before


def test_first_seeds_are_those_of_the_study(study):
    study.write(["a > b"], a=0.9, b=0.3)
    race.run(study.folder)
    plan = study.content()
    assert plan.runs["a"].knobs["seeds"] == [7, 8] and plan.race.order[:5] == (7, 8, 9, 10, 11)


def test_interrupted_anywhere_it_comes_to_the_same(study, monkeypatch):
    monkeypatch.setattr(deciding, "HOPELESS", 0.0)
    study.write(["a > c", "a > b"], a=0.62, b=0.6, c=0.3)
    race.run(study.folder)
    whole = (study.folder / "params.yaml").read_text()
    study.write(["a > c", "a > b"], a=0.62, b=0.6, c=0.3)
    real, calls = race._repro, []

    def interrupted(folder):
        calls.append(folder)
        if len(calls) % 2:
            raise KeyboardInterrupt
        real(folder)

    monkeypatch.setattr(race, "_repro", interrupted)
    for _ in range(20):
        try:
            race.run(study.folder)
            break
        except KeyboardInterrupt:
            pass
    assert (study.folder / "params.yaml").read_text() == whole and len(calls) > 3


def test_no_look_is_begun_that_would_take_too_long(study, capsys, monkeypatch):
    monkeypatch.setattr(deciding, "HOPELESS", 0.0)
    study.write(["a > b"], a=0.605, b=0.6)
    study.seconds = 60.0  # the second look trains 2 more seeds of 2 runs on 2 slots: 2 minutes
    race.run(study.folder, minutes=1.9)
    assert len(study.content().race.looks) == 1
    assert "look 2 would take about 2 min more" in capsys.readouterr().out
    race.run(study.folder, minutes=2.5)
    assert len(study.content().race.looks) == 2


def test_claims_that_changed_are_refused_until_it_starts_again(study):
    study.write(["a > b"], a=0.9, b=0.3)
    race.run(study.folder)
    path = study.folder / "params.yaml"
    content = files.read_yaml(path) | {"claims": ["b > a"]}
    files.write_yaml(path, content)
    with pytest.raises(UserError, match="params.yaml: race: was looked at with other claims"):
        race.run(study.folder)
    first = content["race"]["order"]
    race.run(study.folder, again=True)
    again = study.content().race
    assert len(again.looks) == 1 and not set(again.order) & set(first)
    assert study.content().runs["a"].knobs["seeds"] == list(again.order[:2])


def test_seeds_of_a_search_are_left_out(study):
    study.write(["a > b"], a=0.9, b=0.3)
    path = study.folder / "params.yaml"
    files.write_yaml(path, files.read_yaml(path) | {"search_seeds": [10, 12]})
    race.run(study.folder)
    order = study.content().race.order
    assert order[:6] == (7, 8, 9, 11, 13, 14) and len(order) == 16


def test_folder_without_a_study_is_one_line(tmp_path):
    with pytest.raises(UserError, match="params.yaml: no such file; name the folder of a study"):
        race.run(tmp_path)


# The command


def unfreeze(*arguments: str, **keywords) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "unfreeze.command", *arguments], text=True,
                          capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
                          **keywords)


@pytest.mark.parametrize(("arguments", "words"), [
    ([], "required: VERB"), (["race"], "--minutes --until is required"),
    (["race", "--minutes", "0"], "'0' is not allowed; it must be a number above 0"),
    (["race", "--minutes", "x"], "'x' is not allowed; it must be a number above 0"),
    (["race", "--until", "tired"], "invalid choice"),
    (["race", "--until", "decided", "--minutes", "3"], "not allowed with"),
    (["rice"], "invalid choice")])
def test_arguments_that_are_none_are_said(arguments, words):
    done = unfreeze(*arguments)
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr


def test_no_study_is_one_line_and_status_1(tmp_path):
    done = unfreeze("race", "--until", "decided", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == ("error: params.yaml: no such file; name the folder of a study\n")


def test_make_env_puts_the_command_beside_python(tmp_path):
    """Nothing is installed for it: no network, no build backend."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    (tmp_path / "src").symlink_to(ROOT / "src")
    for name in ("Makefile", "requirements.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    stamp = tmp_path / ".venv/.made-from-requirements.lock"
    stamp.touch()
    os.utime(stamp, (4e9, 4e9))  # as if it had been made after the list
    subprocess.run(["make", "env"], cwd=tmp_path, check=True, capture_output=True)
    command = tmp_path / ".venv/bin/unfreeze"
    done = subprocess.run([command, "race", "--help"], cwd="/", text=True, capture_output=True)
    assert done.returncode == 0 and "with 2, 4, 8 and 16 seeds" in " ".join(done.stdout.split())
    assert Path(command).read_text().splitlines()[0] == f"#!{tmp_path}/.venv/bin/python"


@pytest.fixture
def project(request):
    """The finished project; whatever a test changes is undone."""
    project, _ = request.getfixturevalue("finished")
    yield project
    project.restore()


@pytest.mark.slow
def test_a_race_of_a_real_study(project):
    """With DVC and torch: interrupted by time, gone on with, and refused when claims change."""
    command = [sys.executable, "-m", "unfreeze.command", "race"]
    project.environment["PYTHONPATH"] = str(project.folder / "src")
    said = project.run(*command, "--minutes", "0.001")
    assert "look 1 of 4" in said and ran(said, "train")
    first = files.read_yaml(project.folder / "params.yaml")["race"]
    assert [look["seeds"] for look in first["looks"]] == [2]
    said = project.run(*command, "--until", "decided")
    assert "race: nothing is left to decide" in said or "race: that was the last look" in said
    content = files.read_yaml(project.folder / "params.yaml")
    assert content["race"]["order"] == first["order"]
    assert "Data and pipelines are up to date" in project.run("dvc", "repro")
    verdicts = files.read_json(project.folder / "metrics/claims.json")
    for look in content["race"]["looks"]:
        for claim, verdict in look["decided"].items():
            assert verdicts[claim]["verdict"] == verdict
    project.edit("params.yaml", "  - base.cross_entropy < o*\n", "")
    status, said = project.try_run("dvc", "repro")
    assert status and "error: params.yaml: race: was looked at with other claims" in said
