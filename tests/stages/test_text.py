"""Values as text for people."""

import pytest

from nstflow.stages.text import (
    amount_text,
    duration_text,
    html_table,
    loss_text,
    number_text,
    text_of,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3000.0, "3000"),
        (1e8, "1e+08"),
        (0.1, "0.1"),
        (1 / 3, "0.3333333333333333"),
        (123456789.5, "123456789.5"),
        (16777217.0, "16777217.0"),
        (-0.0, "-0"),
    ],
)
def test_number_is_short_where_that_is_the_same_number(value: float, text: str) -> None:
    assert text_of(value) == text
    assert float(text_of(value)) == value


def test_control_characters_are_written_out() -> None:
    assert text_of({"a\x1b": ["\x07"]}) == r"{a\x1b: [\x07]}"


def test_only_what_looks_like_a_hash_is_cut_short() -> None:
    assert text_of("a" * 63) == "a" * 63
    assert text_of("g" * 64) == "g" * 64
    assert text_of("0" * 64) == "0" * 12 + "…"


def test_times_and_losses() -> None:
    times = (0.04, 7, 59.9, 59.96, 60, 119.7, 3599, 3725, 7199, 500_000)
    assert [duration_text(seconds) for seconds in times] == [
        *("0.0 s", "7 s", "59.9 s", "1 min 0 s", "1 min 0 s", "2 min 0 s", "59 min 59 s"),
        *("1 h 2 min", "2 h 0 min", "138 h 53 min"),
    ]
    assert [loss_text(value) for value in (0.00012345, 999.96, 1000, -1234567.8)] == [
        "0.0001234",
        "1000",
        "1,000",
        "-1,234,568",
    ]


def test_numbers_have_no_exponent() -> None:
    values = (0.00123, 0.5, 9.96, 12.34, 120.3, 98_765)
    assert [number_text(value) for value in values] == [
        *("0.0012", "0.50", "10.0", "12", "120", "99,000")
    ]
    assert number_text(0) == "0"
    amounts = (7, 1536, 780e6, 9.4e9, 120.3e9, 999.6e9, 3.2e12, 5e15)
    assert [amount_text(amount, "B") for amount in amounts] == [
        *("7.0 B", "1.5 kB", "780 MB", "9.4 GB", "120 GB", "1.0 TB", "3.2 TB", "5,000 TB")
    ]
    assert amount_text(74.56e12, "FLOP", 3) == "74.6 TFLOP"


def test_nothing_of_a_recipe_is_markup_in_a_table() -> None:
    table = html_table("<b>x", "a & b\x1b", [("<i>", "1 < 2")])
    assert "<b>&lt;b&gt;x</b> a &amp; b\\x1b<table>" in table
    assert "&lt;i&gt;</td>" in table
    assert "1 &lt; 2</td>" in table
