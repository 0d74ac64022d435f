"""Colours of the console against what they lie on: WCAG 2 AA, 4.5 to 1 for words and 3 to 1 for lines, in light and dark."""

import pytest

from counterflow.console import charts, frame


def luminance(colour: str) -> float:
    """Relative luminance of `#rrggbb`, WCAG 2.2."""
    channels = [int(colour[place : place + 2], 16) / 255.0 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_measure_is_that_of_wcag() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21.0)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(
    ("words", "on"),
    [
        ("#FFFFFF", frame.PRIMARY),
        ("#FFFFFF", frame.NEGATIVE),
        ("#FFFFFF", frame.BAR),
        ("#FFFFFF", frame.ALARM),
        (frame.PRIMARY, frame.PAPER),
        (frame.NEGATIVE, frame.PAPER),
        (frame.LINK, frame.PAPER),
        (frame.MUTED, frame.PAPER),
        (frame.LINK_DARK, frame.PAPER_DARK),
        (frame.NEGATIVE_DARK, frame.PAPER_DARK),
        (frame.MUTED_DARK, frame.PAPER_DARK),
    ],
)
def test_words_can_be_read(words: str, on: str) -> None:
    assert contrast(words, on) >= 4.5


@pytest.mark.parametrize("line", [charts.TARGET, charts.DELIVERED, charts.HEADROOM, charts.COMMITTED, charts.ALARM])
@pytest.mark.parametrize("on", [frame.PAPER, frame.PAPER_DARK])
def test_lines_can_be_seen(line: str, on: str) -> None:
    assert contrast(line, on) >= 3.0


@pytest.mark.parametrize(("ring", "on"), [(frame.FOCUS, frame.PAPER), (frame.FOCUS_DARK, frame.PAPER_DARK), (frame.FOCUS_DARK, frame.BAR)])
def test_the_ring_around_what_has_the_keyboard_can_be_seen(ring: str, on: str) -> None:
    assert contrast(ring, on) >= 3.0
