"""What a station has told of others, kept up to date: pure functions from one record to the next."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from counterflow.domain.conflicts import DerLimit, ForeignLimit, ForeignProfile, KnownProfiles, LimitPeriod
from counterflow.domain.ids import EvseId, TransactionId
from counterflow.engine.conflicts.limits import shared

DER_SOURCE = "DER "
"""Sources of the inverter's own limits begin like this, followed by the id of the control."""
COMPOSITE_SOURCE = "composite schedule"


def merged(known: Iterable[ForeignProfile], found: Iterable[ForeignProfile]) -> tuple[ForeignProfile, ...]:
    """Both, the newer where they speak of the same profile; an id is unique per station (K01.FR.05), sources may list it twice."""
    together = {one.profile.profile_id: one for one in known} | {one.profile.profile_id: one for one in found}
    return tuple(together[profile_id] for profile_id in sorted(together))


def transaction_over(known: KnownProfiles, transaction_id: TransactionId, evse_id: EvseId) -> KnownProfiles:
    """Transaction profiles die with their transaction (K02.FR.06), and so does what was proved of it."""
    return replace(
        known,
        foreign=tuple(one for one in known.foreign if one.profile.transaction_id != transaction_id),
        seen=tuple(one for one in known.seen if one != transaction_id),
        limits=tuple(one for one in known.limits if (one.source, one.evse_id) != (COMPOSITE_SOURCE, evse_id)),
    )


def with_limit(known: KnownProfiles, evse_id: EvseId, source: str, periods: tuple[LimitPeriod, ...], now_s: float) -> KnownProfiles:
    """A limit in place of what the same source said of this EVSE before; without periods it is gone. What is over is left out."""
    kept = [one for one in known.limits if (one.evse_id, one.source) != (evse_id, source)]
    if periods:
        kept.append(ForeignLimit(evse_id=evse_id, source=source, periods=periods, at_s=now_s))
    limits = tuple(one for one in kept if any(period.to_s is None or period.to_s > now_s for period in one.periods))
    return replace(known, limits=limits)


def with_der_limits(
    known: KnownProfiles, limits: Iterable[DerLimit], rated_w: Mapping[EvseId, float | None], now_s: float
) -> KnownProfiles:
    """The inverter's limits in place of all earlier ones. A share of a rating that nobody told allows nothing."""
    kept = tuple(one for one in known.limits if not one.source.startswith(DER_SOURCE))
    new = tuple(
        ForeignLimit(
            evse_id=evse_id,
            source=f"{DER_SOURCE}{limit.control_id}",
            periods=(LimitPeriod(from_s=limit.from_s, to_s=limit.to_s, discharge_w=limit.share * (power_w or 0.0)),),
            at_s=now_s,
        )
        for limit in limits
        if limit.share < 1.0
        for evse_id, power_w in rated_w.items()
    )
    return replace(known, limits=kept + new)


def without_der_limits(known: KnownProfiles, control_ids: Iterable[str]) -> KnownProfiles:
    """These controls are over."""
    over = {f"{DER_SOURCE}{control_id}" for control_id in control_ids}
    return replace(known, limits=tuple(one for one in known.limits if one.source not in over))


def periods_on(known: KnownProfiles, evse_id: EvseId, sessions: int) -> tuple[LimitPeriod, ...]:
    """Every stretch of a limit that binds a session on this EVSE; what binds the whole station is shared by its `sessions`."""
    everywhere = [one.periods for one in known.limits if one.evse_id == 0]
    everywhere += [one.profile.limits for one in known.foreign if one.evse_id == 0]
    here = [one.periods for one in known.limits if one.evse_id == evse_id != 0]
    here += [one.profile.limits for one in known.foreign if one.evse_id == evse_id != 0]
    together = tuple(period for periods in everywhere for period in periods)
    return (*shared(together, max(1, sessions)), *(period for periods in here for period in periods))
