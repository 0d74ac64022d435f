"""The outcomes as a table for the terminal, as Markdown and as JSON."""

from collections.abc import Mapping, Sequence
from math import inf, isinf, isnan, nan
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from counterflow.app.bench.scenarios.catalogue import ELSEWHERE, SCENARIOS
from counterflow.app.bench.scenarios.outcome import Judged, Outcome
from counterflow.app.bench.scenarios.side_by_side import MEASURES, as_markdown, lines
from counterflow.app.bench.scenarios.words import words
from counterflow.app.bench.table import machine
from counterflow.engine.control.settings import Tracker

STYLES = {"missed": "bold red", "missing": "bold red", "met": "green", "moonshot": "bold green"}
HEADINGS = ("scenario", "goal", "moonshot", "mean", "worst", "open", "PI", "")


def table(outcomes: Sequence[Outcome], *, whole: bool, quick: bool = False) -> Table:
    """A line a demand, the scenario's title above it. `whole`: also name the rows that are measured elsewhere. Readable at 80 columns."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column(HEADINGS[0], overflow="fold", min_width=26)
    for heading in HEADINGS[1:]:
        shown.add_column(heading, justify="right", no_wrap=True)
    for outcome in outcomes:
        shown.add_row(Text(f"{outcome.scenario.number} {outcome.scenario.titled(quick=quick)}", style="bold"))
        if outcome.note:
            shown.add_row(Text(f"  {outcome.note}", style="bold red"))
            continue
        for judged in _all(outcome):
            what, *cells, verdict = _cells(judged, compared=not outcome.scenario.uncompared)
            shown.add_row(Text(f"  {what}"), *(Text(cell) for cell in cells), Text(verdict, style=STYLES[verdict]))
    for row in ELSEWHERE if whole else ():
        shown.add_row(Text(f"{row.number} {row.title}: {row.where}", style="dim"))
    for why in _uncompared(outcomes):
        shown.add_row(Text(why, style="dim"))
    return shown


def markdown(outcomes: Sequence[Outcome], *, whole: bool, quick: bool = False) -> str:
    """The same for a document."""
    rows = ["| # | " + " | ".join(HEADINGS) + " |", "|---|---|" + "---:|" * (len(HEADINGS) - 2) + "---|"]
    for outcome in outcomes:
        number, title = outcome.scenario.number, outcome.scenario.titled(quick=quick)
        if outcome.note:
            rows.append(f"| {number} | {title}: {outcome.note} |" + " |" * (len(HEADINGS) - 2) + " **missing** |")
            continue
        for judged in _all(outcome):
            cells = _cells(judged, compared=not outcome.scenario.uncompared)
            verdict = f"**{judged.verdict}**" if STYLES[judged.verdict] == "bold red" else judged.verdict
            rows.append(f"| {number} | {title}: {cells[0]} | " + " | ".join(cells[1:-1]) + f" | {verdict} |")
    if whole:
        rows += [f"| {row.number} | {row.title} |" + " |" * (len(HEADINGS) - 2) + f" {row.where} |" for row in ELSEWHERE]
    rows += [line for why in _uncompared(outcomes) for line in ("", why)]
    rows += as_markdown(outcomes, quick=quick)
    return "\n".join(rows) + "\n"


def streams(outcomes: Sequence[Outcome], *, quick: bool = False) -> Table | None:
    """The rows with a streamed target by every measure; None where none was played. Readable at 80 columns."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("streamed", overflow="fold")
    for heading in MEASURES.values():
        shown.add_column(heading, justify="right", overflow="fold")
    found = list(lines(outcomes, quick=quick))
    for line in found:
        shown.add_row(Text(f"{line.number} {line.tracker}"), *(Text(words(value)) for value in line.values))
    return shown if found else None


def _uncompared(outcomes: Sequence[Outcome]) -> list[str]:
    """Why rows have no figures of other trackers, a sentence a reason."""
    reasons: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.scenario.uncompared:
            reasons.setdefault(outcome.scenario.uncompared, []).append(outcome.scenario.number)
    return [f"n/a in {', '.join(numbers)}: {why}." for why, numbers in reasons.items()]


def document(outcomes: Sequence[Outcome], *, quick: bool, seeds: int, took_s: float) -> dict[str, Any]:
    """Everything for machines: every figure of every play."""
    return {
        "format": "counterflow-scenarios/1",
        "quick": quick,
        "seeds": seeds,
        "took_s": round(took_s, 1),
        "machine": machine(),
        "scenarios": {outcome.scenario.number: _entry(outcome) for outcome in outcomes},
    }


def outcomes_of(written: Mapping[str, Any]) -> list[Outcome]:
    """The outcomes of a document that was written before, judged by the goals of now. A scenario that is no more is left out.

    Null stands for what never came where less is better, else for what is not known.
    """
    found = []
    for number, entry in written["scenarios"].items():
        scenario = SCENARIOS.get(number)
        if scenario is None:
            continue
        never = {demand.key for demand in scenario.demands if demand.better == "less"}
        plays = {
            Tracker(tracker): {
                int(seed): {key: (inf if key in never else nan) if value is None else float(value) for key, value in figures.items()}
                for seed, figures in by_seed.items()
            }
            for tracker, by_seed in entry["figures"].items()
        }
        found.append(Outcome(scenario=scenario, plays=plays, note=entry["note"]))
    return found


def _entry(outcome: Outcome) -> dict[str, Any]:
    demands = [
        {
            "key": judged.demand.key,
            "title": judged.demand.title,
            "unit": judged.demand.unit,
            "goal": judged.demand.goal,
            "moonshot": judged.demand.moonshot,
            "better": judged.demand.better,
            "against_pi": judged.demand.against_pi,
            "values": [_finite(value) for value in judged.values],
            "mean": _finite(judged.mean),
            "worst": _finite(judged.worst),
            "baselines": {tracker.value: _finite(value) for tracker, value in judged.baselines.items()},
            "verdict": judged.verdict,
        }
        for judged in _all(outcome)
    ]
    plays = {
        tracker.value: {str(seed): {key: _finite(value) for key, value in figures.items()} for seed, figures in plays.items()}
        for tracker, plays in outcome.plays.items()
    }
    return {"title": outcome.scenario.title, "cars": outcome.scenario.cars, "note": outcome.note, "demands": demands, "figures": plays}


def _all(outcome: Outcome) -> list[Judged]:
    return [outcome.judged(demand) for demand in outcome.scenario.demands]


def _cells(judged: Judged, *, compared: bool) -> list[str]:
    demand = judged.demand
    sign = "≤" if demand.better == "less" else "≥"
    unit = f" [{demand.unit}]" if demand.unit else ""
    others = [judged.baselines.get(tracker) for tracker in (Tracker.OPEN_LOOP, Tracker.PI)]
    return [
        f"{demand.title}{unit}".replace("[", "(").replace("]", ")"),
        f"{sign}{words(demand.goal)}",
        "" if demand.moonshot is None else words(demand.moonshot),
        words(judged.mean),
        words(judged.worst),
        *("n/a" if not compared else "" if value is None else words(value) for value in others),
        judged.verdict,
    ]


def _finite(value: float) -> float | None:
    """JSON knows no infinity: never and unknown are null."""
    return None if isnan(value) or isinf(value) else float(value)
