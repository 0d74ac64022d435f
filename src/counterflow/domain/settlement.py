"""The words of settlement: baselines, the quality of a figure, revisions, and what a report was made from."""

from enum import StrEnum
from typing import Any

from msgspec import Struct

from counterflow.domain.ids import SessionUid


class BaselineMethod(StrEnum):
    """What a car would have drawn without the dispatch, and by which method that is told. Each is per EVSE, for as long as its car
    is a member: a car that leaves takes its baseline along."""

    ZERO = "zero"
    DECLARED = "declared"
    FORWARD = "forward"
    METER_BEFORE_AFTER = "meter_before_after"
    TEN_OF_TEN = "ten_of_ten"
    HIGH_FIVE_OF_TEN = "high_five_of_ten"


BY_PLAN = frozenset({BaselineMethod.DECLARED, BaselineMethod.FORWARD})
"""Methods that count from the plan of each car, which was frozen."""


class PlanFrozen(StrEnum):
    """When the plan of a car was frozen, from which a relative order counts."""

    ACCEPTANCE = "acceptance"
    """When the order was accepted: the car was there."""
    JOIN = "join"
    """When the car joined: it came later, or nothing was known of it before."""


class Quality(StrEnum):
    """How far a figure that an operator is shown can be trusted."""

    GOOD = "good"
    """From meters that are heard; an energy from registers, with meter values all along."""
    STALE = "stale"
    """Older than it should be."""
    ESTIMATED = "estimated"
    """Parts of it are filled in: by power alone, or across a gap that registers bridge."""
    MISSING = "missing"
    """Of a part nothing is known, and nothing is counted for it."""


class BaselineStatement(Struct, frozen=True, kw_only=True):
    """The baseline of a report: by which method, how that works, and what it is known to be off by."""

    method: BaselineMethod
    description: str
    known_error: str
    energy_wh: float
    """What the members would have drawn, summed over the window; import positive."""
    complete: bool = True
    """False = a part of its input is still to come, such as the meter after the window."""


class IntervalFigures(Struct, frozen=True, kw_only=True):
    """One interval as a grid operator asks for it. Discharge is positive; `delivered_wh` = `energy_wh` - `baseline_wh`.

    Energies are whole Wh, cut from one cumulative sum: on every grid they add up to the same total.
    """

    start_s: float
    duration_s: float
    mean_power_w: float | None
    """Mean metered power of the members, W; None = too few were heard."""
    energy_wh: float
    """Metered energy, Wh, as far as it is known."""
    baseline_wh: float
    """What they would have given without the dispatch, Wh: below zero where they would have charged."""
    delivered_wh: float
    target_power_w: float
    """Mean target, W."""
    quality: Quality
    version: int
    """The version of the report that this figure belongs to."""


class Recovery(Struct, frozen=True, kw_only=True):
    """Charging after the window that makes good what the cars gave. It is no part of what was delivered."""

    energy_wh: float
    """Drawn by the members after the stop, of each no more than the dispatch took from it."""
    until_s: float
    """How far it was counted."""
    ends_s: float
    """How far it will be."""
    complete: bool
    """False = it is still counted; a later version says if it became more."""


class ClockSkew(Struct, frozen=True, kw_only=True):
    """The clock of one station against ours."""

    station_id: str
    behind_s: float
    """Least (received - timestamp), s: positive = behind, or slow to send; negative = ahead."""
    flagged: bool


class Revision(Struct, frozen=True, kw_only=True):
    """What is different from the version before."""

    of_version: int
    delivered_before_wh: float
    sessions_changed: int
    reasons: tuple[str, ...]
    """In sentences."""


class ReportVersion(Struct, frozen=True, kw_only=True):
    """One version of a dispatch's report, as it is kept."""

    version: int
    generated_at_s: float
    delivered_energy_wh: float
    uncertainty_wh: float
    quality: Quality | None
    sha256: str
    """Of its file; empty = not written down (older release)."""
    revision: Revision | None


class Evidence(Struct, frozen=True, kw_only=True):
    """What a report was made from, so that it can be made again and compared."""

    samples: int
    samples_sha256: str
    """Of the meter values of all members, in one order."""
    log_sha256: str
    """Of the dispatch's log."""
    settings: dict[str, Any]
    """The settlement settings that were in force."""


class CarState(Struct, frozen=True, array_like=True, gc=False):
    """A car as it was when its plan was frozen, from which its charging is simulated forward. None = not known."""

    power_w: float | None
    soc_frac: float | None
    capacity_wh: float | None
    max_charge_w: float | None
    target_soc_frac: float | None


class PastSession(Struct, frozen=True, kw_only=True):
    """An earlier session at the EVSE of a member, and the part of it that history takes."""

    session_uid: SessionUid
    station_id: str
    evse_id: int
    day_start_s: float
    """The instant on that day that answers to the start of the window."""
