"""The clocks of stations against ours, by the least time between a meter value's timestamp and its arrival."""

from collections.abc import Sequence

import numpy as np

from counterflow.domain.delivery import Sample
from counterflow.domain.settlement import ClockSkew
from counterflow.engine.settlement.members import Member


def clock_skews(members: Sequence[Member], samples: Sequence[Sample], tolerated_s: float) -> tuple[ClockSkew, ...]:
    """One entry a station of which arrivals are kept, by its id. A message is never early: what is least is the clock, and a short way."""
    station = {member.session_uid: member.station_id for member in members}
    least_s: dict[str, float] = {}
    for sample in samples:
        name = station.get(sample.session_uid)
        late_s = sample.received_s - sample.at_s
        if name is not None and np.isfinite(late_s):
            least_s[name] = min(late_s, least_s.get(name, np.inf))
    return tuple(
        ClockSkew(station_id=name, behind_s=behind_s, flagged=abs(behind_s) > tolerated_s) for name, behind_s in sorted(least_s.items())
    )
