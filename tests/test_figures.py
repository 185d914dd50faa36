"""The pictures: templates of Vega-Lite as `dvc plots` and as the stage plot fill them, pixels."""

import csv
import io
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import vl_convert
import yaml
from dvc_render.vega import VegaRenderer
from PIL import Image
from tests.small_study import settled, study

from unfreeze import places, words
from unfreeze.data.reading import arrays
from unfreeze.reporting import pictures
from unfreeze.reporting.figures import datasets, vega
from unfreeze.reporting.figures.vega import TEMPLATES
from unfreeze.reporting.pictures import mistakes

REPOSITORY = Path(__file__).parents[1]
TEXTS = {"seconds": "training time", "parameters_trainable": "trained parameters"}
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
        "ranking": frame("run score std low high replicates images interval seeds settings", [
            (run, mean[i], 0.5, low[i], high[i], 1 if i == 1 else 2, 2000, "seeds and images",
             f"{mean[i] - 0.5} {mean[i] + 0.5}", "lr 0.003 of 4 tried")
            for i, run in enumerate(names)]),
        "search": frame(
            "run candidate values lr others quantity text unit better score lowest highest "
            "accuracy epochs trials operations chosen state",
            [(run, place, f"lr: {lr}", lr, "", "cross_entropy", "cross-entropy", "nats", "lower",
              *((math.nan,) * 4 if state == "diverged" else (1.5 - i / 100, 1.25, 1.75, 70.5)),
              3, 2, 10**12, "yes" if place == 2 else "no", state)
             for i, run in enumerate(names) for place, lr, state in (
                 (1, 0.0003, "tried"), (2, 0.003, "tried"), (3, 0.03, "diverged"))]),
        "expected_best": frame(
            "run quantity text unit better candidates expected operations",
            [(run, "cross_entropy", "cross-entropy", "nats", "lower", some, 1.5 - some / 8, 10**12)
             for run in names for some in (1, 2, 3)]),
        "claims": frame(
            "number claim note comparison quantity unit effect low high wide_low wide_high p "
            "p_corrected verdict claim_verdict seeds images settings advice",
            [(i + 1, f"{run} > other", "", f"{run} > other", "accuracy", "%",
              *((math.nan,) * 7 if i % 4 == 3 else
                (7.5 - i, 5.25 - i, 9.75 - i, 4.25 - i, 10.75 - i, 0.004, 0.02)),
              verdicts[i % 4], verdicts[i % 4], 2, 2000, "lr 0.003 of 4 tried", "")
             for i, run in enumerate(names)]
            + [(runs + 1, "a > [b, c]", "", f"a > {other}", "accuracy", "%", 0.25, -1.0, 1.5, -2.0,
                2.5, 0.3, 0.9, "not distinguishable", "not distinguishable", 2, 2000, "",
                "7 more seeds") for other in "bc"]
            + [(runs + 2, "x.stored_bytes < y.stored_bytes", "", "x.stored_bytes < y.stored_bytes",
                "stored_bytes", "bytes", 2.5e8, *(math.nan,) * 6, "holds", "holds", 1, 0, "", "")]),
        "learning_curves": frame("run seed epoch split loss accuracy", curve),
        "wall_clock": frame("run seed epoch seconds accuracy", [
            (run, seed, epoch, 4.5 * epoch, accuracy)
            for run, seed, epoch, split, _, accuracy in curve if split == "validation"]),
        "fractions": frame("series init run fraction score low high", [
            (series, init, f"{series}{fraction}", fraction, 90 + 8 * math.log2(fraction) - shift,
             88 + 8 * math.log2(fraction) - shift, 92 + 8 * math.log2(fraction) - shift)
            for series, init, shift in (("base", "pretrained", 0), ("init: scratch", "scratch", 25))
            for fraction in (0.25, 0.5, 1)]),
        "pareto": frame("run cost text unit value score low high dominated", [
            (run, cost, TEXTS.get(cost, cost), unit, value, *accuracy[run],
             dominated(run, cost, value)) for run, cost, unit, value in costs]),
        "reliability": frame("run scaled bin images confidence accuracy", [
            (run, scaled, bin, 100 * (bin > 3), 6.5 * bin + 3, 6 * bin + (scaled == "yes"))
            for run in names for scaled in ("no", "yes") for bin in range(15)]),
        "confusion": frame("actual predicted images percent", [
            (actual, predicted, 83 if actual == predicted else 9 if actual == "cat" else 8,
             83.0 if actual == predicted else 9.0 if actual == "cat" else 8.0)
            for actual in ("cat", "dog", "frog") for predicted in ("cat", "dog", "frog")]),
        "models": frame(
            "model images image_size dimensions source_classes parameters operations linear_probe "
            "k_nn logme h_score leep nce run score low high", [
                ("net_a", 100, 64, 512, 1000, 10**7, 3 * 10**8, 70.25, 61.5, 0.25, 2.5, -0.75,
                 -0.5, "run0", 80.25, 78.0, 82.0),
                ("net_b", 100, 64, 1280, 0, 10**6, 10**8, 65.5, 62.5, 0.125, 2.25, math.nan,
                 math.nan, math.nan, math.nan, math.nan, math.nan)]),
        "movement": frame("run part seed distance relative_distance", [
            (run, part, seed, 3.5, moved) for run in names for seed in (42, 43)
            for part, moved in (("stem", 0.0), ("stage1", 0.0123), ("stage2", 0.25))]),
        "similarity": frame("pair seed measure part kind tensor shape run value", [
            ("pair", 42, "cosine", "stem", "weight", "conv1.weight", "64x3x7x7", math.nan, 0.125),
            ("pair", 42, "cosine", "stem", "bias", "bn1.bias", "64", math.nan, 0.5),
            ("pair", 42, "cka", "stem", math.nan, math.nan, math.nan, math.nan, 0.75)]),
    }


def text_of(table: pd.DataFrame) -> list[dict[str, str]]:
    """The rows as a CSV file gives them: every value is text."""
    return list(csv.DictReader(io.StringIO(table.to_csv(index=False))))


def picture(name: str, table: pd.DataFrame) -> str:
    """What the stage plot writes."""
    chart = vega.charts({name: text_of(table)}, "accuracy (%)")[name]
    return vega.svg(chart.spec)


SHOWN = {
    "ranking": ["run0", "80.0  [77.8, 82.3]", "one seed", "each seed", "test accuracy (%) with"],
    "search": ["run0", "learning rate", "0.0003", "cross-entropy (nats)", "lower is better"],
    "expected_best": ["run0", "candidates tried", "cross-entropy (nats)", "lower is better"],
    "claims": ["1. run0 &gt; other", "+7.5 [5.3, 9.8]: holds, p = 0.020", "contradicted",
               "5. a &gt; [b, c]", "a &gt; b", "+250 MB: holds", "accuracy (%)",
               "stored_bytes (bytes)"],
    "learning_curves": ["run2", "epoch", "accuracy (%)", "train", "validation"],
    "wall_clock": ["run2", "time of training (s)", "validation accuracy (%)"],
    "fractions": ["base", "init: scratch", "25", "50", "100", "log2", "(%)"],
    "pareto": ["run0", "training time (s)", "trained parameters", "(bytes)",
               "test accuracy (%)"],
    "reliability": ["run0", "as trained", "temperature scaled", "confidence (%)", "accuracy (%)"],
    "confusion": ["cat", "83", "9", "share of the true class (%)"],
    "movement": ["stage1", "1.2", "25", "run1", "% of its norm"],
    "similarity": ["pair", "cosine of biases", "CKA", "stem", "random directions"],
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_picture_shows_its_numbers_and_is_the_same_whatever_was_drawn_before(name):
    first = picture(name, tables()[name])
    for text in SHOWN[name]:
        assert text in first, text
    picture("movement", tables()["movement"])
    assert picture(name, tables()[name]) == first
    assert 'fill="white"' in first and "click" not in first
    assert not re.search(r"NaN|undefined|20\d\d-\d\d-\d\d", first)


def texts(drawn: str) -> list[tuple[str, float, float, str]]:
    """The texts of an SVG: what, where (x, y), and their anchor; lines of one text are one each."""
    found = []

    def walk(element: ElementTree.Element, x: float, y: float) -> None:
        moved = re.match(r"translate\(([-\d.]+),([-\d.]+)\)", element.get("transform", ""))
        if moved:
            x, y = x + float(moved[1]), y + float(moved[2])
        if element.tag.endswith("text"):
            lines = list(element) or [element]
            found.extend((line.text, x, y + float(line.get("dy", 0)) * (number > 0),
                          element.get("text-anchor")) for number, line in enumerate(lines)
                         if line.text)
        else:
            for inner in element:
                walk(inner, x, y)

    walk(ElementTree.fromstring(drawn), 0, 0)
    return found


def overlapping(shown: list[tuple[str, float, float, str]]) -> list[tuple[str, str]]:
    """Pairs of texts of which one covers the other; a letter is about 5.5 pixels wide, 9 high."""
    def ends(text: str, x: float, anchor: str) -> tuple[float, float]:
        width = 5.5 * len(text)
        return {"start": (x, x + width), "end": (x - width, x)}.get(anchor, (x - width / 2,
                                                                             x + width / 2))

    boxes = [(text, *ends(text, x, anchor), y) for text, x, y, anchor in shown]
    return [(one[0], other[0]) for i, one in enumerate(boxes) for other in boxes[:i]
            if abs(one[3] - other[3]) < 9 and one[1] < other[2] and other[1] < one[2]]


@pytest.mark.parametrize("runs, called", [(60, "run{}"), (17, LONG), (1, LONG)])
@pytest.mark.parametrize("name", ["ranking", "claims", "movement"])
def test_rows_of_many_runs_and_long_names_do_not_overlap(name, runs, called):
    shown = texts(picture(name, tables(runs, called)[name]))
    assert not overlapping(shown)
    for run in range(runs):
        assert any(called.format(run) in text for text, *_ in shown)


@pytest.mark.parametrize("runs, called", [(60, "run{}"), (17, "a_name_of_a_run_{}"), (1, LONG)])
def test_the_pareto_front_is_named_and_its_names_do_not_overlap(runs, called):
    table = tables(runs, called)["pareto"]
    shown = texts(picture("pareto", table))
    (legend,) = [x for text, x, *_ in shown if text == "run"]  # its title; the rest are panels
    names = [each for each in shown if each[1] < legend - 1 and each[0].startswith(called[:3])]
    front = table[table.dominated == "no"]
    assert len(names) == len(front)
    if called != LONG:  # else it is cut
        assert sorted(text for text, *_ in names) == sorted(front.run)
    assert not overlapping(names)
    assert set(table.run) <= {text for text, x, *_ in shown if x > legend}


@pytest.mark.parametrize("name", ["learning_curves", "wall_clock", "reliability"])
def test_small_multiples_have_a_panel_a_run_with_its_name(name):
    drawn = texts(picture(name, tables(5, LONG)[name]))
    whole = "".join(text for text, *_ in drawn)
    assert all(LONG.format(run) in whole for run in range(5))
    assert not overlapping([each for each in drawn if "_" in each[0]])


def test_nothing_is_drawn_of_a_table_without_rows_or_numbers():
    empty = {name: text_of(table.iloc[:0]) for name, table in tables().items()}
    assert vega.charts(empty) == {}
    undefined = tables()["pareto"].assign(value=math.nan, score=math.nan)
    picture("pareto", undefined)  # a picture or none, but no error


@pytest.mark.parametrize("count", [3, 30])
def test_the_most_confused_pairs_are_drawn_where_a_matrix_says_little(count):
    names = [f"class {number}" for number in range(count)]
    confusion = text_of(pd.DataFrame([
        (actual, predicted, 5 * (actual == "class 2"), 37.0 if predicted == "class 1" else 1.0)
        for actual in names for predicted in names
    ], columns=["actual", "predicted", "images", "percent"]))
    made = vega.charts({"confusion": confusion})
    assert set(made) == ({"confusion", "confused"} if count > 20 else {"confusion"})
    if count > 20:
        shown = vega.svg(made["confused"].spec)
        assert "class 2 → class 1" in shown and ">37<" in shown
        assert ">class 2 → class 2<" not in shown and "class 4 →" not in shown


def test_what_is_not_in_the_picture_is_not_in_its_title():
    row = {"run": "a", "seed": "1", "epoch": "1", "loss": "1", "accuracy": "50", "split": "train"}
    for splits, grey in ((["train"], False), (["train", "validation"], True)):
        rows = [row | {"split": split} for split in splits]
        chart = vega.charts({"learning_curves": rows})["learning_curves"]
        assert ("grey: validation" in chart.spec["title"]["text"]) == grey


def test_names_may_hold_what_no_svg_may_and_dollars():
    names = ["class\x010", "$a$"]
    table = pd.DataFrame([(actual, predicted, 5, 50.0) for actual in names for predicted in names],
                         columns=["actual", "predicted", "images", "percent"])
    drawn = picture("confusion", table)
    assert "\x01" not in drawn and "$a$" in drawn


def test_a_new_picture_is_a_template_or_a_file_and_nothing_else(tmp_path, monkeypatch):
    template = json.loads((TEMPLATES / "movement.json").read_text())
    (tmp_path / "mine.json").write_text(json.dumps(
        template | {"description": "Mine", "usermeta": {"table": "movement"}}))
    monkeypatch.setattr(vega, "TEMPLATES", tmp_path)
    (tmp_path / "pixels.py").write_text(
        "FILE, TEXT = 'pixels.png', 'Mine too'\n\n\ndef draw(study, root):\n    return b'png'\n")
    monkeypatch.setattr(pictures, "__path__", [str(tmp_path)])
    whole = study()
    drawn = pictures.draw(whole, tmp_path)
    assert drawn.texts == {"plots/charts/mine.svg": "Mine", "plots/charts/pixels.png": "Mine too"}
    assert list(drawn.charts) == ["plots/charts/mine.svg"]
    assert (tmp_path / "plots/charts/mine.svg").read_text().startswith("<svg")
    assert (tmp_path / "plots/charts/pixels.png").read_bytes() == b"png"


def test_what_is_measured_is_drawn_where_git_does_not_look(tmp_path, monkeypatch):
    monkeypatch.setattr(mistakes, "draw", lambda study, root: None)
    drawn = pictures.draw(study(), tmp_path)
    folders = {name: {Path(file).parent.as_posix() for file in drawn.texts
                      if Path(file).stem == name} for name in ("wall_clock", "pareto", "search")}
    assert folders == {"wall_clock": {"_made/charts"}, "search": {"plots/charts"},
                       "pareto": {"_made/charts", "plots/charts"}}
    assert all((tmp_path / file).is_file() for file in drawn.texts)


@pytest.mark.parametrize(("value", "unit"), [
    (250_000_000, "bytes"), (999_950, "bytes"), (-700_672, "bytes"), (512, "bytes"),
    (97_912_345, "operations"), (1.5, "s"), (12.84, "s"), (1234.5, "s"), (2_236_682, "parameters"),
    (12, "trials"), (26.25, "points"), (-1.35, "%"), (0.0654, "nats"), (-0.0004, "nats"),
    (0, "points")])
def test_a_chart_writes_numbers_as_the_report_does(value, unit):
    claim = tables()["claims"].iloc[:1].assign(unit=unit, effect=value, low=math.nan,
                                               high=math.nan, p_corrected=math.nan)
    said = re.search(r">([^<>]*): holds<", picture("claims", claim))[1].replace("−", "-").strip()
    assert said == words.quantity(value, unit, sign=True).removesuffix(f" {unit}")


def test_drawing_charts_does_not_import_matplotlib():
    code = ("import sys; from unfreeze.reporting import html, pictures, report; "
            "assert not {'matplotlib', 'torch', 'pandas'} & sys.modules.keys()")
    subprocess.run([sys.executable, "-c", code], check=True,
                   env={"PYTHONPATH": str(REPOSITORY / "src")})


# Pixels


def tiny_study(root: Path):
    """Six test images, of which the subset holds four, in another order; image k is all k."""
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    arrays.save(root / places.DATA / "tiny", arrays.Arrays(
        images, np.zeros(6, int), images, np.array([0, 1, 0, 1, 0, 1])), {})
    (root / places.SUBSETS).mkdir()
    (root / places.SUBSETS / "7.json").write_text(json.dumps({"test": [5, 2, 0, 3]}))
    scores = root / places.RUNS / "base/scores"
    scores.mkdir(parents=True)
    np.savez(scores / "per_image.npz", seeds=[7, 8], labels=[1, 0, 0, 1], classes=["cat", "dog"],
             predicted=[[0, 0, 1, 0], [1, 0, 0, 1]], confidence=[[0.6, 0.99, 0.9, 0.6], [0.5] * 4])
    return study(runs={"base": settled(seeds=[7, 8])}, details={"base": {"test_images": 4}})


def test_the_most_confident_mistakes_of_the_first_seed(tmp_path):
    whole = tiny_study(tmp_path)
    found = mistakes.most_confident(whole, tmp_path)
    # The second is right; of the two at 0.6 the first comes first.
    assert [(mistake.image[0, 0, 0], mistake.truth, mistake.prediction, mistake.confidence)
            for mistake in found] == [(0, "cat", "dog", 0.9), (5, "dog", "cat", 0.6),
                                      (3, "dog", "cat", 0.6)]
    assert len(mistakes.most_confident(whole, tmp_path, most=1)) == 1
    assert mistakes.caption(found[0]) == ("true: cat", "predicted: dog", "90.0 % confident")
    assert mistakes.draw(whole, tmp_path).startswith(b"\x89PNG")


def test_a_failed_run_has_no_mistakes_to_show(tmp_path):
    whole = study(details=study().details | {"base": {"failed": "x", "test_images": 1}})
    assert mistakes.draw(whole, tmp_path) is None


def test_a_gallery_is_a_png_without_dates_or_versions():
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
    wrong = [mistakes.Mistake(image, "cat", "a rather long name of a $class$", 0.987)
             for image in images]
    first, second = (mistakes.gallery(wrong, "base") for _ in range(2))
    assert first == second
    assert set(Image.open(io.BytesIO(first)).info) <= {"dpi"}


def test_classes_are_chosen_evenly_and_shown_whatever_they_are_called():
    labels = np.repeat(np.arange(50), 30)
    chosen = datasets.choose([f"class {number}" for number in range(50)], labels)
    assert len(chosen) == datasets.MOST_CLASSES
    assert chosen[0][0] == "class 0" and chosen[-1][0] == "class 49"
    assert all(len(rows) == datasets.COLUMNS for _, rows in chosen)
    images = np.zeros((2, 4, 4, 3), np.uint8)
    content = datasets.gallery([datasets.Examples("$tiny$", 5, [("a\nb\x01", images)])])
    assert content.startswith(b"\x89PNG")


@pytest.mark.parametrize("classes", [3, 41])
def test_images_of_each_class_are_counted_in_a_picture(classes):
    card = {"name": "tiny", "classes": [f"class {number}\x01" for number in range(classes)],
            "counts": {"train": list(range(classes)), "test": [5] * classes}}
    drawn = datasets.class_counts([card, card | {"name": "other"}])
    assert drawn == datasets.class_counts([card, card | {"name": "other"}])
    for text in ("tiny", "other", "training", "test", "images"):
        assert text in drawn, text
    assert ("class 2" in drawn) == (classes == 3) and "\x01" not in drawn


# Templates of Vega-Lite

CHARTS = {  # what one revision's chart says: texts, and values that one hovers over
    "ranking": ["run0", "95 % interval from: 77.75", "test score with", "lr 0.003 of 4 tried"],
    "search": ["run0", "candidate: lr: 0.003", "score: diverged", "chosen: yes"],
    "expected_best": ["run0", "expected best: 1.375", "candidates tried: 1"],
    "claims": ["1. run0 > other", "effect: +7.5", "not comparable", "effect: +250 MB",
               "p, corrected"],
    "learning_curves": ["run2", "train", "highest: 61.00", "epoch"],
    "wall_clock": ["run2", "seconds: 13.5", "time of training (s)"],
    "fractions": ["init: scratch", "training images (%): 25", "to: 92"],
    "pareto": ["run0", "training time (s)", "Pareto: on the front"],
    "reliability": ["run1", "temperature scaled", "share of the predictions (%): 9.09"],
    "confusion": ["predicted class: frog", "share of the true class (%): 83.00"],
    "models": ["net_a", "linear probe (%)", "value: 70.25", "operations an image: 300M",
               "fine-tuned, test score"],
    "movement": ["stage2", "distance (% of the norm at the start): 1.23"],
    "similarity": ["CKA of parts", "value: 0.1250"],
}


def chart(name: str, table: pd.DataFrame, revisions: tuple[str, ...]) -> str:
    """The SVG of a template that DVC has filled: every value is text."""
    rows = list(csv.DictReader(io.StringIO(table.to_csv(index=False))))
    if revisions:
        rows = [{**row, "rev": rev} for rev in revisions for row in rows]
    renderer = VegaRenderer(rows, "plot", template=str(TEMPLATES / f"{name}.json"),
                            title="the title")
    spec = renderer.get_filled_template()
    return vl_convert.vegalite_to_svg(spec, vl_version="5.8").replace("&gt;", ">")


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


def test_dvc_yaml_names_templates_and_columns_that_are_there():
    plots = [plot for named in yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["plots"]
             for plot in named.values()]
    for plot in plots:
        name = Path(plot["template"]).stem
        assert (TEMPLATES / f"{name}.json").is_file()
        [(path, column)] = plot["y"].items()
        assert path in (f"plots/tables/{name}.csv", f"_made/measured/{name}.csv")
        assert {plot["x"], column} <= set(tables()[name].columns)
