"""report.html: as text, and as headless Chromium shows it."""

import html as standard_html
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image
from tests import browser
from tests.small_study import settled, study

from unfreeze import places
from unfreeze.reporting import document, html, report
from unfreeze.reporting.document import Number, Picture, Section, Table, Verdict
from unfreeze.reporting.figures import vega
from unfreeze.reporting.study import Study

READY = "document.documentElement.dataset.ready === 'yes'"
EVIL = '</script><script>window.evil = 1</script><img src=x onerror="window.evil=2"> & "q" \'a\''


def sections_of(whole: Study, folder: Path) -> list[Section]:
    """Its sections, with the charts drawn in the folder and a small picture of mistakes."""
    drawn = {"plots/charts/mistakes.png": "Mistakes"}
    (folder / places.CHARTS).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (30, 20)).save(folder / places.CHARTS / "mistakes.png")
    for file, chart in charts_of(whole).items():
        drawn[file] = chart.text
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(vega.svg(chart.spec))
    return report.sections(whole, drawn)


def charts_of(whole: Study) -> dict[str, vega.Chart]:
    """{file: chart}."""
    return {str(place / f"{name}.svg"): chart
            for place, tables in ((places.CHARTS, whole.rows),
                                  (places.MEASURED_CHARTS, whole.measured))
            for name, chart in vega.charts(tables, whole.score.title).items()}


def page(whole: Study, folder: Path) -> str:
    return html.page(report.title(whole), sections_of(whole, folder), charts_of(whole), folder)


class Texts(HTMLParser):
    """All text that is shown."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.inside, self.found, self.tags = "", [], []
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.inside = tag
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.found.append(data)


def test_it_says_what_report_md_says(tmp_path):
    whole = study()
    sections = sections_of(whole, tmp_path)
    source = html.page(report.title(whole), sections, charts_of(whole), tmp_path)
    shown = "".join(Texts(source).found)
    assert any(section.measured for section in sections) and html.MEASURED in shown
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Table):
                assert all(html._text(cell) in shown for row in block.rows for cell in row)
        assert section.title in shown


def test_it_needs_no_other_file(tmp_path):
    tags = Texts(page(study(), tmp_path)).tags
    links = [attributes.get(name) for _, attributes in tags for name in ("src", "href")
             if name in attributes]
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert any(attributes.get("http-equiv") == "Content-Security-Policy"
               and attributes["content"].startswith("default-src 'none'")
               for _, attributes in tags)


def test_the_same_study_gives_the_same_bytes(tmp_path):
    assert page(study(), tmp_path) == page(study(), tmp_path)


def test_users_words_are_text(tmp_path):
    claim = study().rows["claims"][0] | {"note": EVIL, "claim": EVIL}
    confused = [{"run": "base", "actual": EVIL, "predicted": "dog", "percent": "20"}]
    curves = [row | {"run": EVIL} for row in study().rows["learning_curves"]]
    source = page(study(claims=[claim], confused=confused, learning_curves=curves), tmp_path)
    assert "<img src=x" not in source and "</script><script>window.evil" not in source
    assert source.count(standard_html.escape(EVIL)) == 3
    inside = re.search(r'<script type="application/json" id="charts">(.*?)</script>', source)
    learning = json.loads(inside.group(1))["plots/charts/learning_curves.svg"]
    assert EVIL in {row["run"] for row in learning["datasets"]["rows"]}


def test_json_in_a_script_closes_nothing():
    assert "<" not in html.script_json({"</script>": "<!-- <script>"})
    assert json.loads(html.script_json({"</script>": ["<!--", 1.5, None]})) == {
        "</script>": ["<!--", 1.5, None]}


def test_the_bundle_closes_no_script():
    assert not re.search("</script|<!--|<script", html._bundle(), re.IGNORECASE)


def test_a_chart_takes_the_page_s_colours_and_keeps_its_own_settings(tmp_path):
    spec = {"mark": "point", "config": {"axis": {"labelLimit": 400}}}
    assert vega.with_looks(spec, html.LOOKS) == {
        "mark": "point",
        "config": html.LOOKS | {"axis": html.LOOKS["axis"] | {"labelLimit": 400}}}


def test_a_picture_without_a_chart_is_shown_itself(tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "mistakes.png")
    (tmp_path / "claims.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="96" height="49"/>')
    pictures = [Picture("mistakes.png", "of base"), Picture("claims.svg", "of all")]
    source = html.page("T", [Section("S", pictures)], {}, tmp_path)
    assert re.search('<img src="data:image/png;base64,[^"]+" width="30" height="20" alt="of base">',
                     source)
    assert re.search('<img src="data:image/svg.xml;base64,[^"]+" width="96" height="49"', source)
    assert len(source) < 50_000  # without Vega


def test_a_chart_of_too_many_rows_is_left_to_its_picture(tmp_path):
    (tmp_path / places.CHARTS).mkdir(parents=True)
    (tmp_path / places.CHARTS / "some.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="96" height="49"/>')
    sections = [Section("S", [Picture.chart("some", "of all")])]
    for count, element in ((html.MOST_ROWS, "data-chart="), (html.MOST_ROWS + 1, "<img src=")):
        chart = {"plots/charts/some.svg": vega.Chart("of all", {"mark": "point"}, count)}
        assert element in html.page("T", sections, chart, tmp_path)


def test_short_tables_have_no_filter_and_ordered_ones_no_buttons():
    def one(**changes):
        table = Table("t", ("a",), [(Number(1.0, "1"),)] * html.FILTER_FROM, **changes)
        return html.page("T", [Section("S", [table])], {}, Path())

    assert "<button" not in one() and "search" not in re.sub("<style.*", "", one(), flags=re.S)
    assert "<button" in one(sortable=True) and 'type="search"' in one(sortable=True)


# In the browser


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The report of a study of twelve runs, open in Chromium."""
    if browser.chromium() is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing: apt-get install chromium")
        pytest.skip("Chromium is missing: apt-get install chromium")
    folder = tmp_path_factory.mktemp("report")
    more = [f"run{number}" for number in range(1, 10)]
    small = study()
    claim = small.rows["claims"][0] | {"note": EVIL}
    whole = study(
        runs=small.plan.runs | {run: settled(lr=0.5) for run in more},
        details=small.details | {run: small.details["base"] for run in more},
        claims=[claim, *small.rows["claims"][1:]],
        ranking=small.rows["ranking"] + [
            small.rows["ranking"][2] | {"run": run, "score": str(59 - place)}
            for place, run in enumerate(more)],
        costs=small.rows["costs"] + [
            small.rows["costs"][0] | {"run": run, "parameters_trainable": str(900 + place)}
            for place, run in enumerate(more)])
    (folder / "report.html").write_text(page(whole, folder))
    with browser.page(folder / "profile") as opened:
        opened.call("Page.addScriptToEvaluateOnNewDocument", source="""
            window.shifts = 0;
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) {
                    if (!entry.hadRecentInput) window.shifts += entry.value;
                }
            }).observe({type: "layout-shift", buffered: true});""")
        opened.open(folder / "report.html", READY)
        opened.shifts = opened.evaluate(
            "new Promise((done) => setTimeout(() => done(window.shifts), 200))")
        yield opened


COLUMN = """[...document.querySelectorAll("table.sortable")][0].tBodies[0]"""
FIRST = "table.sortable"


def runs(shown) -> list[str]:
    return shown.evaluate(f"""[...{COLUMN}.rows].filter((row) => !row.hidden)
                              .map((row) => row.cells[0].textContent)""")


def order(shown) -> list[str]:
    return shown.evaluate(f"""[...document.querySelector("{FIRST}").tHead.rows[0].cells]
        .filter((head) => head.hasAttribute("aria-sort"))
        .map((head) => head.textContent + " " + head.getAttribute("aria-sort"))""")


def head(number: int) -> str:
    return f"{FIRST} th:nth-child({number}) button"


def test_a_click_sorts_by_numbers_and_again_the_other_way(shown):
    assert order(shown) == ["accuracy (%) descending"]
    assert runs(shown)[:3] == ["lora", "base", "one_seed"] and runs(shown)[-1] == "exploded"
    shown.click(head(4))
    assert order(shown) == ["accuracy (%) ascending"]
    # What has no number is last either way.
    assert runs(shown)[:2] == ["run9", "run8"] and runs(shown)[-2:] == ["lora", "exploded"]
    shown.click(head(4))
    assert order(shown) == ["accuracy (%) descending"]
    assert runs(shown)[:2] == ["lora", "base"] and runs(shown)[-1] == "exploded"
    shown.click(head(7))
    assert order(shown) == ["trained parameters ascending"]
    assert runs(shown)[:2] == ["run1", "run2"] and runs(shown)[-1] == "one_seed"  # 90,000


def test_the_keyboard_sorts_too(shown):
    shown.evaluate(f"document.querySelector('{head(1)}').focus()")
    shown.press("Enter", 13, "\r")
    assert order(shown) == ["run ascending"]
    assert runs(shown) == sorted(runs(shown)) and len(runs(shown)) == 13
    shown.press(" ", 32, " ")
    assert order(shown) == ["run descending"] and runs(shown) == sorted(runs(shown), reverse=True)


def test_typing_filters(shown):
    field = ".filter input"
    shown.click(field)
    shown.call("Input.insertText", text="LR: 0.5 run1")
    assert runs(shown) == ["run1"]
    assert shown.evaluate("document.querySelector('.filter output').textContent") == "1 of 13"
    shown.evaluate(f"document.querySelector('{field}').select()")
    shown.press("Delete", 46)
    assert len(runs(shown)) == 13


def test_every_chart_is_drawn_where_room_was_kept(shown):
    charts = shown.evaluate("""[...document.querySelectorAll("[data-chart]")].map((view) => ({
        name: view.dataset.chart,
        marks: view.querySelectorAll("svg [role='graphics-symbol']").length,
        kept: parseFloat(view.style.minHeight),
        drawn: view.querySelector("svg")?.getBoundingClientRect().height}))""")
    assert {Path(chart["name"]).stem for chart in charts} >= {
        "ranking", "learning_curves", "confusion", "search", "expected_best", "wall_clock"}
    for chart in charts:
        assert chart["marks"] > 0, chart
        assert chart["drawn"] == pytest.approx(chart["kept"], abs=25), chart


def test_charts_answer_the_mouse(shown):
    x, y = shown.evaluate("""(() => {
        const mark = document.querySelector("[data-chart*=ranking] .mark-symbol path");
        mark.scrollIntoView({block: "center"});
        const box = mark.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];
    })()""")
    shown.hover(x, y)
    said = shown.evaluate("document.querySelector('#vg-tooltip-element.visible')?.textContent")
    assert said and "accuracy" in said


def test_nothing_moves_while_it_loads(shown):
    assert shown.shifts < 0.01


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_wide_tables_scroll_within_their_box(shown, width):
    shown.call("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1,
               mobile=False)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    shown.call("Emulation.clearDeviceMetricsOverride")


def contrast(shown, selector: str) -> float:
    """Of an element's text on the page (WCAG 2.2, relative luminance)."""
    def luminance(color: str) -> float:
        parts = [int(each) / 255 for each in re.findall(r"\d+", color)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    page_color = shown.evaluate("getComputedStyle(document.body).backgroundColor")
    property_name = "fill" if "svg" in selector else "color"
    text = shown.evaluate(
        f"getComputedStyle(document.querySelector('{selector}')).{property_name}")
    low, high = sorted((luminance(page_color), luminance(text)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_charts_are_readable(shown, scheme):
    shown.call("Emulation.setEmulatedMedia", media="",
               features=[{"name": "prefers-color-scheme", "value": scheme}])
    for selector in ("p", "a", "figcaption", ".verdict.holds", ".verdict.not-distinguishable",
                     ".verdict.holds-for-these-models", "p.measured",
                     "[data-chart*=ranking] svg .role-axis-label text"):
        assert contrast(shown, selector) >= 4.5, selector
    shown.call("Emulation.setEmulatedMedia", media="", features=[])


def test_print_is_light_and_without_controls(shown):
    shown.call("Emulation.setEmulatedMedia", media="print",
               features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert shown.evaluate("getComputedStyle(document.querySelector('.filter')).display") == "none"
    shown.call("Emulation.setEmulatedMedia", media="", features=[])


def test_no_error_and_no_request_leaves_the_page(shown):
    """Last: after all that the tests above did."""
    # Vega-Lite warns of the claims' panels, whose scales differ on purpose, and of those in which
    # costs have no interval.
    harmless = ("WARN Detected faceted independent scales", "WARN Infinite extent for field")
    assert [error for error in shown.errors if not error.startswith(harmless)] == []
    assert [url for url in shown.requests if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in shown.requests if url.startswith("file:")]) == 1
    assert shown.evaluate("window.evil") is None


def test_the_browser_notices_errors_and_requests(shown, tmp_path):
    """What the test above relies on."""
    (tmp_path / "bad.html").write_text(
        "<img src='http://127.0.0.1:9/x.png'><script>missing()</script>")
    with browser.page(tmp_path / "profile") as opened:
        opened.open(tmp_path / "bad.html", "true")
        assert any("missing is not defined" in error for error in opened.errors)
        assert "http://127.0.0.1:9/x.png" in opened.requests


def test_verdicts_have_a_mark_beside_their_colour():
    source = html.page("T", [Section("S", [document.line(Verdict("not distinguishable"))])], {},
                       Path())
    assert '<span class="verdict not-distinguishable">not distinguishable</span>' in source
    css = (html.FOLDER / "page.css").read_text()
    assert all(f".verdict.{name}::before" in css
               for name in ("holds", "contradicted", "not-distinguishable",
                            "holds-for-these-models", "contradicted-for-these-models"))
