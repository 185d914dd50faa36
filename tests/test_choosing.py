"""The choice among a run's candidates: by validation alone, and nothing else decides."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml

from helpers import TINY, tiny_recipe
from unfreeze import files, models, places
from unfreeze import recipe as recipes
from unfreeze.ahead import trials as ahead
from unfreeze.choosing import (
    choice,
    edges,
    finding,
    halving,
    leftovers,
    outcomes,
    searched,
    trials,
)
from unfreeze.choosing import pinned as choosing
from unfreeze.choosing.pinned import Candidate, Pinned
from unfreeze.choosing.scores import Outcome, ranking, scored
from unfreeze.errors import UserError
from unfreeze.recipe import Chosen, Phase, PinnedSubset
from unfreeze.scoring.calibration import TEMPERATURES
from unfreeze.training import arithmetic
from unfreeze.training.checkpoint import Scratch
from unfreeze.training.finished import Cost, Finished

LABELS = np.arange(30) % 3


def outcome(accuracy: float = 0.8, sure: float = 2.0, kept: int = 3,
            seconds: float = 1.0) -> Outcome:
    """Of a model that is right about that share of 30 images, and that sure of itself."""
    right = np.arange(30) < round(30 * accuracy)
    said = np.where(right, LABELS, (LABELS + 1) % 3)
    return Outcome((sure * np.eye(3)[said]).astype(np.float32), LABELS, kept, seconds)


DIVERGED = replace(outcome(), logits=np.full((30, 3), np.nan, np.float32))


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch):
    monkeypatch.setitem(models.by_model(), "tiny", TINY)


@pytest.fixture
def pinned(tmp_path, monkeypatch):
    """Makes a pinned run with a candidate for each rate, in a study's folder of its own; a trial
    takes 10 operations an epoch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trials.work, "operations", lambda recipe, seed: 10 * sum(
        phase.knobs["epochs"] for phase in recipe.phases))
    places.SUBSETS.mkdir(parents=True)
    subsets = []
    for name in ("one.json", "two.json"):
        file = places.SUBSETS / name
        file.write_text(json.dumps({"train": [*range(60)], "validation": [*range(60, 90)],
                                    "test": [0]}))
        subsets.append(PinnedSubset(name, files.file_digest(file)))

    def make(rates=(0.001, 0.01, 0.1), seeds=(7,), folds=1, halving=0, operations=None,
             costs=None, choose_by="cross_entropy", epochs=3, **knobs) -> Pinned:
        base = tiny_recipe(epochs=epochs)
        base = replace(base, knobs={**base.knobs, "train_on": "all"} | knobs)

        def candidate(place, rate):
            phases = tuple(Phase({**phase.knobs, "lr": rate}) for phase in base.phases)
            return Candidate({"lr": rate}, replace(base, phases=phases),
                             costs[place] if costs else 100)

        return Pinned(tuple(candidate(*each) for each in enumerate(rates)),
                      {seed: tuple(subsets[:folds]) for seed in seeds}, choose_by, halving,
                      operations)

    return make


def found(pinned: Pinned, came_to) -> trials.Outcomes:
    """What a search leads to.

    Args:
        came_to: of a trial its outcome.
    """
    rungs = trials.search("base", pinned)
    rung = next(rungs)
    try:
        while True:
            rung = rungs.send([came_to(trial) for trial in rung])
    except StopIteration as end:
        return end.value


def chosen(pinned: Pinned, *by_candidate: Outcome) -> choice.Choice:
    return choice.choose(pinned, found(pinned, lambda trial: by_candidate[trial.candidate]))


# Scores


def test_overconfidence_is_not_held_against_a_candidate():
    """Cross-entropy is taken after scaling: of two models that are right equally often, the one
    that is ten times as sure is no worse."""
    modest, boastful = (scored([outcome(0.8, sure)], "cross_entropy") for sure in (2.0, 20.0))
    assert modest.score == pytest.approx(boastful.score, abs=1e-3)
    assert boastful.temperature == pytest.approx(10 * modest.temperature, rel=1e-2)
    assert scored([outcome(0.9, 20.0)], "cross_entropy").score < modest.score


def test_a_candidate_has_one_temperature_and_the_mean_of_its_trials():
    both = scored([outcome(0.9), outcome(0.7)], "cross_entropy")
    assert both.score == pytest.approx(np.mean([score for score, _ in both.by_trial]), abs=1e-4)
    assert both.accuracy == pytest.approx(80, abs=1e-3)
    alone = [scored([outcome(share)], "cross_entropy").temperature for share in (0.9, 0.7)]
    assert min(alone) < both.temperature < max(alone)


def test_one_trial_that_diverged_is_enough():
    partly = scored([outcome(), DIVERGED], "cross_entropy")
    assert partly.score is None and partly.accuracy is None
    assert partly.by_trial[1] == (None, None)


@pytest.mark.parametrize(("costs", "rates", "best"), [
    ((300, 100, 200), (0.1, 0.01, 0.001), 1),  # the cheapest
    ((100, 100, 100), (0.1, 0.001, 0.01), 1),  # of equal cost the one with the lowest rate
    ((100, 100, 100), (0.1, 0.1, 0.1), 0),     # else the first
])
def test_ties_go_to_the_cheaper_then_to_the_lower_rate(pinned, costs, rates, best):
    run = pinned(rates, costs=costs)
    assert ranking(run, {place: [outcome()] for place in range(3)})[0] == best


def test_another_score_may_decide(pinned):
    surer = outcome(0.8, 3.0)
    sharper = Outcome(np.where(outcome(0.9).logits > 0, 0.1, 0.0).astype(np.float32), LABELS, 3, 1)
    for choose_by, best in (("accuracy", 1), ("cross_entropy", 1), ("brier", 0)):
        run = pinned((0.1, 0.01), choose_by=choose_by)
        assert ranking(run, {0: [surer], 1: [sharper]})[0] == best, choose_by


# The choice


def test_the_choice_hands_on_what_only_validation_can_tell(pinned):
    run = pinned(seeds=(7, 8), select="best")
    made = found(run, lambda trial: outcome((0.6, 0.9, 0.7)[trial.candidate], kept=trial.seed - 6))
    done = choice.choose(run, made)
    assert done.searched.values == {"lr": 0.01} and done.searched.chosen == 1
    temperature = scored([outcome(0.9)] * 2, "cross_entropy").temperature
    assert done.recipe == replace(run.candidates[1].recipe, chosen=Chosen(2, temperature))
    assert done.recipe.tested
    assert done.validation.temperature == temperature
    assert sorted(set(done.validation.seed)) == [7, 8]
    assert done.validation.image.tolist() == [*range(60, 90)] * 2


def test_nothing_is_handed_on_that_the_run_can_tell_itself(pinned):
    run = pinned(train_on="train", select="best")
    assert chosen(run, outcome(0.5), outcome(0.9), outcome(0.5)).recipe.chosen is None
    # Where all epochs are trained, there is no epoch to stop at.
    handed = chosen(pinned(), outcome(0.5), outcome(0.9), outcome(0.5)).recipe.chosen
    assert handed.stop_after is None and handed.temperature > 0


def test_a_model_that_is_always_right_says_nothing_about_how_sure_it_may_be(pinned):
    perfect = chosen(pinned(), outcome(0.5), outcome(1.0), outcome(0.5))
    assert perfect.validation.temperature == pytest.approx(TEMPERATURES[0])
    assert perfect.recipe.chosen.temperature is None


def test_the_epoch_to_stop_at_is_the_median_of_the_trials(pinned):
    run = pinned(rates=(0.1,), seeds=(1, 2, 3), patience=2)
    kept = {1: 2, 2: 3, 3: 3}
    made = found(run, lambda trial: outcome(kept=kept[trial.seed]))
    assert choice.choose(run, made).recipe.chosen.stop_after == 3


def test_where_all_diverged_the_run_is_marked_failed(pinned):
    done = chosen(pinned(), DIVERGED, DIVERGED, DIVERGED)
    assert "diverged" in done.recipe.failed
    assert done.searched.chosen is None and len(done.validation.label) == 0
    assert "marked failed" in choice.say("base", done.searched)
    one = chosen(pinned(), DIVERGED, outcome(0.4), DIVERGED)
    assert one.searched.values == {"lr": 0.01} and not one.recipe.failed


def test_what_diverged_is_counted_on_all_rungs(pinned):
    run = pinned(tuple(0.1 / 2**power for power in range(9)), halving=3, epochs=9)
    none = choice.choose(run, found(run, lambda trial: DIVERGED))
    assert "all 9 candidates of its search diverged" in none.recipe.failed
    assert "all 9 candidates of its search diverged" in choice.say("base", none.searched)
    late = choice.choose(run, found(
        run, lambda trial: DIVERGED if trial.divisor == 1 else outcome(0.1 * trial.candidate)))
    assert "of the 9 candidates of its search, the 1 that halving left diverged" in (
        late.recipe.failed)
    assert "halving left diverged" in choice.say("base", late.searched)


def test_a_run_without_a_search_is_as_it_was_pinned(pinned):
    run = pinned(rates=(0.1,), seeds=())
    done = choice.without_search(run)
    assert done.recipe is run.candidates[0].recipe
    choice.write("base", done)
    assert places.CHOICES.joinpath("base.yaml").read_text() == "{}\n"
    assert searched.read("base") == searched.NOTHING
    assert searched.read_validation("base").logits.shape == (0, 3)


def test_what_is_written_is_read_again_and_nothing_tracked_was_measured(pinned):
    run = pinned(seeds=(7, 8))

    def written(seconds):
        done = choice.choose(run, found(run, lambda trial: outcome(
            (0.6, 0.7, 0.9)[trial.candidate], seconds=seconds)))
        choice.write("base", done)
        assert searched.read("base") == done.searched
        again = searched.read_validation("base")
        assert np.array_equal(again.logits, done.validation.logits)
        assert recipes.read(places.RECIPES / "base.yaml") == done.recipe
        return [(folder / "base.yaml").read_bytes() for folder in (places.CHOICES, places.RECIPES)]

    assert written(1.0) == written(2.5)
    assert searched.read("base").seconds == 6 * 2.5
    assert searched.read("base").operations == 6 * 30
    lines = yaml.safe_load(places.CHOICES.joinpath("base.yaml").read_text())
    assert lines["chosen"] == {"lr": 0.1} and lines["of"] == 3
    assert [row["values"]["lr"] for row in lines["candidates"]] == [0.001, 0.01, 0.1]
    assert lines["at_the_edge"] == ["lr: 0.1 is the highest of 3 tried; add lr: 1.0 to its search"]


def test_one_more_candidate_that_is_worse_changes_no_recipe(pinned):
    accuracies = {0.001: 0.6, 0.01: 0.9, 0.1: 0.7, 1.0: 0.4}

    def recipe(rates):
        run = pinned(rates, seeds=(7, 8))
        return choice.choose(run, found(run, lambda trial: outcome(
            accuracies[rates[trial.candidate]]))).recipe

    assert recipe((0.001, 0.01, 0.1)) == recipe((0.001, 0.01, 0.1, 1.0))


def test_a_damaged_file_of_a_search_is_one_line(pinned):
    choice.write("base", chosen(pinned(), outcome(), outcome(), outcome()))
    for name, read in (("base.json", searched.read), ("base.npz", searched.read_validation)):
        places.SEARCHED.joinpath(name).write_bytes(b"PK damaged")
        with pytest.raises(UserError, match="dvc repro"):
            read("base")


def finished(validation: float, test: float, epochs=((1, 1), (1, 2), (2, 3)),
             best: int | None = None) -> Finished:
    """A trained replicate that is right about these shares of the images.

    Args:
        epochs: (phase, epoch) of each row of its history. best: the epoch that it keeps.
    """
    history = [{"phase": phase, "epoch": epoch} for phase, epoch in epochs]
    return Finished({}, outcome(test).logits, outcome(validation).logits, LABELS, best, history, [],
                    Cost(1.5, 90, 1, "", ""), None)


def test_nothing_chooses_by_test_images(pinned):
    """Not even if a trial had predicted them: one that is best on them, and worst on validation."""
    run = pinned(select="best")
    recipe = run.candidates[0].recipe
    by_candidate = [outcomes.outcome_of(recipe, finished(validation, test, epochs=((1, 1), (1, 2))))
                    for validation, test in ((0.8, 0.5), (0.4, 1.0), (0.6, 0.6))]
    assert chosen(run, *by_candidate).searched.chosen == 0


@pytest.mark.parametrize(("epochs", "best", "kept"), [
    (((1, 1), (1, 2), (1, 3)), None, 3),  # the last
    (((1, 1), (1, 2), (1, 3)), 2, 2),
    # Phases of 5 and 3 epochs, of which patience ended the first after two.
    (((1, 1), (1, 2), (2, 3), (2, 4)), 3, 6),
])
def test_the_epoch_that_a_trial_kept_is_counted_as_planned(epochs, best, kept):
    recipe = tiny_recipe(phases=[{"epochs": 5}, {"epochs": 3}])
    assert outcomes.outcome_of(recipe, finished(0.5, 0.5, epochs, best)).kept_epoch == kept


def test_what_trials_came_to_is_taken_from_the_scratch_folder_of_the_same_arithmetic(
        monkeypatch, tmp_path):
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path))
    monkeypatch.setenv("UNFREEZE_DEVICE", "cpu")
    monkeypatch.setenv("UNFREEZE_PRECISION", "fp32")
    recipe = tiny_recipe(epochs=2)
    assert outcomes.kept(recipe, 1) is None
    scratch = Scratch(recipes.replicate_digest(recipe, 1), arithmetic.without_torch())
    scratch.save_done(finished(0.9, 0.5, ((1, 1), (1, 2))).to_bytes())
    kept = outcomes.kept(recipe, 1)
    assert np.array_equal(kept.logits, outcome(0.9).logits) and kept.seconds == 1.5
    monkeypatch.setenv("UNFREEZE_PRECISION", "bf16")
    assert outcomes.kept(recipe, 1) is None
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")  # a cluster's are taken as they are
    assert outcomes.kept(recipe, 1).seconds == 1.5


def test_what_choices_of_runs_that_are_gone_left_is_removed(pinned):
    for run in ("base", "gone", "changed"):
        choice.write(run, chosen(pinned(), outcome(), outcome(), outcome()))
    folder = places.CHOICES.parent
    files.write_yaml(folder / "dvc.lock", {"stages": {f"choose@{run}": {"outs": [
        {"path": str(path.relative_to(folder)), "md5": files.file_digest(path, "md5")}
        for path in folder.rglob(f"{run}.*")]} for run in ("base", "gone", "changed")}})
    with open(places.CHOICES / "changed.yaml", "a") as file:
        file.write("# mine\n")
    places.CHOICES.joinpath("notes.md").write_text("mine")
    shutil.copy(places.RECIPES / "base.yaml", places.RECIPES / "copy.yaml")
    leftovers.remove(["base"])
    left = {str(path) for path in folder.rglob("*.*") if "subsets" not in str(path)}
    assert left == {"recipes/base.yaml", "choices/base.yaml", "choices/notes.md", "dvc.lock",
                    "_made/searched/base.json", "_made/searched/base.npz", "recipes/copy.yaml",
                    "choices/changed.yaml"}


# Trials


def test_every_candidate_is_tried_with_each_seed_and_fold_and_none_is_tested(pinned):
    run = pinned(seeds=(7, 8), folds=2)
    (rung,) = [next(trials.search("base", run))]
    assert len(set(rung)) == len(rung) == 3 * 2 * 2
    for trial in rung:
        assert not trial.recipe.tested and trial.recipe.chosen is None
        assert trial.recipe.knobs["train_on"] == "train"
        assert list(trial.recipe.seeds) == [trial.seed]
        assert trial.subset == run.trial_seeds[trial.seed][trial.fold]
        assert trial.recipe.phases == run.candidates[trial.candidate].recipe.phases


@pytest.mark.parametrize(("factor", "candidates", "epochs", "divisors"), [
    (0, 9, 9, [1]), (3, 9, 9, [9, 3, 1]), (3, 8, 9, [3, 1]), (3, 9, 8, [3, 1]), (3, 2, 9, [1]),
    (2, 8, 100, [8, 4, 2, 1]),
])
def test_halving_has_as_many_rungs_as_candidates_and_epochs_allow(factor, candidates, epochs,
                                                                  divisors):
    assert halving.divisors(factor, candidates, epochs) == divisors


def test_the_best_third_goes_on_and_only_what_was_trained_in_full_is_chosen(pinned):
    rates = tuple(0.1 / 2**power for power in range(9))
    run = pinned(rates, halving=3, epochs=9)
    trained: dict[int, list[int]] = {}

    def came_to(trial):
        trained.setdefault(trial.epochs, []).append(trial.candidate)
        # The last candidate looks best after one epoch, and turns out to be the worst of three.
        if trial.candidate == 8:
            return outcome(0.95 if trial.epochs == 1 else 0.4)
        return outcome(0.5 + 0.04 * trial.candidate)

    done = choice.choose(run, found(run, came_to))
    assert trained == {1: [*range(9)], 3: [6, 7, 8], 9: [7]}
    assert done.searched.chosen == 7
    assert [each.trained_fully for each in done.searched.candidates] == [False] * 7 + [True, False]
    assert done.searched.operations == 10 * (9 * 1 + 3 * 3 + 9)
    assert sum(phase.knobs["epochs"] for phase in done.recipe.phases) == 9


def test_a_warmup_shrinks_with_the_epochs_of_its_phase():
    recipe = tiny_recipe(epochs=9, warmup_epochs=4)
    (phase,) = halving.shortened(recipe, 3).phases
    assert (phase.knobs["epochs"], phase.knobs["warmup_epochs"]) == (3, 1)
    (phase,) = halving.shortened(recipe, 9).phases
    assert (phase.knobs["epochs"], phase.knobs["warmup_epochs"]) == (1, 0)


def test_as_many_candidates_are_tried_as_the_operations_allow_in_their_order(pinned):
    # A trial takes 30 operations, and each candidate has two.
    run = pinned(seeds=(7, 8), operations=130.0)
    assert trials.affordable("base", run) == [0, 1]
    done = choice.choose(run, found(run, lambda trial: outcome()))
    assert [each.score is None for each in done.searched.candidates] == [False, False, True]
    choice.write("base", done)
    lines = yaml.safe_load(places.CHOICES.joinpath("base.yaml").read_text())
    assert lines["of"] == 2 and lines["candidates"][2]["tried"] is False
    with pytest.raises(UserError, match="search of base: operations: .* one candidate takes"):
        trials.affordable("base", pinned(seeds=(7, 8), operations=59.0))
    # All rungs count, the last one as if the dearest had got there.
    allowed = [trials.affordable("base", pinned(
        (0.1,) * 9, halving=3, epochs=9, operations=operations)) for operations in (270.0, 269.0)]
    assert allowed[0] == [*range(9)] and len(allowed[1]) < 9


# What is trained before choices are made


def test_trials_of_all_runs_are_trained_together_rung_by_rung(pinned, monkeypatch, tmp_path):
    monkeypatch.setenv("UNFREEZE_SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("UNFREEZE_DEVICE", "cpu")
    rates = tuple(0.1 / 2**power for power in range(3))
    for run, wanted in {
            "twice": pinned(rates, halving=3, epochs=9), "once": pinned(rates[:2], epochs=3),
            "failing": pinned((0.5, 0.7), halving=2, epochs=9), "without": pinned(rates, seeds=()),
            "too_dear": pinned(rates, operations=1.0)}.items():
        written = wanted if run != "without" else replace(wanted, candidates=wanted.candidates[:1])
        choosing.write(choosing.path(run), written)
    rounds = []

    def train(tasks, what):
        rounds.append([task.label for task in tasks])
        for task in tasks:
            epochs = task.recipe.phases[0].knobs["epochs"]
            history = [(1, epoch + 1) for epoch in range(epochs)]
            if "lr: 0.5" not in task.label:
                Scratch(task.identity, arithmetic.without_torch()).save_done(
                    finished(1 - task.recipe.phases[0].knobs["lr"], 0.5, history).to_bytes())

    monkeypatch.setattr(ahead.workers, "train", train)
    monkeypatch.setattr(ahead, "would_train", lambda several: True)
    monkeypatch.setattr(ahead.needed, "would_run", lambda stages, runs: {*runs})
    ahead.train()
    assert rounds == [
        ["failing (lr: 0.5) seed 7, 4 epochs", "failing (lr: 0.7) seed 7, 4 epochs",
         "once (lr: 0.1) seed 7", "once (lr: 0.05) seed 7",  # which are two of twice's, too
         "twice (lr: 0.025) seed 7, 3 epochs"],
        ["twice (lr: 0.025) seed 7"]]
    # What is there is not trained again, and the choice takes it from there.
    rounds.clear()
    monkeypatch.setattr(ahead.needed, "would_run", lambda stages, runs: {*runs} - {"failing"})
    ahead.train()
    assert not any(rounds)
    run = choosing.read(choosing.path("twice"))
    assert choice.choose(run, finding.find("twice", run)).searched.values == {"lr": rates[2]}


# Edges


@pytest.mark.parametrize(("knob", "value", "tried", "added"), [
    ("lr", 0.01, (0.001, 0.003, 0.01), "0.03"),
    ("lr", 0.0003, (0.0003, 0.001, 0.003, 0.01), "0.0001"),
    ("lr", 0.003, (0.001, 0.003, 0.01), None),
    ("epochs", 10, (3, 10), "30"),
    ("epochs", 1, (1, 3), None),           # fewer there are not
    ("dropout", 0.6, (0.2, 0.6), None),    # the next one would be above 1
    ("weight_decay", 0.0, (0.0, 0.1), None),
    ("weight_decay", 0.1, (0.0, 0.001, 0.1), "1.0"),
    ("tune", "lora", ("full", "lora"), None),
    ("flip", True, (False, True), None),
])
def test_a_choice_at_the_end_of_what_was_tried_says_what_to_add(knob, value, tried, added):
    sentences = edges.at_edge({knob: value}, [{knob: each} for each in tried])
    assert len(sentences) == (added is not None)
    if added:
        assert f"of {len(tried)} tried; add {knob}: {added} to its search" in sentences[0]


@pytest.mark.parametrize(("ends", "told"), [
    ((0.001, 0.1), "draw more trials"),           # 0.02 may yet be drawn
    ((0.001, 0.0045), "let it reach to 0.01"),
])
def test_a_choice_at_the_end_of_what_was_drawn_goes_by_the_range(ends, told):
    tried = [{"lr": rate} for rate in (0.0012, 0.002, 0.004)]
    (sentence,) = edges.at_edge({"lr": 0.004}, tried, {"lr": ends})
    assert f"lr: 0.004 is the highest of 3 drawn from {ends[0]} to {ends[1]}; {told}" in sentence
