"""One writer of numbers: what it writes, at the borders above all."""

import math

import pytest

from unfreeze import words

QUANTITIES = [  # value, unit, text
    (0, "bytes", "0 B"),
    (999, "bytes", "999 B"),
    (999.4, "bytes", "999 B"),
    (999.5, "bytes", "1 kB"),
    (1e3, "bytes", "1 kB"),
    (999_499, "bytes", "999 kB"),
    (999_950, "bytes", "1 MB"),
    (1e6 - 1, "bytes", "1 MB"),
    (1e6, "bytes", "1 MB"),
    (-1e6 + 1, "bytes", "-1 MB"),
    (9_083_412, "bytes", "9.08 MB"),
    (100e6, "bytes", "100 MB"),
    (409.3e6, "bytes", "409 MB"),
    (1.5e12, "bytes", "1.5 TB"),
    (1.2345e16, "bytes", "12,345 TB"),
    (math.nan, "bytes", "nan B"),
    (math.inf, "bytes", "inf B"),
    (-math.inf, "s", "-inf s"),
    (145_400_000, "operations", "145 M operations"),
    (999_999_999, "operations", "1 G operations"),
    (1, "operations", "1 operation"),
    (12, "operations", "12 operations"),
    (0, "parameters", "0 parameters"),
    (1, "parameters", "1 parameter"),
    (999.5, "parameters", "1,000 parameters"),
    (2_236_682, "parameters", "2,236,682 parameters"),
    (1, "trials", "1 trial"),
    (12, "trials", "12 trials"),
    (0, "s", "0 s"),
    (-0.0, "s", "0 s"),
    (0.00001234, "s", "0.0000123 s"),
    (1e-300, "s", "0 s"),
    (0.123456, "s", "0.123 s"),
    (9.996, "s", "10 s"),
    (15, "s", "15 s"),
    (23.45, "s", "23.4 s"),  # the float is below
    (99.96, "s", "100 s"),
    (999.4, "s", "999 s"),
    (999.5, "s", "1,000 s"),
    (1234.5, "s", "1,235 s"),
    (123_456, "s", "123,456 s"),
    (-12.345, "s", "-12.3 s"),
    (61.26, "%", "61.3 %"),
    (66.25, "%", "66.3 %"),  # a half, which floats hold exactly
    (-66.25, "%", "-66.3 %"),
    (-0.04, "%", "0.0 %"),
    (99.96, "%", "100.0 %"),
    (math.nan, "%", "nan %"),
    (1.2345, "nats", "1.234 nats"),
    (0.5, "", "0.500"),
]


@pytest.mark.parametrize(("value", "unit", "text"), QUANTITIES)
def test_quantities(value, unit, text):
    assert words.quantity(value, unit) == text


@pytest.mark.parametrize(("value", "unit", "text"), [
    (1.7, "points", "+1.7 points"), (-1.7, "points", "-1.7 points"), (0.04, "points", "0.0 points"),
    (999_950, "bytes", "+1 MB"), (1, "parameters", "+1 parameter"), (0, "s", "0 s"),
    (1234, "s", "+1,234 s"), (math.nan, "points", "+nan points")])
def test_a_sign_for_differences(value, unit, text):
    assert words.quantity(value, unit, sign=True) == text


@pytest.mark.parametrize(("value", "other", "unit", "texts"), [
    (409.3e6, 100e6, "bytes", ("409 MB", "100 MB")),
    (100.04e6, 100e6, "bytes", ("100.04 MB", "100 MB")),
    (1.2e9, 100e6, "bytes", ("1.2 GB", "100 MB")),
    (23.45, 15, "s", ("23.4 s", "15 s")),
    (15.001, 15, "s", ("15.001 s", "15 s")),
    (1234.6, 1234.2, "s", ("1,235 s", "1,234 s")),
    (1234.4, 1234.2, "s", ("1,234.4 s", "1,234.2 s")),
    (10, 9, "parameters", ("10 parameters", "9 parameters")),
    (5, 5, "s", ("5 s", "5 s"))])
def test_two_that_are_set_against_each_other_differ(value, other, unit, texts):
    assert words.apart(value, other, unit) == texts


def test_intervals():
    assert words.interval(66.81, 70.49, "%") == "66.8 to 70.5"
    assert words.interval(-1.26, 0.02, "points", sign=True) == "-1.3 to 0.0"
    assert words.interval(1, 2, "nats") == "1.000 to 2.000"


@pytest.mark.parametrize(("value", "decimals", "text"), [
    (-0.001, 2, "0.00"), (0.005, 2, "0.01"), (999.996, 2, "1,000.00"), (1e6 - 1, 0, "999,999"),
    (math.nan, 1, "nan"), (-math.inf, 0, "-inf")])
def test_fixed_decimals(value, decimals, text):
    assert words.fixed(value, decimals) == text


@pytest.mark.parametrize(("value", "text"), [
    (0, "0 %"), (0.02, "2 %"), (0.1, "10 %"), (0.125, "12.5 %"), (0.99999, "100 %"), (1, "100 %")])
def test_shares(value, text):
    assert words.share(value) == text


@pytest.mark.parametrize(("p", "text"), [
    (0, "< 0.001"), (0.000999, "< 0.001"), (0.001, "0.001"), (0.0018, "0.002"), (0.0499, "0.0499"),
    (0.05, "0.050"), (0.0504, "0.0504"), (0.0506, "0.051"), (0.9996, "1.000"), (1, "1.000")])
def test_p_values(p, text):
    assert words.p_value(p) == text


def test_counts():
    assert [words.count(number, "run") for number in (0, 1, 2, 1200)] == [
        "0 runs", "1 run", "2 runs", "1,200 runs"]
    assert words.count(2, "class", "classes") == "2 classes"


@pytest.mark.parametrize(("value", "text"), [
    (0.001, "0.001"), (0.00011418, "0.000114"), (1e-5, "0.00001"), (0.0, "0"), (0.3, "0.3"),
    (1, "1"), (1e-15, "0")])
def test_small_numbers_have_no_exponent(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(("number", "text"), [
    (0, "0"), (7, "7"), (99, "99"), (100, "100"), (101, "110"), (12_345, "13,000"),
    (99_001, "100,000")])
def test_estimates_are_rounded_up(number, text):
    assert words.about(number) == text


def test_settings():
    assert words.settings({"freeze": {"last": 2}, "lr": 0.1, "tune": "lora"}) == (
        "freeze: {last: 2}, lr: 0.1, tune: lora")
    assert words.settings({}) == "the defaults"
