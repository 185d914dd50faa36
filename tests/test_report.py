"""What the report says, in which order, and what users' words do to it."""

import re

from markdown_it import MarkdownIt
from tests.small_study import FAILURE, rows, settled, study

from unfreeze import places, words
from unfreeze.judging import statistics, tables, verdicts
from unfreeze.params.plan import ImageSource, NotRun
from unfreeze.params.race import Look, Race
from unfreeze.reporting import document, report
from unfreeze.reporting.document import (
    Code,
    Items,
    Number,
    Picture,
    Section,
    Strong,
    Table,
    line,
)
from unfreeze.reporting.figures import vega
from unfreeze.reporting.study import Images, Study
from unfreeze.scoring import calibration


def drawn(whole: Study) -> dict[str, str]:
    """What the stage plot would have drawn."""
    charts = {str(folder / f"{name}.svg"): chart.text
              for folder, tables in ((places.CHARTS, whole.rows),
                                     (places.MEASURED_CHARTS, whole.measured))
              for name, chart in vega.charts(tables).items()}
    return charts | ({str(whole.place_of_photos / "mistakes.png"): "Mistakes"} if whole.shown
                     else {})


def text(whole: Study) -> str:
    """What git tracks."""
    return document.markdown(report.title(whole),
                             report.tracked(report.sections(whole, drawn(whole))))


def page(whole: Study) -> str:
    """All of it."""
    return document.markdown(report.title(whole), report.sections(whole, drawn(whole)))


def section(whole: Study, title: str) -> str:
    return re.search(rf"^## {title}\n\n(.*?)(?=^## |\Z)", page(whole),
                     re.MULTILINE | re.DOTALL).group(1)


def titles(of: str) -> list[str]:
    return re.findall(r"^## (.*)$", of, re.MULTILINE)


def table(of: str) -> list[list[str]]:
    """The cells of the first table."""
    lines = re.search(r"(^\|.*\n)+", of, re.MULTILINE).group().splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", each)[1:-1]] for each in lines]


def test_the_answer_comes_first():
    assert titles(text(study())) == [
        "Recommendation", "Claims", "All runs", "The search", "Reported numbers beside ours",
        "Other scores", "Accuracy against cost", "Learning curves", "What base gets wrong",
        "Calibration", "How far the weights moved", "How alike the trained models are",
        "What was run, and how to repeat it", "How sure is this"]


def test_what_was_measured_is_in_the_page_alone():
    assert [title for title in titles(page(study())) if title not in titles(text(study()))] == [
        "Recommendation under the whole budget", "Claims on measured costs", "Time and memory",
        "Matched time"]
    other = {name: [{column: re.sub(r"\d", "7", value) if column in (
        "seconds", "seconds_per_replicate", "value", "effect") else value
        for column, value in row.items()} for row in rows]
        for name, rows in study().measured.items()}
    changed = study(**{f"measured_{name}": rows for name, rows in other.items()})
    assert text(changed) == text(study()) and page(changed) != page(study())


def test_a_study_of_which_nothing_was_measured():
    nothing = {f"measured_{name}": [] for name in study().measured}
    assert titles(page(study(**nothing))) == titles(text(study()))


def test_words_have_the_numbers_that_are_judged_by():
    sure = section(study(), "How sure is this")
    assert f"at or below {verdicts.ALPHA} after" in sure
    assert f"under {words.share(verdicts.NOISE)} do not count" in sure
    assert f"An interval of {words.share(statistics.CONFIDENCE)}" in sure
    assert f"over {calibration.BINS} bins" in section(study(), "Other scores")


def test_recommendation_says_what_was_asked_then_how_sure_then_what_to_take():
    said = section(study(), "Recommendation")
    asked, told_apart, take = (said.index(words_of) for words_of in (
        "Asked: which of 4 runs has the highest accuracy on tiny within the budget: at most 15 MB "
        "(what a replicate adds).", "**The runs cannot be told apart**", "- Take **base**"))
    assert asked < told_apart < take
    assert "the best may be lora (with a chance of 60 %) or base (40 %)." in said
    assert "Take **base** (the defaults; lr 0.01 of 3 tried)" in said
    assert "an accuracy of 78.8 % (95 % interval 75.0 to 82.0)" in said
    assert "it had 79.0 % (95 % interval 75.0 to 83.0) on the test images" in said
    assert "1.2 M operations of training and trains 50,000 parameters" in said
    assert "cheapest (in operations of training) of the 2 runs" in said
    assert "at most 1.0 points (the margin) behind the best" in said
    assert "expected to lose 0.7 points; with a chance of 40 % it is that run" in said
    assert "If only the score counts, take **lora** (tune: lora; lr 0.1 of 3 tried)" in said
    assert ("How chosen: one_seed was not searched, so test images choose (50 images, 2 seeds a "
            "run).") in said
    assert "from about 4.5 points on" in said
    assert "of 2.0 points (`worth`) would take 8 to 11" in said
    assert ("To know better: with 4 or 8 `seeds` for lora, base the loss to expect of what then "
            "looks best would go from 0.4 points to 0.3 or 0.2, for 18 G or 45 G operations more."
            ) in said
    settled_now = [row | {"loss_now": "0.01"} for row in study().rows["further"]]
    assert "To know better" not in section(study(further=settled_now), "Recommendation")
    assert "Over the budget: 1 run, none that would be better." in said
    assert f"**exploded** failed: {FAILURE}" in said
    assert "To use it: `unfreeze predict . PHOTOS` names" in said
    said = section(study(folder="studies/flowers"), "Recommendation")
    assert "`unfreeze export flowers --to FOLDER` takes the model elsewhere." in said


def test_what_validation_images_chose_is_expected_to_do_as_on_the_test_images():
    (row,) = study().rows["evidence"]
    evidence = [row | {"chosen_by": "validation", "knob": "search_seeds", "here": "yes",
                       "seeds": "1", "why": "every run was searched, so validation chooses"}]
    said = section(study(evidence=evidence, further=[]), "Recommendation")
    assert "(95 % interval 75.0 to 82.0), as on the test images, which had no part" in said
    assert "every run was searched, so validation chooses (50 images, 1 search seed a run)." in said
    assert "about these trained models and no others" in said and "To know better" not in said


def test_a_budget_in_seconds_is_for_the_page():
    assert "Left out here is what has to be measured (seconds: 10 s)" in text(study())
    said = section(study(), "Recommendation under the whole budget")
    assert "at most 15 MB (what a replicate adds); at most 10 s (training time" in said
    assert "There is but one run within the budget to choose from: **base**." in said
    assert "Over the budget: 1 run: lora (80.0 %; seconds 14 s of 10 s)." in said
    counted = study(budget={"stored_bytes": 15e6})
    assert "has to be measured" not in page(counted) and "whole budget" not in page(counted)


def test_what_one_answer_gets_stands_beside_the_recommendation_where_classes_are_unequal():
    (dataset,) = study().dataset_names
    card = {"classes": ["healthy", "ill"], "train": 160, "test": 40, "digest": "0" * 64,
            "counts": {"train": [152, 8], "test": [38, 2]}, "sizes": None, "duplicates": None,
            "repeated": {"images": 2, "examples": [["a", "b"]]}, "split": "", "source": "",
            "licence": ""}
    said = section(study(cards={dataset: card}), "Recommendation")
    assert ("to answer healthy always is right for 95.0 % of the test images, with a balanced "
            "accuracy of 50.0 %; that of base is 71.3 %.") in said
    assert "2 of 160 training images are copies of others" in text(study(cards={dataset: card}))
    equal = card | {"counts": {"train": [80, 80], "test": [25, 15]}}
    assert "Unequal" not in section(study(cards={dataset: equal}), "Recommendation")


def test_what_can_hardly_mean_anything_is_said_before_all_else():
    whole = study(warnings=("every run trains on 4 images of the smallest class: add images",))
    assert titles(text(whole))[:2] == ["Warnings", "Recommendation"]
    assert section(whole, "Warnings").strip() == (
        "- Every run trains on 4 images of the smallest class: add images.")


def test_a_budget_that_leaves_next_to_nothing_is_said_before_all_else():
    lora, base = study().rows["recommendation"][:2]

    def warned(*within: str, **budget: float) -> str:
        found = titles(text(whole := study(budget=budget, recommendation=[
            row | {"within_budget": answer}
            for row, answer in zip((lora, base), within, strict=True)])))
        return section(whole, "Warnings").strip() if "Warnings" in found else ""

    assert warned("yes", "yes", stored_bytes=1e6) == warned("no", "no") == ""
    assert warned("yes", "no", stored_bytes=1e6) == (
        "- Of 2 runs only lora keeps the budget (stored_bytes: 1 MB), so there was nothing to "
        "choose from.")
    assert warned("no", "no", stored_bytes=1e6) == (
        "- No run keeps the budget (stored_bytes: 1 MB).")
    assert warned("no", "no", seconds=1.0) == ""  # measured: elsewhere it may be otherwise


def test_a_run_that_is_hardly_the_best_is_not_named_among_those_that_may_be():
    lora, base, *others = study().rows["recommendation"]
    rows = [lora | {"chance": "0.994"}, base | {"chance": "0.006"}, *others]
    said = section(study(recommendation=rows), "Recommendation")
    assert "**lora is probably the best**, with a chance of over 99 %: the other may" in said
    assert "cannot be told apart" not in said
    third = base | {"run": "bias", "chance": "0.3", "loss": "1", "recommended": "no"}
    three = [rows[0], third, *rows[1:]]
    said = section(study(recommendation=three, runs=study().plan.runs | {"bias": settled()}),
                   "Recommendation")
    assert "**2 of the 3 runs cannot be told apart**: the best may be lora (with" in said


def test_a_run_that_is_better_on_test_images_which_do_not_choose_is_named():
    better = " On test images lora did better: 80.0 % (95 % interval 76.0 to 84.0); to "
    by_test = section(study(), "Recommendation")
    evidence = [row | {"chosen_by": "validation"} for row in study().rows["evidence"]]
    by_validation = section(study(evidence=evidence), "Recommendation")
    assert better not in by_test and "by test images, to be at most" in by_test
    assert better in by_validation and "by validation images, to be at most" in by_validation
    lora_taken = section(study(evidence=evidence, recommendation=_recommended(recommended="yes")),
                         "Recommendation")
    assert "did better" not in lora_taken


def test_what_may_be_no_better_than_one_answer_says_so():
    (dataset,) = study().dataset_names
    card = {"classes": ["cat", "dog"], "train": 80, "test": 40, "digest": "0" * 64, "sizes": None,
            "counts": {"train": [40, 40], "test": [10, 30]}, "duplicates": None, "split": "",
            "source": "", "licence": ""}
    said = section(study(cards={dataset: card}), "Recommendation")
    assert ("**Hardly better than guessing**: always to answer dog is right for 75.0 % of the test "
            "images, and the interval holds that.") in said
    better = card | {"counts": {"train": [40, 40], "test": [11, 29]}}
    assert "guessing" not in section(study(cards={dataset: better}), "Recommendation")


def _recommended(**changes) -> list[dict]:
    """The rows with some of lora's fields changed, base neither tied nor good enough."""
    lora, base, *others = study().rows["recommendation"]
    return [lora | changes, base | {"tied": "no", "enough": "no", "recommended": "no"}, *others]


def test_recommendation_of_a_run_that_is_ahead_of_all_others():
    said = section(study(recommendation=_recommended(recommended="yes")), "Recommendation")
    assert "**lora is ahead of all 1 others** by more than chance explains" not in said
    assert "**lora is ahead of the other** by more than chance explains" in said
    assert "Take **lora**" in said and "Take **base**" not in said
    assert ("by test images every other run is expected to be more than 1.0 points (the "
            "margin) behind it") in said
    assert "If only the score counts" not in said
    assert ("Its settings lie at the end of what was tried: lr 0.1 is the highest that was tried: "
            "add 0.3.") in said


def test_recommendation_of_a_run_that_is_worse_for_certain_but_within_the_margin():
    lora, base, *others = study().rows["recommendation"]
    said = section(study(recommendation=[lora, base | {"tied": "no"}, *others]), "Recommendation")
    assert "**lora is ahead of the other**" in said and "Take **base**" in said


def test_recommendation_of_the_only_run():
    (lora,) = [row | {"tied": "yes", "recommended": "yes"}
               for row in study().rows["recommendation"] if row["run"] == "lora"]
    alone = {"runs": {"lora": settled(tune="lora")}, "searches": {}, "measured_recommendation": [],
             "details": {"lora": study().details["lora"]}}
    said = section(study(recommendation=[lora], ranking=study().rows["ranking"][:1],
                         costs=study().rows["costs"][1:2], **alone), "Recommendation")
    assert "There is but one run to choose from: **lora**." in said
    assert "Why: there is no other." in said


def test_recommendation_by_a_score_of_which_less_is_better():
    low = [row | {"score": "0.61", "expected": "0.615", "expected_low": "0.55",
                  "expected_high": "0.66"} for row in study().rows["recommendation"]]
    ranking = [row | {"score": "0.6", "low": "0.55", "high": "0.65"}
               for row in study().rows["ranking"]]
    whole = study(score="cross_entropy", recommendation=low, ranking=ranking)
    said = section(whole, "Recommendation")
    assert "the lowest cross-entropy on tiny" in said
    assert "Expect a cross-entropy of 0.615 nats (95 % interval 0.550 to 0.660)" in said
    assert "is expected to lose 0.700 nats" in said
    assert "Cross-entropy against cost" in titles(text(whole))
    assert "cross-entropy (nats)" in table(section(whole, "All runs"))[0]


def test_recommendation_without_a_budget():
    said = section(study(budget={}), "Recommendation")
    assert "has the highest accuracy on tiny, whatever it costs." in said
    assert "within the budget" not in said


def test_no_run_within_the_budget():
    nothing = [row | {"within_budget": "no", "over": "stored_bytes 20 MB of 15 MB", "best": "no",
                      "recommended": "no", "tied": "no", "behind": "-1"}
               for row in study().rows["recommendation"]]
    said = section(study(recommendation=nothing), "Recommendation")
    assert "**No run is within the budget.**" in said and "Take" not in said
    assert "lora (80.0 %; stored_bytes 20 MB of 15 MB)" in said


def test_a_run_that_cannot_be_compared_says_so():
    told = _recommended(recommended="yes", note="not compared: other test images than base's")
    assert "**lora**: not compared: other test images than base's." in section(
        study(recommendation=told), "Recommendation")


def test_nothing_is_said_of_the_reach_of_a_study_without_tests():
    assert "would probably have been shown" not in text(study(reach=[]))
    never = rows("difference,worth,seeds_low,seeds_high", "4.5,2,,")
    assert "one of 2.0 points (`worth`) is beyond more seeds alone." in text(study(reach=never))
    for high, seeds in (("9", "9 seeds"), ("12", "9 to 12 seeds"), ("", "at least 9 seeds")):
        reach = rows("difference,worth,seeds_low,seeds_high", f"4.5,2,9,{high}")
        assert f"(`worth`) would take {seeds} a run." in text(study(reach=reach))


def test_claims_with_verdict_effect_intervals_p_settings_and_remarks():
    cells = table(section(study(), "Claims"))
    assert cells[0] == ["claim", "verdict", "effect", "95 % interval", "all at once", "p",
                        "remarks", "settings"]
    assert cells[2] == ["`base > one_seed`", "holds for these models", "+19.0 points",
                        "+15.0 to +23.0", "+14.0 to +24.0", "< 0.001",
                        "one seed; note: as `published`",
                        "base: lr 0.01 of 3 tried; one_seed: not searched"]
    # A claim of several comparisons: its verdict, then theirs.
    assert cells[3] == ["`lora > base > one_seed`", "not distinguishable", "", "", "", "0.800",
                        "about 9 seeds would decide it", ""]
    assert cells[4][:5] == ["↳ lora > base", "not distinguishable", "+1.0 points", "-2.0 to +4.0",
                            "-3.0 to +5.0"]
    assert cells[5][:2] == ["↳ base > one_seed", "holds"]
    assert cells[6] == ["`lora.stored_bytes < base`", "holds", "+8.5 MB", "-", "-", "-", "", ""]
    assert ("5 claims: 1 × holds for these models, 1 × not distinguishable, 1 × holds"
            in text(study()))


def test_settings_of_a_claim_are_said_in_short_where_all_runs_have_tried_as_many():
    alike = "base: lr 0.01 of 3 tried; lora: lr 0.1 of 3 tried"
    for settings, short in ((alike, "lr, of 3 tried: base 0.01, lora 0.1"),
                            (f"{alike}; head: lr 1 of 4 tried", f"{alike}; head: lr 1 of 4 tried")):
        claims = [study().rows["claims"][0] | {"settings": settings}]
        assert table(section(study(claims=claims), "Claims"))[2][-1] == short


def test_what_was_not_computed_is_said_once():
    cells = table(section(study(), "Claims"))
    assert cells[7] == ["`exploded > *`", "not computed", "-", "-", "-", "-",
                        "all 3 comparisons: exploded failed", ""]
    assert len(cells) == 9
    *earlier, computed, other, last, measured = study().rows["claims"]
    some = [*earlier, computed | {"effect": "3", "low": "1", "high": "5", "why": "",
                                  "verdict": "holds"}, other, last, measured]
    cells = table(section(study(claims=some), "Claims"))
    assert [row[0] for row in cells[7:10]] == ["`exploded > *`", "↳ exploded > base",
                                               "↳ 2 comparisons"]
    assert cells[9][-2] == "exploded failed"


def test_claims_on_measured_costs_are_judged_in_the_page():
    assert table(section(study(), "Claims"))[8] == [
        "`lora.seconds < base`", "measured", "-", "-", "-", "-",
        r"seconds are measured: judged in \_made/report.html", ""]
    cells = table(section(study(), "Claims on measured costs"))
    assert cells[0] == ["claim", "verdict", "effect"]  # nothing else is known
    assert cells[2] == ["`lora.seconds < base`", "contradicted", "-5 s"]


def test_a_study_without_a_search_says_so():
    unsearched = [row | {"settings": "base: not searched; lora: not searched"}
                  for row in study().rows["claims"]]
    whole = study(searches={}, choices=[], search=[], expected_best=[], claims=unsearched)
    assert "The search" not in titles(page(whole)) and "search.svg" not in page(whole)
    assert "settings" not in table(section(whole, "Claims"))[0]
    assert "settings" not in table(section(whole, "All runs"))[0]
    assert "Not searched: each verdict is about its runs at the one setting" in text(whole)
    assert "Settings were not searched" in section(whole, "All runs")
    assert "A search looks at" not in section(whole, "How sure is this")


def test_the_search_says_what_was_chosen_of_how_many_and_how_forgiving_each_run_is():
    said = section(study(), "The search")
    assert "2 runs had settings to choose." in said
    assert "on images held out of training, never on test images, by cross-entropy after" in said
    assert "Not searched: one_seed, exploded." in said
    assert table(said)[2:] == [
        ["base", "lr: 0.01", "3", "0.610", "0.930", "81.2", "3", "3.6 M"],
        ["lora", "lr: 0.1", "3", "0.580", "diverged", "82.5", "3", "27 G"]]
    assert "- **lora**: lr 0.1 is the highest that was tried: add 0.3" in said
    assert "](plots/charts/search.svg)" in said and "](plots/charts/expected_best.svg)" in said


def test_a_search_that_halved_or_failed():
    base, lora = study().rows["choices"]
    odd = [base | {"stopped": "2", "listed": "9", "folds": "5"},
           lora | {"chosen": "", "score": "", "accuracy": "", "diverged": "3", "edges": ""}]
    said = section(study(choices=odd, expected_best=[]), "The search")
    assert table(said)[2][2] == "3 of 9, 2 of them stopped early"
    assert table(said)[3][1:6] == [
        "nothing: all trained in full diverged", "3", "-", "3 diverged", "-"]
    assert "images held out of training, or by cross-validation" in said
    assert "at the end of what was tried" not in said and "Dodge" not in said


def test_a_race_says_what_it_spent_and_decided_at_each_look():
    assert "The race" not in titles(page(study()))
    names = tuple(study().plan.runs)
    race = Race("", "", "", tuple(range(16)), (
        Look(2, names, {}, ()), Look(4, ("base", "lora"), {"base > lora": "holds"}, ("a > b",))))
    said = section(study(race=race), "The race")
    assert "looked at the results 2 times" in said
    assert "12 models trained, where as many seeds for every run would have been 16" in said
    assert table(said)[2:] == [
        ["2", "all 4", "8", "", ""], ["4", "base, lora", "4", "base > lora: holds", "a > b"]]


def test_no_claims_and_no_reported_numbers():
    whole = study(claims=[], reported=[])
    assert "None are made" in section(whole, "Claims")
    assert "claims.svg" not in text(whole) and "Reported" not in text(whole)


def test_runs_that_were_not_run_are_listed_with_why():
    assert "Not run here" not in text(study())
    absent = [{"run": "vit", "metric": metric, "ours": "", "low": "", "high": "",
               "reported": number, "difference": "", "within": "not run"}
              for metric, number in (("accuracy", "98.4"), ("cross_entropy", "0.25"))]
    whole = study(reported=[*study().rows["reported"], *absent], not_run={
        "vit": NotRun("its weights cannot be had", {"model": "vit_b_16", "lr": 0.1}),
        "again": NotRun("needs a GPU", {})})
    said = section(whole, "Not run here")
    assert said.startswith("2 runs of this question") and "`not_run:`" in said
    assert table(said)[2:] == [
        ["vit", "model: vit_b_16, lr: 0.1", "accuracy 98.4, cross entropy 0.25",
         "its weights cannot be had"], ["again", "the defaults", "-", "needs a GPU"]]
    assert table(section(whole, "Reported numbers beside ours"))[3] == [
        "vit", "accuracy", "98.40", "-", "-", "-", "not run"]


def test_results_mark_one_seed_and_failed_runs():
    said = section(study(), "All runs")
    cells = table(said)
    assert [row[0] for row in cells[2:]] == ["lora", "base", "one_seed", "exploded"]
    assert cells[2][1:6] == ["tune: lora", "lr 0.1 of 3 tried", "80.0", "76.0 to 84.0", "2"]
    assert cells[4][4] == "55.0 to 65.0 †" and "† One seed" in said
    assert cells[5][1:5] == [f"lr: 10.0 (failed: {FAILURE})", "not searched", "failed", "-"]
    assert cells[5][6:] == ["50,000", "1.5", "20", "9 k"]
    assert "Each seed had 90 training images, 10 held out of training, and was tested on" in said


def test_runs_that_were_given_other_images_say_how_many():
    images = study().images | {"base": Images(1100, 0, 50)}
    cells = table(section(study(images=images), "All runs"))
    assert cells[0][3] == "images"
    assert [row[3] for row in cells[2:4]] == ["90 + 10 / 50", "1,100 / 50"]


def test_only_one_seed_is_explained_where_there_is_one():
    several = [row for row in study().rows["ranking"] if row["run"] != "one_seed"]
    assert "†" not in section(study(ranking=several), "All runs")


def test_scores_without_interval_or_value():
    cells = table(section(study(), "Other scores"))
    assert cells[0] == ["run", "balanced accuracy (%)", "expected calibration error (%)",
                        "after scaling (%)"]
    assert cells[2][1:] == ["71.3 (71.3 to 71.3)", "5.5 (5.5 to 5.5)", "2.5"]
    assert cells[3][3] == "-"


def test_matched_epochs_where_runs_have_more_and_fewer():
    cells = table(section(study(), "Learning curves"))
    assert cells[0] == ["run", "after 2 epochs (%)", "epochs"]
    assert cells[2:] == [["lora", "81.0", "3"], ["base", "79.0", "2"], ["one_seed", "58.0", "2"]]
    alike = [row | {"epochs": "2"} for row in study().rows["matched"]]
    assert "|" not in section(study(matched=alike), "Learning curves")


def test_matched_time():
    cells = table(section(study(), "Matched time"))
    assert cells[0][1:3] == ["after 10.0 s (%)", "epochs in 10.0 s"]
    assert cells[2] == ["base", "79.0", "2.0", "2.0", "9.0"]
    assert cells[3] == ["lora", "61.0", "1.0", "2.0", "14.0"]
    assert cells[4] == ["one_seed", "-", "-", "2.0", "28.0"]  # no epoch in time


def test_without_a_budget_of_seconds_time_is_what_the_fastest_run_needs():
    matched = [row | {"set_by": "base", "seconds_matched": "9"}
               for row in study().measured["matched"]]
    said = section(study(measured_matched=matched), "Matched time")
    assert "within 9.0 s of training (what base needs for all its epochs" in said


def test_time_and_memory_with_their_spread_and_the_machine():
    said = section(study(), "Time and memory")
    assert "On a processor (fp32, 1 thread)." in said
    assert table(said)[2] == ["base", "9.0", "8.0 to 10.0", "2", "27.0", "100", "900"]
    assert table(said)[5][1:3] == ["28.0", "-"]  # of one seed
    assert "](_made/charts/pareto.svg)" in said and "which is cheaper" not in said
    base, *others = study().measured["costs"]
    said = section(study(measured_costs=[base | {"device": "a card", "threads": ""}, *others]),
                   "Time and memory")
    assert "On a card (fp32) and a processor (fp32, 1 thread)." in said
    assert table(said)[2][-1] == "a card (fp32)"
    assert "neither time nor memory says which is cheaper" in said


def test_no_validation_images():
    scores = [row for row in study().rows["scores"] if row["metric"] != "ece_scaled"]
    curves = [row for row in study().rows["learning_curves"] if row["split"] == "train"]
    whole = study(matched=[], measured_matched=[], measured_wall_clock=[], learning_curves=curves,
                  scores=scores)
    assert "Matched" not in page(whole) and "wall_clock.svg" not in page(whole)
    assert "learning_curves.svg" in section(whole, "Learning curves")
    assert "one temperature" not in section(whole, "Other scores")
    assert "one temperature" in section(study(), "Other scores")
    assert "Learning curves" not in text(study(matched=[], learning_curves=[]))


def test_a_caption_speaks_of_scaling_only_where_something_was_scaled():
    unscaled = study(reliability=study().rows["reliability"][:1])
    assert "temperature" not in section(unscaled, "Calibration")
    assert "temperature" in section(study(), "Calibration")


def test_mistakes_are_those_of_the_run_that_is_recommended():
    assert "base is the run that is recommended" in section(study(), "What base gets wrong")
    other = section(study(recommendation=_recommended(recommended="yes")), "What lora gets wrong")
    assert table(other)[2] == ["dog", "cat", "15.0"]
    nothing = [row | {"recommended": "no"} for row in study().rows["recommendation"]]
    assert "base stands for the study" in section(study(recommendation=nothing),
                                                  "What base gets wrong")


def test_of_each_class_it_is_said_how_many_images_it_had_and_how_well_it_is_told():
    card = {"classes": ["cat", "dog"], "train": 50, "test": 6, "digest": "0" * 64, "sizes": None,
            "counts": {"train": [47, 3], "test": [5, 1]}, "duplicates": None, "split": "",
            "source": "", "licence": ""}
    told = {"cat": {"recall": 90.0, "precision": 80.0, "f1": 84.7, "images": 5},
            "dog": {"recall": 25.0, "precision": None, "f1": 0, "images": 1}}
    details = study().details | {"base": study().details["base"] | {"per_class": told}}
    whole = study(details=details, cards={"tiny": card},
                  images=study().images | {"base": Images(50, 0, 6, (47, 3))})
    said = table(section(whole, "What base gets wrong"))
    assert said[0] == ["class", "trained on", "tested on", "right (%)",
                       "of those so called, right (%)"]
    assert said[2:] == [["dog", "3", "1", "25.0", "-"], ["cat", "47", "5", "90.0", "80.0"]]


def test_where_nothing_is_recommended_and_base_failed_no_mistakes_are_shown():
    whole = study(details=study().details | {"base": {"failed": FAILURE, "test_images": 50}},
                  recommendation=[row | {"recommended": "no"}
                                  for row in study().rows["recommendation"]],
                  ranking=study().rows["ranking"][:1])
    assert "gets wrong" not in text(whole) and "mistakes.png" not in text(whole)


def test_a_study_in_which_every_run_failed():
    whole = study(details={run: {"failed": FAILURE, "test_images": 50}
                           for run in study().plan.runs},
                  **dict.fromkeys(("ranking", "scores", "matched", "pareto", "recommendation",
                                   "confusion", "confused", "movement", "reliability", "claims",
                                   "reported", "similarity", "similar_parts", "evidence", "further",
                                   "reach"), []),
                  compare={})
    assert "**No run has finished.**" in text(whole)
    assert [row[3] for row in table(section(whole, "All runs"))[2:]] == ["failed"] * 4


def test_pictures_of_nothing_are_left_out():
    assert "fractions.svg" not in text(study())
    some = rows("series,init,run,fraction,accuracy,low,high", "base,scratch,base,0.5,1,1,1")
    assert "](plots/charts/fractions.svg)" in text(study(fractions=some))


def test_a_picture_that_no_section_knows_comes_at_the_end():
    whole = study()
    mine = {"plots/charts/mine.svg": "What I wanted to see", "_made/charts/time.svg": "How long"}
    sections = report.sections(whole, drawn(whole) | mine)
    assert [section.title for section in sections[-4:]] == [
        "More pictures", "More pictures of what was measured",
        "What was run, and how to repeat it", "How sure is this"]
    assert [each.blocks for each in sections[-4:-2]] == [[Picture(*each)] for each in mine.items()]
    assert [each.measured for each in sections[-4:-2]] == [False, True]
    assert "More pictures" not in text(whole)


def test_what_was_run_is_a_list_in_groups():
    said = section(study(), "What was run, and how to repeat it")
    assert ("- **Data**: `dataset: tiny, fraction: 0.5`\n"
            "- **Images**: `image_size: 8`\n"
            "- **Seeds**: `seeds: [1, 2]`\n"
            "- **Model**: `model: cnn`\n"
            "- **What is trained**: `freeze: none, tune: full`\n"
            "- **Training**: `phases: [], epochs: 2, lr: 0.1`\n") in said
    assert "4 runs, 7 models trained" in said and "after 6 trials of the search" in said
    assert "a processor" not in text(study())
    assert "`make repro`" in said
    said = section(study(folder="studies/one"), "What was run, and how to repeat it")
    assert "`cd studies/one && dvc repro`" in said and "make repro" not in said


def test_images_of_one_s_own_have_the_name_that_their_owner_gave_them():
    own = {"own-photos-123456789abc": ImageSource("photos", path="/home/me/photos")}
    runs = {run: settled(dataset="own-photos-123456789abc") for run in study().plan.runs}
    whole = study(datasets=own, runs=runs)
    assert report.title(whole) == "Which fine-tuning strategy is best? photos"
    assert "has the highest accuracy on photos within" in text(whole)
    said = section(whole, "What was run, and how to repeat it")
    assert "the same images where they lay here (`/home/me/photos`), or with `dataset:`" in said
    assert "- **Data**: `dataset: /home/me/photos, fraction: 0.5`\n" in said
    assert "123456789abc" not in said
    packed = {"own-photos-123456789abc": ImageSource("photos", url="https://x.org/a/Photos.tar.gz")}
    assert report.title(study(datasets=packed, runs=runs)).endswith("? Photos")


def test_photos_of_one_s_own_are_in_the_page_alone_unless_they_are_to_be_shared():
    name = "own-photos-123456789abc"
    card = {"classes": ["cat", "dog"], "train": 8, "test": 2, "digest": "0" * 64, "sizes": None,
            "counts": {"train": [4, 4], "test": [1, 1]}, "duplicates": None, "split": "",
            "source": "", "licence": ""}
    own = {"datasets": {name: ImageSource("photos", path="/home/me/photos")}, "cards": {name: card},
           "runs": {run: settled(dataset=name) for run in study().plan.runs}}
    whole = study(**own)
    assert "gallery.png" not in text(whole) and "mistakes.png" not in text(whole)
    assert "with `share_photos: true`" in text(whole)
    assert "](_made/gallery/gallery.png)" in page(whole)
    assert "](_made/pictures/mistakes.png)" in page(whole)
    shared = text(study(share_photos=True, **own))
    assert "](plots/data/gallery.png)" in shared and "](plots/charts/mistakes.png)" in shared
    assert "share_photos" not in shared


def test_similarity_of_pairs():
    said = section(study(), "How alike the trained models are")
    assert "**both**: base and lora" in said
    assert table(said)[2] == ["stem", "0.50", "-", "0.75"]


HOSTILE = "a|b *c* _d_ `e` <i>f</i> [g](h) \\ ~~i~~ $j$ &amp;\nk"


def test_markdown_takes_users_words_for_words():
    claims = [study().rows["claims"][0] | {"note": HOSTILE, "claim": HOSTILE}]
    confused = [{"run": "base", "actual": HOSTILE, "predicted": "_dog_", "percent": "20"}]
    found = MarkdownIt("gfm-like", {"linkify": False}).render(
        text(study(claims=claims, confused=confused)))
    flat = "a|b *c* _d_ `e` &lt;i&gt;f&lt;/i&gt; [g](h) \\ ~~i~~ $j$ &amp;amp; k"
    noted = flat.replace("`e`", "<code>e</code>")  # what a note has in backticks is code
    assert found.count(flat) == 2 and found.count(noted) == 1
    assert "<em>" not in found and "<i>" not in found


def test_markdown_escapes():
    assert document.escaped("last_only") == "last_only"
    assert document.escaped("_d_ a|b *c* <i> 1 < 2") == r"\_d\_ a\|b \*c\* \<i> 1 < 2"
    assert document.escaped("two\nlines") == "two lines"
    blocks = [Items([("a", Strong("b*"), Code("`c|d`"))]),
              Table("t", ("x", "y"), [("1", Number(2.0, "2"))], frozenset({"y"}))]
    assert document.markdown("T", [Section("S", [line("p"), *blocks])]) == (
        "# T\n\n## S\n\np\n\n- a**b\\***`` `c\\|d` ``\n\n| x | y |\n|---|---:|\n| 1 | 2 |\n")


def test_runs_may_be_called_what_they_like():
    whole = study(runs={"base": settled(), "NA": settled(), "1": settled(lr=0.2)},
                  recommendation=[], measured_recommendation=[],
                  details=dict.fromkeys(("base", "NA", "1"), study().details["base"]),
                  ranking=[study().rows["ranking"][1] | {"run": run}
                            for run in ("base", "NA", "1")],
                  costs=[study().rows["costs"][0] | {"run": run} for run in ("base", "NA", "1")])
    assert [row[0] for row in table(section(whole, "All runs"))[2:]] == ["base", "NA", "1"]


def test_the_made_up_tables_have_the_columns_of_the_real_ones():
    for name, made_up in study().rows.items():
        if made_up:
            assert set(made_up[0]) <= set(tables.by_name()[name].HEADER), name
