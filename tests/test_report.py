"""What the report says, in which order, and what users' words do to it."""

import re

from markdown_it import MarkdownIt
from tests.small_study import FAILURE, rows, settled, study

from unfreeze import words
from unfreeze.judging import statistics, tables, verdicts
from unfreeze.params.plan import NotRun
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
from unfreeze.reporting.study import Study
from unfreeze.scoring import calibration


def drawn(whole: Study) -> dict[str, str]:
    """What the stage plot would have drawn."""
    charts = {f"{name}.svg": chart.text for name, chart in vega.charts(whole.rows).items()}
    return charts | ({"mistakes.png": "Mistakes"} if whole.shown else {})


def text(whole: Study) -> str:
    return document.markdown(report.title(whole), report.sections(whole, drawn(whole)))


def section(whole: Study, title: str) -> str:
    return re.search(rf"^## {title}\n\n(.*?)(?=^## |\Z)", text(whole),
                     re.MULTILINE | re.DOTALL).group(1)


def table(of: str) -> list[list[str]]:
    """The cells of the first table."""
    lines = re.search(r"(^\|.*\n)+", of, re.MULTILINE).group().splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", each)[1:-1]] for each in lines]


def test_the_answer_comes_first():
    assert re.findall(r"^## (.*)$", text(study()), re.MULTILINE) == [
        "Recommendation", "Claims", "Reported numbers beside ours", "All runs", "Other scores",
        "Matched epochs, matched time", "Accuracy against cost", "What base gets wrong",
        "Calibration", "How far the weights moved", "How alike the trained models are",
        "What was run, and how to repeat it", "How sure is this"]


def test_words_have_the_numbers_that_are_judged_by():
    sure = section(study(), "How sure is this")
    assert f"at or below {verdicts.ALPHA} after" in sure
    assert f"under {words.share(verdicts.NOISE)} do not count" in sure
    assert f"less than {words.share(verdicts.NOISE)}." in section(study(), "Recommendation")
    assert f"An interval of {words.share(statistics.CONFIDENCE)}" in sure
    assert f"over {calibration.BINS} bins" in section(study(), "Other scores")


def test_recommendation_names_the_run_the_best_the_tied_and_the_rest():
    said = section(study(), "Recommendation")
    assert "at most 15 s" in said
    assert "Take **base** (the defaults): 79.0 % accuracy (95 % interval 75.0 to 83.0)" in said
    assert "9 s of training, 50,000 parameters trained" in said
    assert "cheapest of 2 runs within the budget" in said
    assert "Highest accuracy within the budget: **lora**, 80.0 %" in said
    assert "Not distinguishable from lora: base (79.0 %, 9 s)" in said
    assert "Over the budget: 1 run; with a higher accuracy: none." in said
    assert f"**exploded** failed: {FAILURE}" in said


def test_what_one_answer_gets_stands_beside_the_recommendation_where_classes_are_unequal():
    (dataset,) = study().datasets
    card = {"classes": ["healthy", "ill"], "train": 160, "test": 40, "digest": "0" * 64,
            "counts": {"train": [152, 8], "test": [38, 2]}, "sizes": None, "duplicates": None,
            "repeated": {"images": 2, "examples": [["a", "b"]]}, "split": "", "source": "",
            "licence": ""}
    said = section(study(cards={dataset: card}), "Recommendation")
    assert ("to answer healthy always is right for 95.0 % of the test images, with a balanced "
            "accuracy of 50.0 %") in said
    assert "2 of 160 training images are copies of others" in text(study(cards={dataset: card}))
    equal = card | {"counts": {"train": [80, 80], "test": [25, 15]}}
    assert "Unequal" not in section(study(cards={dataset: equal}), "Recommendation")


def _recommended(**changes) -> list[dict]:
    """The rows with some of lora's fields changed, base untied and not recommended."""
    lora, base, *others = study().rows["recommendation"]
    return [lora | changes, base | {"tied": "no", "recommended": "no"}, *others]


def test_recommendation_of_a_best_run_that_stands_alone():
    said = section(study(recommendation=_recommended(recommended="yes")), "Recommendation")
    assert "Take **lora**" in said
    assert "no other run within the budget that could be compared with it is tied with it" in said
    assert "Not distinguishable" not in said and "**base**" not in said


def test_recommendation_of_the_only_run():
    (lora,) = [row | {"tied": "yes", "recommended": "yes"}
               for row in study().rows["recommendation"] if row["run"] == "lora"]
    alone = {"runs": {"lora": settled(tune="lora")},
             "details": {"lora": study().details["lora"]}}
    for budget_given, why in (({}, "it is the only run."),
                              ({"seconds": 15}, "it is the only run within the budget.")):
        said = section(study(recommendation=[lora], budget=budget_given, costs=study().rows[
            "costs"][1:2], accuracy=study().rows["accuracy"][:1], **alone), "Recommendation")
        assert f"- Why: {why}\n" in said + "\n" and "tied" not in said
    over = [row | {"within_budget": "no", "over": "seconds 28 s of 15 s"}
            if row["run"] == "base" else row for row in _recommended(recommended="yes")]
    assert "it is the only run within the budget that finished." in section(
        study(recommendation=over), "Recommendation")


def test_recommendation_without_a_budget():
    said = section(study(budget={}), "Recommendation")
    assert "No budget is set" in said and "within the budget" not in said


def test_no_run_within_the_budget():
    nothing = [row | {"within_budget": "no", "over": "seconds 20 s of 1 s", "best": "no",
                      "recommended": "no", "tied": "no"} for row in study().rows["recommendation"]]
    said = section(study(recommendation=nothing), "Recommendation")
    assert "**No run is within the budget.**" in said and "Take" not in said
    assert "lora (80.0 %; seconds 20 s of 1 s)" in said


def test_a_run_that_cannot_be_compared_says_so():
    told = _recommended(recommended="yes", note="not compared: other test images than base's")
    assert "**lora**: not compared: other test images than base's." in section(
        study(recommendation=told), "Recommendation")


def test_claims_with_verdict_effect_interval_p_and_remarks():
    cells = table(section(study(), "Claims"))
    assert cells[2] == ["`base > one_seed`", "holds", "+19.0 points", "+15.0 to +23.0", "< 0.001",
                        "one seed; note: as published"]
    # A claim of several comparisons: its verdict, then theirs.
    assert cells[3] == ["`lora > base > one_seed`", "not distinguishable", "", "", "0.800",
                        "about 9 seeds would decide it"]
    assert cells[4][:4] == ["↳ lora > base", "not distinguishable", "+1.0 points", "-2.0 to +4.0"]
    assert cells[5][:2] == ["↳ base > one_seed", "holds"]
    assert cells[6] == ["`lora.stored_bytes < base`", "holds", "+8.5 MB", "-", "-", ""]
    assert cells[7] == ["`base > exploded`", "not computed", "-", "-", "-", "exploded failed"]
    assert "4 claims: 2 × holds, 1 × not distinguishable, 1 × not computed" in text(study())


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
    assert cells[2][1:6] == ["tune: lora", "80.0", "76.0 to 84.0", "0.90", "2"]
    assert cells[4][3] == "55.0 to 65.0 †" and "† One seed" in said
    assert cells[5][1:4] == [f"lr: 10.0 (failed: {FAILURE})", "failed", "-"]
    assert cells[5][6:] == ["50,000", "1.5", "20", "9"]


def test_only_one_seed_is_explained_where_there_is_one():
    several = [row for row in study().rows["accuracy"] if row["run"] != "one_seed"]
    assert "†" not in section(study(accuracy=several), "All runs")


def test_scores_without_interval_or_value():
    cells = table(section(study(), "Other scores"))
    assert cells[0] == ["run", "balanced accuracy (%)", "expected calibration error (%)",
                        "after scaling (%)"]
    assert cells[2][1:] == ["71.3 (71.3 to 71.3)", "5.5 (5.5 to 5.5)", "2.5"]
    assert cells[3][3] == "-"


def test_matched_epochs_and_time():
    cells = table(section(study(), "Matched epochs, matched time"))
    assert cells[0][1:4] == ["after 2 epochs (%)", "after 15.0 s (%)", "epochs in 15.0 s"]
    assert cells[2] == ["lora", "81.0", "81.0", "2.0", "2.0", "14.0"]
    assert cells[3] == ["base", "79.0", "79.0", "2.0", "2.0", "9.0"]
    assert cells[4] == ["one_seed", "58.0", "-", "-", "2.0", "28.0"]  # no epoch in time


def test_without_a_budget_of_seconds_time_is_what_the_fastest_run_needs():
    matched = [row | {"set_by": "base", "seconds_matched": "9", "epochs_matched": "1"}
               for row in study().rows["matched"]]
    said = section(study(matched=matched), "Matched epochs, matched time")
    assert "within 9.0 s of training (what base needs for all its epochs" in said
    assert table(said)[0][1:3] == ["after 1 epoch (%)", "after 9.0 s (%)"]


def test_no_validation_images():
    scores = [row for row in study().rows["scores"] if row["metric"] != "ece_scaled"]
    curves = [row for row in study().rows["learning_curves"] if row["split"] == "train"]
    whole = study(matched=[], wall_clock=[], learning_curves=curves, scores=scores)
    assert "Matched" not in text(whole) and "wall_clock.svg" not in text(whole)
    assert "learning_curves.svg" in section(whole, "Learning curves")
    assert "validation images" not in section(whole, "Other scores")
    assert "validation images" in section(study(), "Other scores")
    assert "Learning curves" not in text(
        study(matched=[], wall_clock=[], learning_curves=[]))


def test_a_failed_base_shows_no_mistakes_of_another_run():
    whole = study(details=study().details | {"base": {"failed": FAILURE, "test_images": 50}},
                  recommendation=_recommended(recommended="yes"),
                  accuracy=study().rows["accuracy"][:1])
    assert "gets wrong" not in text(whole) and "mistakes.png" not in text(whole)


def test_a_study_in_which_every_run_failed():
    whole = study(details={run: {"failed": FAILURE, "test_images": 50}
                           for run in study().plan.runs},
                  **dict.fromkeys(("accuracy", "scores", "matched", "wall_clock", "pareto",
                                   "confusion", "confused", "movement", "reliability", "claims",
                                   "reported", "similarity", "similar_parts"), []),
                  compare={})
    assert "**No run has finished.**" in text(whole)
    assert [row[2] for row in table(section(whole, "All runs"))[2:]] == ["failed"] * 4


def test_pictures_of_nothing_are_left_out():
    assert "fractions.svg" not in text(study())
    some = rows("series,init,run,fraction,accuracy,low,high", "base,scratch,base,0.5,1,1,1")
    assert "](plots/charts/fractions.svg)" in text(study(fractions=some))


def test_a_picture_that_no_section_knows_comes_at_the_end():
    whole = study()
    sections = report.sections(whole, drawn(whole) | {"mine.svg": "What I wanted to see"})
    assert [section.title for section in sections[-3:]] == [
        "More pictures", "What was run, and how to repeat it", "How sure is this"]
    assert sections[-3].blocks == [Picture("plots/charts/mine.svg", "What I wanted to see")]
    assert "More pictures" not in text(whole)


def test_what_was_run_is_a_list_in_groups():
    said = section(study(), "What was run, and how to repeat it")
    assert ("- **Data**: `dataset: tiny, fraction: 0.5`\n"
            "- **Images**: `image_size: 8`\n"
            "- **Seeds**: `seeds: [1, 2]`\n"
            "- **Model**: `model: cnn`\n"
            "- **What is trained**: `freeze: none, tune: full`\n"
            "- **Training**: `phases: [], epochs: 2, lr: 0.1`\n") in said
    assert "4 runs, 7 models trained" in said and "a machine (fp32)" in said
    assert "`make repro`" in said
    said = section(study(folder="studies/one"), "What was run, and how to repeat it")
    assert "`cd studies/one && dvc repro`" in said and "make repro" not in said


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
    assert found.count(flat) == 3 and "<em>" not in found and "<i>" not in found


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
                  details=dict.fromkeys(("base", "NA", "1"), study().details["base"]),
                  accuracy=[study().rows["accuracy"][1] | {"run": run}
                            for run in ("base", "NA", "1")],
                  costs=[study().rows["costs"][0] | {"run": run} for run in ("base", "NA", "1")])
    assert [row[0] for row in table(section(whole, "All runs"))[2:]] == ["base", "NA", "1"]


def test_the_made_up_tables_have_the_columns_of_the_real_ones():
    for name, made_up in study().rows.items():
        if made_up:
            assert set(made_up[0]) <= set(tables.by_name()[name].HEADER), name
