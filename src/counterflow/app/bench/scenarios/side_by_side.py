"""The rows with a streamed target, each tracker by every measure of such a product: no single score ranks them."""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from counterflow.app.bench.scenarios.outcome import Outcome
from counterflow.app.bench.scenarios.words import words
from counterflow.engine.control.settings import Tracker

MEASURES = {
    "strict": "strict score",
    "allowed": "10 s allowed",
    "precision": "precision",
    "band": "within 5 % (%)",
    "rmse": "RMSE (%)",
    "energy_error": "energy error (%)",
    "bias": "bias (%)",
    "messages": "messages per car and hour",
}
"""Figures by their key, with their headings. RMSE and bias are of the signal's amplitude, energy of what was asked."""

NAMES = {Tracker.LEARNED: "ours", Tracker.OPEN_LOOP: "open loop", Tracker.PI: "PI"}


class Line(NamedTuple):
    """One tracker in one row: means over its seeds, in the order of `MEASURES`."""

    number: str
    title: str
    tracker: str
    values: tuple[float, ...]


def lines(outcomes: Sequence[Outcome], *, quick: bool = False) -> Iterator[Line]:
    """A line for each tracker that played a row in which all of the measures were taken."""
    for outcome in outcomes:
        for tracker, name in NAMES.items():
            plays = list(outcome.plays.get(tracker, {}).values())
            if plays and all(key in figures for figures in plays for key in MEASURES):
                values = tuple(fmean(figures[key] for figures in plays) for key in MEASURES)
                yield Line(outcome.scenario.number, outcome.scenario.titled(quick=quick), name, values)


def as_markdown(outcomes: Sequence[Outcome], *, quick: bool = False) -> list[str]:
    """The lines of a table of its own; empty where no such row was played."""
    rows = [
        f"| {line.number} | {line.title} | {line.tracker} | " + " | ".join(map(words, line.values)) + " |"
        for line in lines(outcomes, quick=quick)
    ]
    if not rows:
        return []
    headings = ("#", "scenario", "tracker", *MEASURES.values())
    explained = (
        "The streamed targets by every measure, means over the seeds that each tracker played. RMSE and bias are in percent of the "
        "signal's amplitude, energy of what was asked."
    )
    return ["", explained, "", "| " + " | ".join(headings) + " |", "|---|---|---|" + "---:|" * len(MEASURES), *rows]
