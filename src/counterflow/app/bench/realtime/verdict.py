"""Is the run in real time as good as it has to be, and is it what the virtual clock says it is?"""

from collections.abc import Iterator

from msgspec import Struct

from counterflow.app.bench.realtime.course import Course
from counterflow.app.bench.realtime.played import Figures, Played, figures_of

AGREEMENT_PP = 0.5
"""RMSE of the two clocks may differ by so many percentage points."""
LEAST_STRICT, LEAST_ALLOWED, LEAST_BAND_PERCENT = 0.92, 0.95, 95.0


class Row(Struct, frozen=True, kw_only=True):
    """One figure of both clocks; `demand` in words, empty where none is made."""

    key: str
    title: str
    unit: str = ""
    real: float | None
    virtual: float | None
    demand: str = ""
    met: bool | None = None
    """None = nothing is demanded, or the window is too short for the figure."""

    @property
    def difference(self) -> float | None:
        """Real less virtual."""
        return None if self.real is None or self.virtual is None else self.real - self.virtual


class Verdict(Struct, frozen=True, kw_only=True):
    """All figures of one course on both clocks."""

    rows: tuple[Row, ...]

    @property
    def kept(self) -> bool:
        """Every demand is met."""
        return all(row.met is not False for row in self.rows)

    def row(self, key: str) -> Row:
        """One of the figures. Raises KeyError."""
        return {row.key: row for row in self.rows}[key]


def judge(real: Played, virtual: Played, course: Course) -> Verdict:
    """Raises ValueError where seconds of a run are missing."""
    ours, beside = figures_of(real, course), figures_of(virtual, course)
    return Verdict(rows=(*_errors(ours, beside), *_scores(ours, beside), *_plain(real, virtual, ours, beside), *_promises(real, virtual)))


def _errors(ours: Figures, beside: Figures) -> Iterator[Row]:
    demand = f"differs ≤ {AGREEMENT_PP:g} pp"
    for key, title in (("rmse_percent", "RMSE"), ("rmse_whole_percent", "RMSE with the first minute")):
        real, virtual = getattr(ours, key), getattr(beside, key)
        met = abs(real - virtual) <= AGREEMENT_PP
        yield Row(key=key, title=title, unit="% of the peak", real=real, virtual=virtual, demand=demand, met=met)


def _scores(ours: Figures, beside: Figures) -> Iterator[Row]:
    for key, title, unit, least in (
        ("strict", "strict score", "", LEAST_STRICT),
        ("allowed", "score, 10 s allowed", "", LEAST_ALLOWED),
        ("band_percent", "within 5 % of the peak, 30 s grace", "% of the time", LEAST_BAND_PERCENT),
    ):
        real = getattr(ours, key)
        met = None if real is None else real >= least
        yield Row(key=key, title=title, unit=unit, real=real, virtual=getattr(beside, key), demand=f"≥ {least:g}", met=met)


def _plain(real: Played, virtual: Played, ours: Figures, beside: Figures) -> Iterator[Row]:
    for key, title, unit in (
        ("energy_error_percent", "energy delivered over energy asked", "%"),
        ("metered_error_percent", "energy as reported over energy delivered", "%"),
        ("messages_per_car_hour", "messages per car and hour, renewals included", ""),
    ):
        yield Row(key=key, title=title, unit=unit, real=getattr(ours, key), virtual=getattr(beside, key))
    yield Row(key="gave", title="cars that were discharged", real=real.standing.gave, virtual=virtual.standing.gave)


def _promises(real: Played, virtual: Played) -> Iterator[Row]:
    for key, title in (
        ("below_floor", "cars below their floor"),
        ("late", "cars that miss their departure"),
        ("remaining", "profiles of ours left at stations"),
    ):
        found, beside = getattr(real.standing, key), getattr(virtual.standing, key)
        yield Row(key=key, title=title, real=found, virtual=beside, demand="0", met=found == 0 == beside)
    found, beside = len(real.standing.violations), len(virtual.standing.violations)
    yield Row(key="violations", title="objections of stations", real=found, virtual=beside, demand="0", met=found == 0 == beside)
