"""Variables of stations that we set, and what they were before, so that a station can be given back as it was found.

Pure functions over one record a station; the caller stores what each returns. A former value is remembered before the message leaves,
and forgotten only once the station has it again, or surely never lost it.
"""

from collections.abc import Collection, Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from counterflow.domain.ids import EvseId, StationId

WHOLE_STATION: Final = EvseId(0)


class StationVariable(Struct, frozen=True, order=True):
    """One variable of a station's device model (OCPP 2.1 part 1, 4). `evse_id` 0 = of the station."""

    component: str
    name: str
    instance: str = ""
    evse_id: int = WHOLE_STATION

    def __str__(self) -> str:
        """As people write it: `SampledDataCtrlr.TxUpdatedInterval`, `V2XChargingCtrlr.TxUpdatedInterval[CentralSetpoint] of EVSE 1`."""
        instance = f"[{self.instance}]" if self.instance else ""
        evse = f" of EVSE {self.evse_id}" if self.evse_id else ""
        return f"{self.component}.{self.name}{instance}{evse}"


def same_value(one: str, other: str) -> bool:
    """Do two values mean the same? Lists have no order, and stations differ in letter case and blanks."""
    return _members(one) == _members(other)


def _members(value: str) -> frozenset[str]:
    return frozenset(member.strip().casefold() for member in value.split(",") if member.strip())


class ChangedSetting(Struct, frozen=True, kw_only=True):
    """A variable that we set: what it was, what we have set (newest last), and when first."""

    variable: StationVariable
    former: str
    ours: tuple[str, ...]
    set_at_s: float


class FormerSettings(Struct, frozen=True, kw_only=True):
    """All that we changed at one station (a document)."""

    station_id: StationId
    changes: tuple[ChangedSetting, ...] = ()


def remembered(known: FormerSettings, changes: Iterable[ChangedSetting]) -> FormerSettings:
    """`changes` are about to be sent. What was there before us stays remembered; a value that somebody else set since is the new former."""
    kept = {change.variable: change for change in known.changes}
    for change in changes:
        before = kept.get(change.variable)
        if before is not None and any(same_value(change.former, value) for value in (before.former, *before.ours)):
            older = tuple(value for value in before.ours if value not in change.ours)
            change = replace(before, ours=older + change.ours)
        kept[change.variable] = change
    return replace(known, changes=tuple(kept[variable] for variable in sorted(kept)))


def returned(known: FormerSettings, variables: Collection[StationVariable]) -> FormerSettings:
    """These have their former values again: forget them."""
    return replace(known, changes=tuple(change for change in known.changes if change.variable not in variables))


def refused(known: FormerSettings, variables: Collection[StationVariable], since_s: float) -> FormerSettings:
    """The station refused what was first sent at `since_s` or later: it never lost its former value. An older change stays remembered."""
    return returned(known, {change.variable for change in known.changes if change.variable in variables and change.set_at_s >= since_s})
