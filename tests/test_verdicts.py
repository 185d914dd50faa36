import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from unfreeze.judging import advice, estimates, planning, quality, statistics, tables, verdicts
from unfreeze.judging.outcome import Outcome
from unfreeze.judging.runs import TrainedRun
from unfreeze.judging.verdicts import (
    CONTRADICTED,
    CONTRADICTED_HERE,
    HOLDS,
    HOLDS_HERE,
    NOT_COMPARABLE,
    NOT_COMPUTED,
    OPEN,
)
from unfreeze.params.plan import Claim, NotRun

COST = {"seconds_per_replicate": 10.0, "parameters_total": 100, "parameters_trainable": 10,
        "stored_bytes": 40, "activation_bytes": 1000, "activation_bytes_1": 100,
        "flops_forward": 5, "flops_backward": 10, "peak_memory_bytes": 7000, "operations": 1000,
        "search_trials": 0, "search_operations": 0, "search_seconds": 0.0, "device": "a CPU",
        "precision": "fp32", "threads": 1}


def hits(share, images=400, seeds=2, random=0, seed_spread=0.0):
    """(R, N) hits and misses of a run on images that are as hard for every run and seed."""
    hard = np.random.default_rng(99).normal(size=images)
    rng = np.random.default_rng([random, 7])
    skill = stats.norm.ppf(share) * np.sqrt(2) + seed_spread * rng.normal(size=(seeds, 1))
    return 100.0 * (skill - hard + rng.normal(size=(seeds, images)) > 0)


def finished(scores, seeds=(1, 2), test_set="same", failed=None, history=(), **cost):
    """A run with these scores, {name: (R, N)}; test sets are named."""
    metrics = {"failed": failed} if failed else {
        name: {"mean": values.mean(), "std": None, "n": len(seeds), "seeds": {}}
        for name, values in scores.items()}
    return TrainedRun("", {"dataset": test_set, "test_fraction": 1}, {}, COST | cost, metrics,
               tuple(seeds), {} if failed else scores, list(history))


def named(runs):
    return {name: replace(run, name=name) for name, run in runs.items()}


def run(share=0.5, random=0, seeds=(1, 2), test_set="same", failed=None, seed_spread=0.0,
        images=400, **cost):
    return finished({"accuracy": hits(share, images, len(seeds), random, seed_spread)}, seeds,
                    test_set, failed, **cost)


def judge(runs, *claims, not_run=(), **keywords):
    return verdicts.judge([Claim(claim, "") for claim in claims], runs,
                          {name: NotRun("needs a GPU", {}) for name in not_run}, **keywords)


GOOD, FAIR, LIKE, POOR = run(0.9, 1), run(0.6, 2), run(0.6, 3), run(0.3, 4)
RUNS = {"good": GOOD, "fair": FAIR, "like": LIKE, "poor": POOR}


@pytest.mark.parametrize(("claim", "verdict", "parts"), [
    ("good > poor", HOLDS, [HOLDS]), ("good < poor", CONTRADICTED, [CONTRADICTED]),
    ("fair > like", OPEN, [OPEN]), ("good > fair > poor", HOLDS, [HOLDS, HOLDS]),
    ("good > fair > like", OPEN, [HOLDS, OPEN]),
    ("good > [fair, like, poor]", HOLDS, [HOLDS] * 3),
    ("fair > [like, poor, good]", CONTRADICTED, [OPEN, HOLDS, CONTRADICTED]),
    ("gap(good, poor) > gap(fair, like)", HOLDS, [HOLDS]),
    ("good > 50", HOLDS, [HOLDS]), ("60 > poor > 50", CONTRADICTED, [HOLDS, CONTRADICTED]),
    ("2 * poor < good", HOLDS, [HOLDS])])
def test_verdict(claim, verdict, parts):
    (found,) = judge(RUNS, claim)
    assert (found.verdict, [part.verdict for part in found.comparisons]) == (verdict, parts)
    assert not found.advice or verdict == OPEN
    if len(found.comparisons) == 1:  # a claim alone
        assert found.p_corrected == pytest.approx(found.p, abs=1e-3)
    assert found.p_corrected <= found.p and (found.p <= found.level) == (verdict != OPEN)


def test_effect_is_the_difference_as_claimed():
    (found,) = judge(RUNS, "fair < good")
    (part,) = found.comparisons
    values = GOOD.scores["accuracy"] - FAIR.scores["accuracy"]
    assert part.effect == pytest.approx(values.mean())
    assert part.low < part.effect < part.high
    assert (part.seeds, part.images, found.unit, part.text) == (2, 400, "points", "fair < good")
    (found,) = judge(RUNS, "good > 50")
    assert found.comparisons[0].effect == pytest.approx(GOOD.scores["accuracy"].mean() - 50)


def test_claims_agree_with_their_comparisons():
    for random in range(6):
        runs = {f"r{place}": run(0.5 + place / 40, 10 * random + place, seed_spread=0.1, images=150)
                for place in range(5)}
        found = judge(runs, "r4 > r0", "r3 > r1", "r4 > [r0, r1, r2]", "r4 > r2 > r0", "r0 > r*",
                      "r4 > r*", "r2 > [r0, r4]", "gap(r4, r0) > gap(r3, r2)")
        for each in found:
            parts = {part.verdict for part in each.comparisons}
            if len(each.comparisons) == 1:
                assert parts == {each.verdict}
            assert (each.verdict == HOLDS) == (parts == {HOLDS})
            assert each.verdict != CONTRADICTED or CONTRADICTED in parts
            assert (each.p <= each.level) == (each.verdict != OPEN)
            for part in each.comparisons:
                assert part.wide_low <= 0 <= part.wide_high or part.verdict != OPEN
                assert part.wide_low >= 0 or part.verdict != HOLDS
                assert part.wide_high <= 0 or part.verdict != CONTRADICTED
                leaves_out_0 = not part.low <= 0 <= part.high
                assert ("leaves out 0" in part.why) == (leaves_out_0 and part.verdict == OPEN)


def test_more_claims_need_more_evidence():
    runs = RUNS | {"better": run(0.63, 5)}
    alone = judge(runs, "better > fair")[0]
    among = judge(runs, "better > fair", "fair > like", "good > 91", "poor < 29", "good < 91",
                  "like > fair", "like > 60.5")[0]
    assert alone.p == among.p and alone.verdict == HOLDS
    assert 2 * alone.p_corrected < among.p_corrected <= 7 * alone.p and among.verdict == OPEN
    # What is about the same thing is no other claim.
    again = judge(runs, "better > fair", *(f"gap(better, fair) > {place / 1000}"
                                           for place in range(30)))[0]
    assert again.p_corrected < 1.2 * alone.p
    costs = judge(runs, "better > fair", *(f"better.flops > {place}" for place in range(30)))[0]
    assert costs.p_corrected == alone.p_corrected  # costs are not tested


def test_a_claim_may_hold_though_its_cautious_interval_does_not_leave_out_0():
    """A study of one claim tests it at 5 %; where variances are borrowed its interval is wider."""
    scores = np.random.default_rng(1).normal(60, 5, (4, 3, 300))
    runs = {name: finished({"accuracy": each}, (1, 2, 3))
            for name, each in zip("abcd", scores, strict=True)}
    (sample,) = estimates.samples(named(runs), [estimates.difference("accuracy", "a", "b")])
    low, _ = sample.interval(0.04)
    for shift, verdict, said in ((-low, HOLDS, "the interval, which allows for an unstable run"),
                                 (-low + 9, HOLDS, ""), (-low - 9, CONTRADICTED, "")):
        moved = runs | {"a": finished({"accuracy": scores[0] + shift}, (1, 2, 3))}
        (found,) = judge(named(moved), "a > b")
        (finding,) = found.comparisons
        assert found.verdict == verdict and finding.why.startswith(said)
        assert bool(finding.why) == bool(said)
        assert (finding.low <= 0 <= finding.high) == bool(said)
        assert not finding.wide_low < 0 < finding.wide_high


def test_p_of_several_comparisons():
    estimated = estimates.effects(RUNS, [estimates.difference("accuracy", "fair", other)
                                         for other in ("like", "good", "poor")])
    above, below = ([getattr(each, side) for each in estimated] for side in ("p_above", "p_below"))
    (found,) = judge(RUNS, "fair > [like, good, poor]")
    assert found.p == min(1, 2 * min(max(above), 3 * min(below)))
    assert [part.p for part in found.comparisons] == [
        min(1, 2 * min(pair)) for pair in zip(above, below, strict=True)]


def test_one_seed_takes_mcnemars_test_and_says_what_is_missing():
    runs = {"a": run(0.6, 1, seeds=[5]), "b": run(0.5, 2, seeds=[5])}
    (found,) = judge(runs, "a > b")
    a, b = (runs[name].scores["accuracy"][0] for name in "ab")
    only_a, only_b = int((a > b).sum()), int((b > a).sum())
    assert found.p == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)
    (part,) = found.comparisons
    assert part.seeds == 1 and part.why == "of these trained models: seeds are not in the interval"
    assert found.verdict == part.verdict == HOLDS_HERE
    assert judge(runs, "a < b")[0].verdict == CONTRADICTED_HERE


def test_runs_on_other_images_are_not_compared():
    runs = RUNS | {"far": run(0.9, 5, test_set="other")}
    found = judge(runs, "good > far", "good > [far, poor]", "good.flops > far", "good > poor",
                  "far > 50")
    assert [each.verdict for each in found] == [
        NOT_COMPARABLE, NOT_COMPARABLE, CONTRADICTED, HOLDS, HOLDS]
    assert found[0].comparisons[0].why == "good and far were tested on different images"
    assert found[0].p is None and found[0].comparisons[0].effect is None
    assert found[3].p_corrected <= 3 * found[3].p  # of three tested claims
    # The comparison that can be made is made.
    assert [part.verdict for part in found[1].comparisons] == [NOT_COMPARABLE, HOLDS]


def test_runs_without_a_common_seed_are_not_compared():
    runs = RUNS | {"alone": run(0.9, 5, seeds=[7])}
    (found,) = judge(runs, "alone > [good, poor]")
    assert found.verdict == NOT_COMPARABLE
    assert found.comparisons[0].why == "alone, good have no seed in common"


def test_a_run_with_too_few_classes_for_a_metric_is_not_computed():
    """Of a dataset that plan has not seen yet, their number is known late."""
    (found,) = judge(RUNS, "good.top5 > 90")
    assert found.verdict == NOT_COMPUTED
    assert found.comparisons[0].why == "good has too few classes for top5"
    (row,) = reported_rows(RUNS, {"good": {"top5": 99.0}})
    assert row == ("good", "top5", None, None, None, 99.0, None, "too few classes")


def test_failed_run_is_not_computed_and_disturbs_nothing():
    runs = RUNS | {"broken": run(failed="the logits of seed 1 are not finite")}
    found = judge(runs, "good > broken", "broken.flops < good", "good > fair")
    # What is counted is known all the same.
    assert [each.verdict for each in found] == [NOT_COMPUTED, CONTRADICTED, HOLDS]
    assert found[0].comparisons[0].why == "broken failed: the logits of seed 1 are not finite"
    (several,) = judge(runs, "good > [fair, broken]")
    assert [(part.verdict, part.why[:6]) for part in several.comparisons] == [
        (HOLDS, ""), (NOT_COMPUTED, "broken")]
    assert several.verdict == NOT_COMPUTED
    assert found[2] == judge(RUNS, "good > fair")[0]


@pytest.mark.parametrize(("claim", "verdict", "parts"), [
    ("good > vit", NOT_COMPUTED, [NOT_COMPUTED]),
    ("good > [poor, vit]", NOT_COMPUTED, [HOLDS, NOT_COMPUTED]),  # so far, but not as a whole
    ("good > [vit, fair] > poor", NOT_COMPUTED, [NOT_COMPUTED, HOLDS, NOT_COMPUTED, HOLDS]),
    ("poor > [vit, good]", CONTRADICTED, [NOT_COMPUTED, CONTRADICTED]),
    ("fair > [like, vit]", NOT_COMPUTED, [OPEN, NOT_COMPUTED]),
    ("good > v*", NOT_COMPUTED, [NOT_COMPUTED]),
    ("gap(good, vit) > gap(fair, poor)", NOT_COMPUTED, [NOT_COMPUTED]),
    # Nothing is counted of what was not run.
    ("vit.flops > [good, fair]", NOT_COMPUTED, [NOT_COMPUTED] * 2),
    ("fair.seconds < [good, vit]", NOT_COMPUTED, [OPEN, NOT_COMPUTED]),
    ("2 * fair.seconds < [good, vit]", CONTRADICTED, [CONTRADICTED, NOT_COMPUTED])])
def test_what_was_not_run_is_not_computed_and_the_rest_is_judged(claim, verdict, parts):
    (found,) = judge(RUNS, claim, not_run=["vit"])
    assert (found.verdict, [part.verdict for part in found.comparisons]) == (verdict, parts)
    assert {part.why for part in found.comparisons if part.verdict == NOT_COMPUTED} == {
        "vit was not run: needs a GPU"}
    if verdict == NOT_COMPUTED:
        assert found.p is None and found.p_corrected is None and not found.advice


def test_what_can_be_judged_of_a_claim_is_corrected_as_a_claim():
    others = ["fair > like", "fair > poor"]
    partial = judge(RUNS, "poor > [vit, good, like]", *others, not_run=["vit"])
    whole = judge(RUNS, "poor > [good, like]", *others)
    assert partial[0].comparisons[1:] == whole[0].comparisons
    assert (partial[0].p, partial[0].p_corrected) == (whole[0].p, whole[0].p_corrected)
    assert partial[1:] == whole[1:]
    # One that holds as far as it goes takes its part of the correction too.
    assert judge(RUNS, "good > [vit, poor]", *others, not_run=["vit"])[1:] == judge(
        RUNS, "good > poor", *others)[1:]
    # What cannot be judged at all takes none.
    assert judge(RUNS, "good > vit", *others, not_run=["vit"])[1:] == judge(RUNS, *others)


def test_identical_runs_are_not_distinguishable():
    runs = {"a": FAIR, "b": FAIR}
    (found,) = judge(runs, "a > b")
    assert found.verdict == OPEN and found.p == 1
    assert not found.advice  # nothing was found that could be more than chance
    (part,) = found.comparisons
    assert part.low < 0 == part.effect < part.high


def effect(mean=3.0, images=0.5, seeds=0.3, **keywords):
    return statistics.Effect(mean, -9, 9, 0.4, 0.6, 2, 1000, image_variance=images,
                             seed_variance=seeds, degrees=8, **keywords)


def advised(*effects, worth=2.0, level=0.05, shown=None):
    return advice.text(advice.OpenClaim(
        effects, shown or [False] * len(effects), level, "points", worth))


@pytest.mark.parametrize(("difference", "level"), [(2.2, 0.05), (3.0, 0.004), (2.6, 0.01)])
def test_seeds_and_images_that_are_needed_give_the_power_that_is_promised(difference, level):
    """Simulated: of studies with so many, 80 of 100 find the difference."""
    random = np.random.default_rng(0)

    def found(seeds, images):
        """Of studies with the variance as expected, which they know to 8 + seeds - 2 degrees."""
        degrees = 8 + seeds - 2
        over_seeds = 2 * 0.3 / seeds
        known = over_seeds * random.chisquare(degrees, 40_000) / degrees
        of_images = 0.5 * 1000 / images
        mean = random.normal(difference, np.sqrt(over_seeds + of_images), 40_000)
        free = (known + of_images)**2 * degrees / known**2
        return np.mean(mean / np.sqrt(known + of_images) > stats.t.ppf(1 - level / 2, free))

    needed = planning.images_needed(effect(), difference, level)
    assert found(2, needed) == pytest.approx(0.8, abs=0.03)
    seeds = planning.seeds_needed(effect(), difference, level)
    assert 2 < seeds.low < seeds.high and planning.smallest(effect(), level) > difference
    assert found(seeds.low - 1, 1000) < 0.83 and found(seeds.high, 1000) > 0.77


def test_more_is_needed_for_less():
    wide, narrow = (planning.seeds_needed(effect(), difference, 0.01) for difference in (2.6, 3))
    assert narrow.low < wide.low and narrow.high < wide.high
    assert planning.seeds_needed(effect(), 3, 0.004).low > narrow.low
    assert planning.seeds_needed(effect(), 1, 0.01) is None  # images alone are in the way
    assert planning.seeds_needed(effect(here=True), 3, 0.01) is None


def test_advice_is_a_range_for_the_difference_that_is_worth_planning_for():
    found = re.fullmatch(
        r"about (\d+) to (\d+) seeds \(now 2\) or ([0-9,]+) test images \(now 1,000\) would show "
        r"a difference of 2.2 points", advised(effect(), worth=2.2))
    needed = planning.seeds_needed(effect(), 2.2, 0.05)
    assert [int(found[1]), int(found[2])] == [needed.low, needed.high]
    assert advised(effect(mean=1.5), worth=2.2) == found[0]  # whatever was found
    assert advised(effect(mean=0.8), worth=2.2) == ""  # but nothing that chance gives
    by_effect = advised(effect(mean=2.2), worth=None)
    assert by_effect == found[0].replace("would show a difference of 2.2 points",
                                         "would probably decide it")


def test_advice_goes_by_the_comparison_that_is_missing():
    clear, unclear = effect(mean=9.0), effect(mean=2.0, images=0.1)
    assert advised(clear, unclear, shown=[True, False]) == advised(unclear)
    against = effect(mean=-3.0, images=0.1)
    assert advised(clear, against, unclear, shown=[True, False, False]) == advised(against)


def test_advice_names_both_where_either_alone_would_not_do():
    assert re.match(r"about \d+ to \d+ seeds \(now 2\) with 2 times the test images", advised(
        effect(seeds=2.0), worth=1.7))
    assert advised(effect(seeds=2.0), worth=0.001).startswith("not even 100 seeds with 10 times")
    assert advised(effect(seeds=0.0, here=True), worth=0.001) == (
        "more seeds would be needed first (now 2)")


def test_the_study_says_what_it_could_show():
    table = tables.by_name()["reach"]

    def rows(worth, *claims):
        planned = SimpleNamespace(worth=worth, score="accuracy")
        return [dict(zip(table.HEADER, row, strict=True)) for row in table.rows(
            Outcome(planned, RUNS, {}, judge(RUNS, *claims, worth=worth)))]

    (row,) = rows(1.0, "fair > like", "good > poor")
    assert (row["claims"], row["comparisons"], row["seeds"], row["images"], row["worth"]) == (
        2, 2, 2, 400, 1)
    assert row["unit"] == "points" and 3 < row["difference"] < 40 and row["seeds_low"] is None
    (row,) = rows(0.97 * row["difference"], "fair > like", "good > poor")
    assert 2 < row["seeds_low"] <= 10
    assert rows(1.0, "good.flops > poor") == []


def test_looks_of_a_race_keep_what_is_decided():
    runs = RUNS | {"better": run(0.63, 5)}
    claims = "good > poor", "better > fair", "fair > like", "like > fair"
    first = judge(runs, *claims, alpha=0.0075)
    assert [each.verdict for each in first][:2] == [HOLDS, OPEN]
    assert first[1].level < 0.0075
    known = {"good > poor": HOLDS, "fair > like": CONTRADICTED}
    second = judge(runs, *claims, alpha=0.0075, decided=known)
    assert {each.claim: each.verdict for each in second if each.claim in known} == known
    assert all(part.verdict in (HOLDS, CONTRADICTED) for each in second if each.claim in known
               for part in each.comparisons)
    alone = judge(runs, "better > fair", "like > fair", alpha=0.0075)
    assert second[1].p_corrected == alone[0].p_corrected  # what is decided takes no part
    assert second[1].p_corrected <= first[1].p_corrected


def test_settings_are_those_of_the_claim_s_runs():
    (found,) = judge(RUNS, "good > [fair, poor]")
    assert found.settings == dict.fromkeys(("good", "fair", "poor"), "not searched")


def test_counted_costs_are_compared_as_they_are():
    runs = {"a": run(parameters_trainable=10), "b": run(parameters_trainable=11),
            "c": run(parameters_trainable=11)}
    found = judge(runs, "a.parameters_trainable < b", "b.parameters_trainable < c",
                  "b.parameters_trainable < a", "a.trainable_bytes < 41",
                  "gap(b, a).parameters_trainable > gap(b, c)")
    assert [each.verdict for each in found] == [HOLDS, CONTRADICTED, CONTRADICTED, HOLDS, HOLDS]
    assert found[1].comparisons[0].why == "equal"
    assert [each.comparisons[0].effect for each in found] == [1, 0, -1, 1, 1]
    assert all(each.p is None and not each.advice for each in found)
    assert found[3].unit == "bytes"


def test_measured_costs_differ_by_a_tenth_or_not_at_all():
    runs = {name: run(seconds_per_replicate=seconds)
            for name, seconds in [("a", 10), ("b", 10.9), ("c", 11.2), ("d", 30)]}
    found = judge(runs, "a.seconds < b", "a.seconds < c", "c.seconds < a", "3.1 * a.seconds < d",
                  "[a, b].seconds < d", "a.seconds < [b, d]", "d.seconds < [a, b]")
    assert [each.verdict for each in found] == [
        OPEN, HOLDS, CONTRADICTED, OPEN, HOLDS, OPEN, CONTRADICTED]
    assert "less than 10 %" in found[0].comparisons[0].why


def test_what_was_measured_elsewhere_is_not_compared():
    runs = {"a": run(), "b": run(seconds_per_replicate=99.0, device="a GPU")}
    seconds, operations = judge(runs, "a.seconds < b", "a.operations < b")
    assert seconds.verdict == NOT_COMPARABLE and operations.verdict == CONTRADICTED
    assert seconds.comparisons[0].why == (
        "b was trained on a GPU in fp32 with 1 thread, a on a CPU in fp32 with 1 thread")


def test_tables_and_quality_file_of_claims():
    runs = RUNS | {"broken": run(failed="why")}
    claims = ("good > [fair, like]", "good.flops > poor", "good.seconds > poor", "broken > good")
    found = judge(runs, *claims)
    table = tables.by_name()["claims"]
    rows = [dict(zip(table.HEADER, row, strict=True))
            for row in table.rows(Outcome(None, runs, {}, found))]
    assert [(row["number"], row["comparison"]) for row in rows] == [
        (1, "good > fair"), (1, "good > like"), (2, "good > poor"), (3, "good > poor"),
        (4, "broken > good")]
    assert {row["claim_verdict"] for row in rows if row["number"] == 1} == {HOLDS}
    kept = quality.claims(found)
    assert list(kept) == sorted([claims[0], claims[1], claims[3]])  # no clock in it
    assert kept[claims[0]]["comparisons"][1] == {
        "text": "good > like",
        **{key: rows[1][key] for key in ("verdict", "effect", "low", "high")}}
    assert kept[claims[1]] == {
        "verdict": CONTRADICTED, "p": None, "quantity": "flops", "unit": "operations",
        "comparisons": [{"text": "good > poor", "verdict": CONTRADICTED, "effect": 0, "low": None,
                         "high": None}]}
    assert json.dumps(kept) == json.dumps(quality.claims(judge(runs, *claims)))
    assert judge(runs) == []


REPORTED = tables.by_name()["reported"]


def reported_rows(runs, reported, not_run=()):
    planned = SimpleNamespace(reported=reported, not_run=not_run)
    return REPORTED.rows(Outcome(planned, runs, estimates.intervals(runs)))


def test_reported_numbers_beside_ours():
    runs = RUNS | {"broken": run(failed="why")}
    good = estimates.intervals(runs)["good"]["accuracy"]
    mean, low = good.mean, good.low
    rows = [dict(zip(REPORTED.HEADER, row, strict=True)) for row in reported_rows(
        runs, {"good": {"accuracy": low - 0.1}, "broken": {"accuracy": 5},
               "fair": {"accuracy": 60}, "vit": {"accuracy": 98.4}}, not_run=["vit"])]
    assert [(row["run"], row["within"]) for row in rows] == [
        ("good", "no"), ("broken", "failed"), ("fair", "yes"), ("vit", "not run")]
    assert rows[3]["ours"] is rows[3]["difference"] is None and rows[3]["reported"] == 98.4
    assert rows[0]["difference"] == pytest.approx(mean - low + 0.1, abs=1e-3)
