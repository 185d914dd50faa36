import csv
import io
import json
import math
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import vl_convert
import yaml
from matplotlib.text import Annotation, Text
from PIL import Image

from unfreeze.reporting import figures

REPOSITORY = Path(__file__).parents[1]
TEMPLATES = REPOSITORY / "src/unfreeze/reporting/templates"
COSTS = {"seconds": ("s", 12.5), "parameters_trainable": ("parameters", 2.2e6),
         "stored_bytes": ("bytes", 9e6), "activation_bytes": ("bytes", 4e8),
         "flops": ("operations", 1.4e8)}
LONG = "a_rather_long_name_of_a_run_with_number_{}_and_then_words"


def tables(runs: int = 4, name: str = "run{}") -> dict[str, pd.DataFrame]:
    """What summarize writes, for so many runs: the second has one seed, the third no interval."""
    names = [name.format(place) for place in range(runs)]
    mean = [round(80 - 20 * place / max(runs - 1, 1), 2) for place in range(runs)]
    low = [math.nan if place == 2 else own - 2.25 for place, own in enumerate(mean)]
    high = [math.nan if place == 2 else own + 2.25 for place, own in enumerate(mean)]
    rng = np.random.default_rng(0)
    scale = np.round(np.exp(rng.normal(0, 1, (len(COSTS), runs))), 3)
    verdicts = ["holds", "contradicted", "not distinguishable", "not comparable"]
    costs = [(run, cost, unit, typical * scale[row, place])
             for row, (cost, (unit, typical)) in enumerate(COSTS.items())
             for place, run in enumerate(names)]
    accuracy = dict(zip(names, zip(mean, low, high, strict=True), strict=True))

    def dominated(run: str, cost: str, value: float) -> str:
        others = [(accuracy[other][0], price) for other, kind, _, price in costs
                  if kind == cost and other != run]
        return "yes" if any(a > accuracy[run][0] and p <= value for a, p in others) else "no"

    def frame(columns: str, rows: list[tuple]) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=columns.split())

    curve = [(run, seed, epoch, split, 1.5, 30 + 10 * epoch + place / runs + (seed == 43))
             for place, run in enumerate(names) for seed in (42, 43) for epoch in (1, 2, 3)
             for split in ("train", "validation")]
    return {
        "accuracy": frame("run accuracy std low high replicates images interval", [
            (run, mean[i], 0.5, low[i], high[i], 1 if i == 1 else 2, 2000, "seeds and images")
            for i, run in enumerate(names)]),
        "claims": frame(
            "number claim note comparison quantity unit effect low high p p_corrected verdict "
            "claim_verdict seeds images advice",
            [(i + 1, f"{run} > other", "", f"{run} > other", "accuracy", "%",
              *((math.nan,) * 5 if i % 4 == 3 else (7.5 - i, 5.25 - i, 9.75 - i, 0.004, 0.02)),
              verdicts[i % 4], verdicts[i % 4], 2, 2000, "") for i, run in enumerate(names)]
            + [(runs + 1, "a > [b, c]", "", f"a > {other}", "accuracy", "%", 0.25, -1.0, 1.5, 0.3,
                0.9, "not distinguishable", "not distinguishable", 2, 2000, "7 more seeds")
               for other in "bc"]
            + [(runs + 2, "x.stored_bytes < y.stored_bytes", "", "x.stored_bytes < y.stored_bytes",
                "stored_bytes", "bytes", 2.5e8, *(math.nan,) * 4, "holds", "holds", 1, 0, "")]),
        "learning_curves": frame("run seed epoch split loss accuracy", curve),
        "wall_clock": frame("run seed epoch seconds accuracy", [
            (run, seed, epoch, 4.5 * epoch, accuracy)
            for run, seed, epoch, split, _, accuracy in curve if split == "validation"]),
        "fractions": frame("series init run fraction accuracy low high", [
            (series, init, f"{series}{fraction}", fraction, 90 + 8 * math.log2(fraction) - shift,
             88 + 8 * math.log2(fraction) - shift, 92 + 8 * math.log2(fraction) - shift)
            for series, init, shift in (("base", "pretrained", 0), ("init: scratch", "scratch", 25))
            for fraction in (0.25, 0.5, 1)]),
        "pareto": frame("run cost unit value accuracy low high dominated", [
            (run, cost, unit, value, *accuracy[run], dominated(run, cost, value))
            for run, cost, unit, value in costs]),
        "reliability": frame("run scaled bin images confidence accuracy", [
            (run, scaled, bin, 100 * (bin > 3), 6.5 * bin + 3, 6 * bin + (scaled == "yes"))
            for run in names for scaled in ("no", "yes") for bin in range(15)]),
        "confusion": frame("actual predicted images percent", [
            (actual, predicted, 83 if actual == predicted else 9 if actual == "cat" else 8,
             83.0 if actual == predicted else 9.0 if actual == "cat" else 8.0)
            for actual in ("cat", "dog", "frog") for predicted in ("cat", "dog", "frog")]),
        "movement": frame("run part seed distance relative_distance", [
            (run, part, seed, 3.5, moved) for run in names for seed in (42, 43)
            for part, moved in (("stem", 0.0), ("stage1", 0.0123), ("stage2", 0.25))]),
        "similarity": frame("pair seed measure part kind tensor shape run value", [
            ("pair", 42, "cosine", "stem", "weight", "conv1.weight", "64x3x7x7", math.nan, 0.125),
            ("pair", 42, "cosine", "stem", "bias", "bn1.bias", "64", math.nan, 0.5),
            ("pair", 42, "cka", "stem", math.nan, math.nan, math.nan, math.nan, 0.75)]),
    }


def draw(name: str, table: pd.DataFrame) -> plt.Figure:
    extra = {"confusion": ["base"], "similarity": [{"pair": ["one", "two"]}]}
    return getattr(figures, name)(table, *extra.get(name, []))


def svg(figure: plt.Figure, folder: Path) -> str:
    figures.save(figure, folder / "figure.svg")
    return (folder / "figure.svg").read_text()


def overlapping(texts: list[Text]) -> list[tuple[str, str]]:
    """Pairs of texts, drawn in a figure, whose boxes (without their lines) overlap."""
    renderer = texts[0].figure.canvas.get_renderer()
    boxes = [(text.get_text(), Text.get_window_extent(text, renderer)) for text in texts]
    return [(name, other) for i, (name, box) in enumerate(boxes) for other, its in boxes[:i]
            if box.overlaps(its)]


@pytest.fixture(autouse=True)
def _no_figures_stay_open():
    yield
    plt.close("all")


SHOWN = {
    "accuracy": ["run0", "80.0  [77.8, 82.2]", "one seed: interval over test images", "(%)"],
    "claims": ["1. run0 &gt; other", "+7.5 [5.2, 9.8]: holds, p = 0.02", "contradicted", "a &gt; b",
               "+250 MB: holds", "accuracy (%)", "stored_bytes (bytes)"],
    "learning_curves": ["run2", "epoch", "accuracy (%)", "train", "validation"],
    "wall_clock": ["run2", "time of training (s)", "validation accuracy (%)"],
    "fractions": ["base", "init: scratch", "25", "50", "100", "log2", "(%)"],
    "pareto": ["run0", "training time of a replicate (s)", "trained parameters", "(bytes)", "MB",
               "on the Pareto front", "test accuracy (%)"],
    "reliability": ["run0", "as trained", "temperature scaled", "confidence (%)", "accuracy (%)"],
    "confusion": ["base: predictions", "cat", "83", "9", "share of the true class (%)"],
    "movement": ["stage1", "1.2", "25", "run1", "% of its norm"],
    "similarity": ["pair: biases", "one and two", "CKA", "stem"],
}


@pytest.mark.parametrize("name", SHOWN)
def test_figure_shows_its_numbers_and_is_the_same_twice(name, tmp_path):
    first = svg(draw(name, tables()[name]), tmp_path)
    for text in SHOWN[name]:
        assert text in first, text
    assert svg(draw(name, tables()[name]), tmp_path) == first
    assert "<dc:date>" not in first


@pytest.mark.parametrize("runs, name", [(60, "run{}"), (17, LONG), (1, LONG)])
@pytest.mark.parametrize("picture", ["accuracy", "claims", "movement"])
def test_rows_of_many_runs_and_long_names_do_not_overlap(picture, runs, name):
    figure = draw(picture, tables(runs, name)[picture])
    figure.canvas.draw()
    for axes in figure.axes[:1 if picture == "movement" else None]:
        labels = [label for label in axes.get_yticklabels() if label.get_text()]
        assert labels
        assert not overlapping([*labels, *(t for t in axes.texts if picture != "movement")])
    assert not overlapping([text for axes in figure.axes for text in axes.texts])
    assert all(t.get_fontsize() >= 8 for t in figure.findobj(Text) if t.get_text())


@pytest.mark.parametrize("runs, name", [(60, "run{}"), (17, "a_name_of_a_run_{}"), (1, LONG)])
def test_pareto_names_all_of_the_front_and_no_names_overlap(runs, name):
    table = tables(runs, name)["pareto"]
    figure = figures.pareto(table)
    figure.canvas.draw()
    for axes, cost in zip(figure.axes, COSTS, strict=False):
        texts = axes.findobj(Annotation)
        named = {text.get_text().replace("\n", "") for text in texts}
        own = table[(table.cost == cost) & (table.dominated == "no")]
        assert named >= set(own.run)
        assert not overlapping(texts)


@pytest.mark.parametrize("picture", ["learning_curves", "wall_clock", "reliability"])
def test_small_multiples_have_a_panel_a_run_with_its_name(picture):
    figure = draw(picture, tables(5, LONG)[picture])
    figure.canvas.draw()
    titles = [axes.title for axes in figure.axes if axes.get_title()]
    assert len(titles) == 5
    assert not overlapping(titles)


def test_without_validation_images_there_is_a_curve_of_training_alone():
    table = tables()["learning_curves"]
    figure = draw("learning_curves", table[table.split == "train"])
    (legend,) = figure.legends
    assert [each.get_text() for each in legend.get_texts()] == ["train"]


@pytest.mark.parametrize("name, word", [
    ("claims", "claims:"), ("fractions", "fraction:"), ("wall_clock", "validation:"),
    ("movement", "init:"), ("accuracy", "failed"), ("pareto", "failed"), ("reliability", "failed"),
    ("learning_curves", "No run")])
def test_empty_table_gives_a_line_that_says_why(name, word, tmp_path):
    assert word in svg(draw(name, tables()[name].iloc[:0]), tmp_path)


def test_empty_confusion_similarity_and_mistakes(tmp_path):
    every = tables()
    assert "failed" in svg(figures.confusion(every["confusion"].iloc[:0], "base"), tmp_path)
    assert "compare:" in svg(figures.similarity(every["similarity"].iloc[:0], {}), tmp_path)
    none = figures.mistakes(np.zeros((0, 8, 8, 3), np.uint8), [], [], [], "base")
    assert "no mistakes" in svg(none, tmp_path)
    failed = svg(figures.mistakes(None, [], [], [], "base"), tmp_path)
    assert "failed" in failed and "no mistakes" not in failed


def test_names_of_classes_may_hold_what_no_svg_may(tmp_path):
    for count in (2, 30):
        names = [f"class\x01{place}" for place in range(count)]
        table = pd.DataFrame([(actual, predicted, 5, 50.0) for actual in names
                              for predicted in names],
                             columns=["actual", "predicted", "images", "percent"])
        assert "\x01" not in svg(figures.confusion(table, "base"), tmp_path)


def test_confusion_of_many_classes_shows_the_most_confused_pairs(tmp_path):
    names = [f"class {place}" for place in range(30)]
    table = pd.DataFrame([
        (actual, predicted, 5 * (actual == "class 3"), 37.0 if predicted == "class 7" else 1.0)
        for actual in names for predicted in names
    ], columns=["actual", "predicted", "images", "percent"])
    shown = svg(figures.confusion(table, "base"), tmp_path)
    assert "class 3 → class 7" in shown and "37" in shown
    assert "class 3 → class 3" not in shown and "class 4 →" not in shown


def test_names_with_dollars_are_text(tmp_path):
    assert "$run0$" in svg(figures.accuracy(tables(3, "$run{}$")["accuracy"]), tmp_path)


def test_seeds_are_drawn_where_given(tmp_path):
    table = tables()["accuracy"]
    assert "each seed" not in svg(figures.accuracy(table), tmp_path)
    assert "each seed" in svg(figures.accuracy(table, {"run0": [79.5, 80.5]}), tmp_path)


def test_mistakes_is_a_png_without_dates_or_versions(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
    contents = []
    for name in ("a.png", "b.png"):
        figure = figures.mistakes(images, ["cat"] * 7, ["a rather long name of a class"] * 7,
                                  [0.987] * 7, "base")
        figures.save(figure, tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert len(titles) == 7
    assert titles[0].startswith("true: cat\npredicted: a") and "98.7 % confident" in titles[0]
    assert contents[0] == contents[1]
    assert set(Image.open(io.BytesIO(contents[0])).info) <= {"dpi"}


# Templates of Vega-Lite

CHARTS = {  # what one revision's chart says: texts, and values that one hovers over
    "accuracy": ["run0", "95 % interval from: 77.75", "test accuracy (%)"],
    "claims": ["1. run0 > other", "effect: 7.5", "not comparable", "effect: 250M", "p, corrected"],
    "learning_curves": ["run2", "train", "highest: 61.00", "epoch"],
    "wall_clock": ["run2", "seconds: 13.5", "time of training (s)"],
    "fractions": ["init: scratch", "training images (%): 25", "to: 92.00"],
    "pareto": ["run0", "training time of a replicate (s)", "Pareto: on the front"],
    "reliability": ["run1", "temperature scaled", "share of the predictions (%): 9.09"],
    "confusion": ["predicted class: frog", "share of the true class (%): 83.00"],
    "movement": ["stage2", "distance (% of the norm at the start): 1.23"],
    "similarity": ["CKA of parts", "value: 0.1250"],
}


def chart(name: str, table: pd.DataFrame, revisions: tuple[str, ...]) -> str:
    """The SVG of a template that DVC has filled: every value is text."""
    rows = list(csv.DictReader(io.StringIO(table.to_csv(index=False))))
    spec = json.loads((TEMPLATES / f"{name}.json").read_text())
    assert spec["data"] == {"values": "<DVC_METRIC_DATA>"}
    assert spec["title"] == "<DVC_METRIC_TITLE>"
    spec["data"] = {"values": [{**row, "rev": rev} for rev in revisions for row in rows]
                    if revisions else rows}
    spec["title"] = "the title"
    text = vl_convert.vegalite_to_svg(spec)
    return text.replace("&gt;", ">")


@pytest.mark.parametrize("name", CHARTS)
def test_chart_of_one_revision_shows_the_values(name):
    text = chart(name, tables()[name], ())
    for expected in ["the title", *CHARTS[name]]:
        assert expected in text, expected
    assert "NaN" not in text and "undefined," not in text


@pytest.mark.parametrize("name", CHARTS)
def test_chart_of_two_revisions_shows_both(name):
    text = chart(name, tables()[name], ("workspace", "main"))
    for expected in ["revision: workspace", "revision: main", *CHARTS[name]]:
        assert expected in text, expected
    assert "workspace</text>" in text and "main</text>" in text
    assert "workspace</text>" not in chart(name, tables()[name], ("workspace",))


@pytest.mark.parametrize("name", CHARTS)
def test_chart_without_data_is_a_chart(name):
    assert "the title" in chart(name, tables()[name].iloc[:0], ("workspace",))


def test_dvc_yaml_names_every_template_and_columns_that_are_there():
    plots = [own for plot in yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["plots"]
             for own in plot.values()]
    assert {plot["template"] for plot in plots} == {path.stem for path in TEMPLATES.iterdir()}
    assert (REPOSITORY / ".dvc/plots").resolve() == TEMPLATES
    for plot in plots:
        [(path, column)] = plot["y"].items()
        assert path == f"plots/tables/{plot['template']}.csv"
        assert {plot["x"], column} <= set(tables()[plot["template"]].columns)
