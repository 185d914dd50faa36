import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from unfreeze.errors import UserError
from unfreeze.expecting import claims
from unfreeze.expecting.costs import COSTS
from unfreeze.scoring.scores import SCORES

RUNS = ["base", "early", "middle", "fc-conv1", "layer_1", "50-scratch", "16", "-x", "gap"]


def read(text, runs=RUNS):
    claim = claims.parse(text, runs)
    return claim.quantity, [(each.text, each.coefficients, each.constant)
                            for each in claim.comparisons]


def test_plain():
    wanted = [("base > early", {"base": 1, "early": -1}, 0)]
    for text in ("base > early", "base>early", "  base  > early\t"):
        assert read(text) == ("accuracy", wanted)
    assert read("base < early") == (
        "accuracy", [("base < early", {"base": -1, "early": 1}, 0)])
    assert read("50-scratch > 16.accuracy")[1] == [
        ("50-scratch > 16", {"50-scratch": 1, "16": -1}, 0)]
    assert read("-x > gap")[1] == [("-x > gap", {"-x": 1, "gap": -1}, 0)]


def test_chain_claims_every_neighbouring_pair():
    assert [text for text, *_ in read("base > early > middle > fc-conv1")[1]] == [
        "base > early", "early > middle", "middle > fc-conv1"]


def test_list_and_pattern_claim_each():
    assert [text for text, *_ in read("base > [early, middle]")[1]] == [
        "base > early", "base > middle"]
    assert [text for text, *_ in read("[early,-x] < [base, *r_1]")[1]] == [
        "early < base", "early < layer_1", "-x < base", "-x < layer_1"]
    assert [text for text, *_ in read("base > ?a*")[1]] == [
        "base > early", "base > layer_1", "base > gap"]
    assert [text for text, *_ in read("base > *", ["a", "base", "b"])[1]] == [
        "base > a", "base > b"]  # never against itself
    assert [text for text, *_ in read("* > b", ["a", "b"])[1]] == ["a > b"]


@pytest.mark.parametrize("text", [
    "base.seconds < early", "base < early.seconds", "base.seconds < early.seconds",
    "base < [early].seconds", "base < earl*.seconds"])
def test_quantity_of_one_side_holds_for_all(text):
    assert read(text) == ("seconds", [("base < early", {"base": -1, "early": 1}, 0)])


def test_gaps_factors_and_numbers():
    assert read("gap(base, early) > gap ( middle.brier,base )") == ("brier", [
        ("gap(base, early) > gap(middle, base)", {"base": 2, "early": -1, "middle": -1}, 0)])
    assert read("2 * base.seconds < early") == ("seconds", [
        ("2 * base < early", {"base": -2, "early": 1}, 0)])
    assert read("0.5*gap(base, early) > 1.5")[1] == [
        ("0.5 * gap(base, early) > 1.5", {"base": 0.5, "early": -0.5}, -1.5)]
    assert read("70 > base > 5.5e1")[1] == [
        ("70 > base", {"base": -1}, 70), ("base > 5.5e1", {"base": 1}, -55)]
    assert read("-1.5 < gap(base, early)")[1] == [
        ("-1.5 < gap(base, early)", {"base": 1, "early": -1}, 1.5)]
    assert read("gap(base, early) > 0.5")[1][0][2] == -0.5  # half a percentage point
    assert read("base.cross_entropy < 0.5")[1][0][2] == 0.5
    assert read("gap(base, early).seconds > 3600")[1][0][2] == -3600
    assert read("2 * base > base")[1] == [("2 * base > base", {"base": 1}, 0)]


def test_published_claims_can_be_written():
    runs = ["fc", "fc-conv1", "full", "full-224", "full-discriminative", "layer1", "layer1-layer2",
            "layer1-layer4", "layer2", "layer3-layer4", "alexnet-10", "alexnet-10-scratch",
            "alexnet-20", "alexnet-20-scratch", "freeze-last-only", "freeze-none", "tinytl", "last"]
    for text in ("fc-conv1.accuracy < fc.accuracy", "full > [fc, fc-conv1, layer*]",
                 "layer1-layer4 > [layer1-layer2, layer3-layer4]", "full-224 > *",
                 "gap(alexnet-10, alexnet-10-scratch) > gap(alexnet-20, alexnet-20-scratch)",
                 "1.8 * freeze-last-only.seconds < freeze-none < 2.2 * freeze-last-only",
                 "tinytl.activation_bytes < last.activation_bytes < full"):
        assert claims.parse(text, runs).text == text


ERRORS = [
    ("base > erly", 8, ["'erly' is no run", "did you mean 'early'", "fc-conv1"]),
    ("base >= early", 6, ["strict", "only < and >"]),
    ("base => early", 6, ["strict"]),
    ("base = early", 6, ["strict"]),
    ("base", 5, ["the end where < or > is expected"]),
    ("base > ", 8, ["the end where a run is expected"]),
    ("", 1, ["the end where a run is expected"]),
    ("> base", 1, ["'>' where a run is expected"]),
    ("base > early < middle", 14, ["'<' after '>'", "one direction", "two claims"]),
    ("base.acuracy > early", 6, ["'acuracy' is no metric and no cost", "did you mean 'accuracy'",
                                 "brier", "stored_bytes"]),
    ("base.ece > early", 6, ["'ece' cannot be tested", "to one side", "cross_entropy, brier"]),
    ("base. > early", 6, ["'' is no metric"]),
    ("base.seconds > early.accuracy", 22, ["'accuracy' beside 'seconds'", "same quantity"]),
    ("base > [early, midle]", 16, ["'midle' is no run", "did you mean 'middle'"]),
    ("base > [early middle]", 15, ["'middle' where ']' is expected"]),
    ("base > [early", 14, ["the end where ']'"]),
    ("base > []", 9, ["']' where a run is expected"]),
    ("base > zz*", 8, ["'zz*' matches no run"]),
    ("base > b?se", 8, ["no run but base itself"]),
    ("base > base", 8, ["base is compared with itself"]),
    ("base > [early, base]", 8, ["base is compared with itself"]),
    ("gap(base, early) > gap(base, early)", 20, ["compared with itself"]),
    ("gap(base, base) > 1", 1, ["the gap between base and itself"]),
    ("gap(base early) > 1", 10, ["'early' where ',' is expected"]),
    ("gap(base, early > 1", 17, ["'>' where ')' is expected"]),
    ("gap(b*, early) > 1", 5, ["a pattern stands for a whole side"]),
    ("2 * b* > early", 5, ["a pattern stands for a whole side"]),
    ("2 > 1", 5, ["two numbers"]),
    ("3 > 2 > base", 5, ["two numbers"]),
    ("0 * base > 1", 1, ["'0' is no factor", "above 0"]),
    ("-2 * base > 1", 1, ["'-2' is no factor"]),
    ("1e999 > base", 1, ["too large"]),
    ("early > base > 900", 16, ["base > 900 is never true", "accuracy is 0 to 100 %"]),
    ("-1 < base", 1, ["-1 < base is always true", "0 to 100 %"]),
    ("gap(base, early) < 101", 20, ["is always true"]),
    ("base.seconds < 0", 16, ["is never true", "seconds is at least 0 (s)"]),
    ("base.cross_entropy > -0.1", 22, ["is always true", "at least 0 nats"]),
    ("base > 0.9", 8, ["accuracy is in percent", "write 90 for a share of 0.9"]),
    (".05 < base.top5", 1, ["top5 is in percent", "write 5 for"]),
    ("base > 16", 8, ["'16' is a number and a run", "16.accuracy", "16.0"]),
    ("base - early > 2", 6, ["'-' where < or > is expected", "gap(a, b)"]),
    ("base > early; early > middle", 13, ["';' where > or the end", "two entries"]),
    ("base > early and middle", 14, ["'and' where > or the end"]),
]


@pytest.mark.parametrize(("text", "character", "words"), ERRORS, ids=lambda part: str(part)[:40])
def test_error_has_its_place_and_what_is_allowed(text, character, words):
    with pytest.raises(UserError) as caught:
        claims.parse(text, RUNS)
    assert str(caught.value).startswith(f"{text!r}: character {character}: ")
    for word in words:
        assert word in str(caught.value)


PIECES = [*RUNS, *SCORES, *COSTS, *"<>[](),.*?-+=;&\n", "gap(", " ", "2", "1.5", "-1e3", "ß", "²"]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12).map("".join))
def test_garbage_gives_a_claim_or_a_user_error(text):
    try:
        claim = claims.parse(text, RUNS)
    except UserError as error:
        place = re.search(r": character (\d+): ", str(error))
        assert 1 <= int(place[1]) <= len(text) + 1
        assert len(str(error).splitlines()) == 1
    else:
        assert claim.comparisons
        assert all(each.coefficients and set(each.coefficients) <= set(RUNS)
                   and all(each.coefficients.values()) for each in claim.comparisons)


NAMES = st.sampled_from([run for run in RUNS if run != "16"])
SPACE = st.sampled_from(["", " ", "  "])


@st.composite
def terms(draw, quantity):
    """A side of a claim as text, and the coefficients of each of its terms."""
    kind = draw(st.sampled_from(["run", "gap", "factor", "list"]))
    suffix = draw(st.sampled_from(["", f".{quantity}"]))
    one, other = draw(st.lists(NAMES, min_size=2, max_size=2, unique=True))
    space = draw(SPACE)
    if kind == "gap":
        return f"gap({space}{one}{suffix},{space}{other})", [{one: 1, other: -1}]
    if kind == "list":
        return f"[{one}{space},{space}{other}]{suffix}", [{one: 1}, {other: 1}]
    if kind == "factor":
        return f"3{space}*{space}{one}{suffix}", [{one: 3}]
    return f"{one}{suffix}", [{one: 1}]


CLAIMABLE = [*(score for score in SCORES if not SCORES[score].biased), *COSTS]


@given(st.data(), st.sampled_from(CLAIMABLE), st.sampled_from("<>"))
def test_what_is_written_is_read(data, quantity, direction):
    sides = data.draw(st.lists(terms(quantity), min_size=2, max_size=4))
    # Named for certain by the first side.
    text = f" {direction} ".join([f"layer_1.{quantity}", *(text for text, _ in sides)])
    every = [[{"layer_1": 1}], *(each for _, each in sides)]
    wanted = []
    for left, right in zip(every, every[1:], strict=False):
        for one in left:
            for two in right:
                high, low = (one, two) if direction == ">" else (two, one)
                both = {run: high.get(run, 0) - low.get(run, 0) for run in high | low
                        if high.get(run) != low.get(run)}
                if not both:
                    with pytest.raises(UserError, match="compared with itself"):
                        claims.parse(text, RUNS)
                    return
                wanted.append(both)
    found = claims.parse(text, RUNS)
    assert found.quantity == quantity
    coefficients = [each.coefficients for each in found.comparisons]
    assert all(each in wanted for each in coefficients)
    assert all(each in coefficients for each in wanted)  # what is said twice counts once
    assert set(found.runs) == {run for each in wanted for run in each}


def test_costs_read_a_cost_file():
    cost = {"seconds_per_replicate": 2.5, "parameters_total": 10, "parameters_trainable": 3,
            "stored_bytes": 20, "activation_bytes": 30, "activation_bytes_1": 4,
            "flops_forward": 5, "flops_backward": 6, "peak_memory_bytes": 7, "operations": 8,
            "search_operations": 9, "search_seconds": 1.5, "search_trials": 2, "device": "any"}
    assert {name: COSTS[name].of(cost) for name in COSTS} == {
        "seconds": 2.5, "parameters_total": 10, "parameters_trainable": 3, "trainable_bytes": 12,
        "stored_bytes": 20, "activation_bytes": 30, "activation_bytes_1": 4, "flops_forward": 5,
        "flops_backward": 6, "flops": 11, "peak_memory_bytes": 7, "operations": 8,
        "search_operations": 9, "search_seconds": 1.5, "search_trials": 2}
    assert [name for name in COSTS if COSTS[name].measured] == [
        "seconds", "peak_memory_bytes", "search_seconds"]
    assert not SCORES.keys() & COSTS.keys()


def test_a_claim_needs_no_quotes_in_yaml():
    for text in ("base > [early, middle]", "2 * base.seconds < early", "gap(base, early) > 1"):
        assert yaml.safe_load(f"claims:\n  - {text}\n") == {"claims": [text]}
