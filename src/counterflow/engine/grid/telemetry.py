"""A pool at one instant as its operator is shown it: sums over the meters as they stand, and how far they can be trusted.

Pure and vectorised. Discharge positive; what is not known is None. A car without a live meter value is in no sum: it is counted beside it.
"""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from counterflow.domain.grid import PoolTelemetry, Quality
from counterflow.domain.ids import PoolId
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.control.balance import as_delivery_w
from counterflow.engine.fleet.meters import Meters
from counterflow.engine.fleet.snapshot import B1, F8, I8


class TelemetrySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What operators are shown of their pools, how often, and for how long it is kept."""

    period_s: Annotated[float, Meta(description="One record of each pool so often.", extra={"unit": "s"}, ge=1, le=60)] = 4.0
    pools: Annotated[
        tuple[PoolId, ...],
        Meta(description="Further pools that are recorded, beside `all` and those of the programs.", extra={"unit": "-"}),
    ] = ()
    keep_days: Annotated[
        float, Meta(description="Records are kept on disk for so long, to be sent again after an outage.", extra={"unit": "d"}, ge=5)
    ] = 7.0
    look_s: Annotated[
        float,
        Meta(description="How often it is worked out which cars could be discharged (`sessions_ready`).", extra={"unit": "s"}, ge=1),
    ] = 15.0
    stale_s: Annotated[float, Meta(description="An older meter value counts as stale.", extra={"unit": "s"}, gt=0)] = 60.0
    tolerated_share: Annotated[
        float,
        Meta(
            description="Up to this share of the sessions may have an old meter value, or none, before the quality is less than good.",
            extra={"unit": "0..1"},
            ge=0,
            le=1,
        ),
    ] = 0.01
    following_frac: Annotated[float, Meta(description="The target is met within this share of it.", extra={"unit": "0..1"}, gt=0, le=1)] = (
        0.05
    )
    following_w: Annotated[float, Meta(description="And within this power at least.", extra={"unit": "W"}, gt=0)] = 1_000.0


class Part(Struct, frozen=True, kw_only=True):
    """A running dispatch that lies wholly in the pool. `group_uid` (N,): the sessions that count in its balance, 0 elsewhere; `baseline_w`
    (N,): what each would draw without the order, as frozen, import positive."""

    mode: DispatchMode
    group_uid: I8
    baseline_w: F8
    target_w: float
    committed_w: float | None
    expected_w: float | None
    """What it will deliver once everything under way has settled; None before the first tick."""


class Firm(Struct, frozen=True, kw_only=True):
    """What the pool can give firmly (P90) over a window from now on, dispatches under way included."""

    power_w: float
    window_s: float


class PoolState(Struct, frozen=True, kw_only=True):
    """What is known of a pool beside the meters. `sites` (S,): those that belong to it."""

    pool: PoolId
    sites: B1
    parts: Sequence[Part]
    firm: Firm | None
    lag_s: float
    """Learned time from an order to the middle of a car's step."""
    sessions_ready: int
    available: bool
    fault: bool


def pool_telemetry(meters: Meters, known: B1, state: PoolState, settings: TelemetrySettings, sequence: int) -> PoolTelemetry:
    """The record of one pool. `known` (N,) = rows whose power is known now (`eligibility.measured_sessions`)."""
    rows = meters.occupied & state.sites[np.maximum(meters.site, 0)]
    seen = rows & known
    sessions, measured = int(np.count_nonzero(rows)), int(np.count_nonzero(seen))
    age_s = np.maximum(meters.at_s - meters.power_at_s[seen], 0.0)
    stale = count_stale(meters.at_s, meters.power_at_s[seen], settings)
    # The sum over no cars is zero; that over cars of which nothing is known is not.
    blind = sessions > 0 and measured == 0
    target_w = sum(part.target_w for part in state.parts) if state.parts else None
    delivered = [_delivered_w(meters, known, part) for part in state.parts]
    delivered_w = _total(delivered)
    up_w = None if state.firm is None else max(0.0, state.firm.power_w - (target_w or 0.0))
    down_w = None if blind else float(np.maximum(-meters.power_w[seen], 0.0).sum())
    return PoolTelemetry(
        sequence=sequence,
        at_s=meters.at_s,
        pool=state.pool,
        measured_power_w=None if blind else 0.0 - float(meters.power_w[seen].sum()),
        baseline_power_w=_total([_baseline_w(meters, part) for part in state.parts]),
        target_power_w=target_w,
        delivered_power_w=delivered_w,
        committed_power_w=_total([part.committed_w for part in state.parts]),
        up_power_w=up_w,
        up_energy_wh=None if state.firm is None or up_w is None else up_w * state.firm.window_s * WH_PER_WS,
        down_power_w=down_w,
        ramp_w_per_s=_ramp_w_per_s(up_w, down_w, state.lag_s),
        sessions=sessions,
        sessions_ready=state.sessions_ready,
        unmeasured_sessions=sessions - measured,
        meter_age_s=float(age_s.max()) if measured else None,
        quality=quality_of_sum(sessions, sessions - measured, stale, settings),
        available=state.available,
        following=bool(state.parts)
        and all(_follows(part, given_w, settings) for part, given_w in zip(state.parts, delivered, strict=True)),
        fault=state.fault,
    )


def count_stale(now_s: float, heard_at_s: F8, settings: TelemetrySettings) -> int:
    """How many of these meter values (N,) are older than they should be."""
    return int(np.count_nonzero(~(now_s - heard_at_s <= settings.stale_s)))


def _ramp_w_per_s(up_w: float | None, down_w: float | None, lag_s: float) -> float | None:
    """How fast the pool's power can move: the larger of what it can give and take back, over the time that a step takes.

    A car on a ramp is through after twice the time to the middle of its step.
    """
    known_w = [power_w for power_w in (up_w, down_w) if power_w is not None]
    return max(known_w) / (2.0 * lag_s) if known_w and lag_s > 0.0 else None


def quality_of_sum(sessions: int, unmeasured: int, stale: int, settings: TelemetrySettings) -> Quality:
    """Of a sum over the meters of so many sessions, the worst that applies: a part that is missing makes it an estimate."""
    if sessions > 0 and unmeasured == sessions:
        return Quality.MISSING
    tolerated = settings.tolerated_share * sessions
    if unmeasured + stale <= tolerated:
        return Quality.GOOD
    return Quality.STALE if stale > tolerated else Quality.ESTIMATED


def _group(meters: Meters, part: Part) -> B1:
    return meters.occupied & np.equal(meters.uid, part.group_uid)


def _delivered_w(meters: Meters, known: B1, part: Part) -> float | None:
    """By the meters of its cars, in the terms of its mode; None when it has cars and nothing is known of any."""
    group = _group(meters, part)
    seen = group & known
    if group.any() and not seen.any():
        return None
    return float(as_delivery_w(part.mode, -meters.power_w[seen], part.baseline_w[seen]).sum()) + 0.0


def _baseline_w(meters: Meters, part: Part) -> float:
    """Of the cars that are there: one that leaves takes its baseline along (grid.md 4.6)."""
    if part.mode is not DispatchMode.RELATIVE:
        return 0.0
    return 0.0 - float(part.baseline_w[_group(meters, part)].sum())


def _follows(part: Part, delivered_w: float | None, settings: TelemetrySettings) -> bool:
    within_w = max(settings.following_w, settings.following_frac * part.target_w)
    if delivered_w is None:
        return False
    on_its_way = part.expected_w is not None and abs(part.expected_w - part.target_w) <= within_w
    return on_its_way or abs(delivered_w - part.target_w) <= within_w


def _total(values: Sequence[float | None]) -> float | None:
    """None for none, and when one is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None
