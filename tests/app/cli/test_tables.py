"""Tables fit, numbers stand on the right, and nothing that a station sends reaches the terminal raw."""

from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from counterflow.app.cli.tables import (
    build_table,
    clock,
    column,
    figures,
    instant,
    kilo,
    percent,
    print_facts,
    print_table,
    say,
    span,
    visible,
    whole,
    words,
    yes_no,
)

COLUMNS = [
    column("Name", lambda row: row["name"]),
    figures("Power kW", lambda row: kilo(row["power_w"])),
    figures("Age", lambda row: span(row["age_s"]), 1),
    column("Model", lambda row: row["model"], 2),
    column("Site", lambda row: row["site"], 3),
    words("Why", lambda row: row["why"]),
]
ROW = {"name": "CS-1", "power_w": 7_043.0, "age_s": 3.2, "model": "Acme Bidi 22", "site": "depot", "why": "can be discharged"}


def drawn(rows: list[dict[str, object]], width: int = 80) -> list[str]:
    stream = StringIO()
    print_table(Console(file=stream, width=width), rows, COLUMNS, empty="Nothing here.", note="A note.")
    return stream.getvalue().splitlines()


def test_a_wide_terminal_shows_everything() -> None:
    lines = drawn([ROW])
    assert lines[0].split() == ["Name", "Power", "kW", "Age", "Model", "Site", "Why"]
    assert lines[2:] == ["A note."]


def test_the_least_important_columns_go_first_and_are_named() -> None:
    _, hidden = build_table([ROW], COLUMNS, 55)
    assert hidden == ["Site"]
    _, hidden = build_table([ROW], COLUMNS, 36)
    assert hidden == ["Site", "Model", "Age"]
    assert "Not shown here: Age, Model, Site" in " ".join(" ".join(drawn([ROW], 36)).split())


def test_numbers_stand_on_the_right() -> None:
    lines = drawn([ROW, {**ROW, "power_w": 123_456.0}])
    ends = [line.index(number) + len(number) for line, number in zip(lines[1:], ("7.0", "123.5"), strict=False)]
    assert ends[0] == ends[1] == lines[0].index("kW") + 2


def test_long_words_wrap_instead_of_widening_the_table() -> None:
    lines = drawn([{**ROW, "why": "the energy above the driver's floor is unknown " * 3}])
    assert max(map(len, lines)) <= 80
    assert len(lines) > 4


def test_nothing_to_show_is_a_sentence() -> None:
    assert drawn([]) == ["Nothing here."]


def test_markup_and_escape_sequences_of_a_station_are_only_text() -> None:
    lines = drawn([{**ROW, "model": "[red]x[/] \x1b[31m", "why": "\x9b2J\nnext"}])
    text = "\n".join(lines)
    assert "[red]x[/]" in text
    assert "\x1b" not in text
    assert "\x9b" not in text
    stream = StringIO()
    console = Console(file=stream, width=80)
    say(console, "[bold]a\x1b[2J")
    print_facts(console, [("Model", "\x1b]0;title\x07")])
    assert "\x1b" not in stream.getvalue()
    assert "[bold]a" in stream.getvalue()


@settings(max_examples=60)
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "name": st.text(max_size=12),
                "power_w": st.none() | st.floats(-1e7, 1e7),
                "age_s": st.none() | st.floats(0, 1e7),
                "model": st.text(max_size=60),
                "site": st.text(max_size=30),
                "why": st.text(max_size=200),
            }
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(48, 200),
)
def test_no_line_is_wider_than_the_terminal(rows: list[dict[str, object]], width: int) -> None:
    stream = StringIO()
    console = Console(file=stream, width=width)
    print_table(console, rows, COLUMNS, empty="Nothing.")
    from rich.cells import cell_len

    assert all(cell_len(line) <= width for line in stream.getvalue().split("\n"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0 s"),
        (3.2, "3 s"),
        (89.4, "89 s"),
        (120.0, "2 min"),
        (5_399.0, "90 min"),
        (7_200.0, "2 h"),
        (259_200.0, "3 d"),
        (-5.0, "-5 s"),
    ],
)
def test_an_age_is_read_at_a_glance(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


def test_unknown_is_a_dash_and_never_zero() -> None:
    assert {kilo(None), percent(None), whole(None), span(None), clock(None, 0.0), instant(None), yes_no(None)} == {"-"}


def test_zero_has_no_minus() -> None:
    assert (kilo(-0.0), kilo(-20.0), percent(-0.001), whole(-0.2)) == ("0.0", "0.0", "0", "0")


def test_an_instant_far_away_has_its_date() -> None:
    assert clock(1_795_366_800.0, 1_795_366_000.0) == "17:00:00"
    assert clock(1_795_366_800.0, 0.0) == "2026-11-22 17:00"
    assert clock(1e30, 0.0) == "-"
    assert instant(1_795_366_800.4) == "2026-11-22T17:00:00Z"


def test_visible_keeps_what_can_be_read() -> None:
    assert visible("Straße 5 kW") == "Straße 5 kW"
    assert visible("a\nb\x00c\u202e") == "a b\ufffdc\ufffd"
