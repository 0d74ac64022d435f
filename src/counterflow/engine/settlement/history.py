"""X of Y: what was drawn at each member's EVSE at the same time of day on earlier days of the same kind.

10 of 10 takes the mean of all ten days and shifts it by what today was like before the dispatch; high 5 of 10 takes the five days on which
the pool drew most. The days are chosen for the pool, the profile is each EVSE's own. A day on which nobody was plugged in is a day of 0 W.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.delivery import Stored
from counterflow.domain.ids import SessionUid
from counterflow.domain.settlement import BaselineMethod
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.settlement.around import mean_draw_w
from counterflow.engine.settlement.members import Member
from counterflow.engine.settlement.samples import MeterColumns, meter_columns
from counterflow.engine.settlement.session import MemberEnergy, member_energy
from counterflow.engine.settlement.settings import BaselineSettings, SettlementSettings
from counterflow.engine.settlement.target import Held

F8 = NDArray[np.float64]

_HIGH = 5
_MARGIN_S = 3600.0


class Days(NamedTuple):
    """Net import by earlier day, member and step of the window, Wh (D, N, S), and before the window, Wh (D, N)."""

    inside_wh: F8
    before_wh: F8


def history_plans(
    method: BaselineMethod,
    stored: Stored,
    members: Sequence[Member],
    energies: Sequence[MemberEnergy | None],
    until_s: float,
    settings: SettlementSettings,
) -> tuple[Held | None, ...]:
    """The plan of each member, W; None for all where no earlier day is kept."""
    start_s, terms = stored.instruction.start_s, settings.baselines
    edges_s = np.append(np.arange(start_s, until_s, terms.history_step_s), until_s)
    if not stored.past_days_s or len(edges_s) < 2:
        return (None,) * len(members)
    days = _days(stored, members, edges_s - start_s, settings)
    if method is BaselineMethod.HIGH_FIVE_OF_TEN:
        order = np.argsort(-days.inside_wh.sum(axis=(1, 2)), kind="stable")[:_HIGH]
        profile_wh, shift = days.inside_wh[order].mean(axis=0), 1.0
    else:
        profile_wh, shift = days.inside_wh.mean(axis=0), _same_day(days, energies, start_s, terms)
    levels_w = shift * profile_wh / (np.diff(edges_s) * WH_PER_WS)
    forever = np.full(len(edges_s) - 1, np.inf)
    return tuple(Held(edges_s[:-1], levels_w[row], forever) for row in range(len(members)))


def _same_day(days: Days, energies: Sequence[MemberEnergy | None], start_s: float, settings: BaselineSettings) -> float:
    """Today over the mean of the days, by what the pool drew before the window; bounded, 1 where it cannot be told."""
    today_w = [None if energy is None else mean_draw_w(energy, start_s - settings.around_s, start_s) for energy in energies]
    heard = np.array([level is not None for level in today_w])
    usual_wh = float(days.before_wh[:, heard].mean(axis=0).sum()) if heard.any() else 0.0
    if usual_wh <= 0.0:
        return 1.0
    today_wh = sum(level for level in today_w if level is not None) * settings.around_s * WH_PER_WS
    return float(np.clip(today_wh / usual_wh, 1.0 - settings.same_day_frac, 1.0 + settings.same_day_frac))


def _days(stored: Stored, members: Sequence[Member], offsets_s: F8, settings: SettlementSettings) -> Days:
    """Cut the history into days; sessions at one EVSE on one day add up."""
    place = {day_s: day for day, day_s in enumerate(stored.past_days_s)}
    rows: dict[tuple[str, int], list[int]] = defaultdict(list)
    for number, member in enumerate(members):
        rows[member.station_id, member.evse_id].append(number)
    shape = (len(place), len(members))
    inside_wh, before_wh = np.zeros((*shape, len(offsets_s) - 1)), np.zeros(shape)
    columns = meter_columns(stored.history, -np.inf, np.inf)
    for past in stored.past:
        on_day = place.get(past.day_start_s)
        # Of several cars at one EVSE in the course of the window, the history of the EVSE is the first one's: it is not counted twice.
        at_evse = rows.get((past.station_id, past.evse_id))
        if on_day is None or not at_evse or past.session_uid not in columns:
            continue
        at_s = past.day_start_s + np.append(-settings.baselines.around_s, offsets_s)
        energy = _past_energy(past.session_uid, columns[past.session_uid], float(at_s[0]), float(at_s[-1]), settings)
        if energy is None:
            continue
        steps_wh = np.diff(energy.imported.energy_at(at_s) - energy.exported.energy_at(at_s))
        before_wh[on_day, at_evse[0]] += steps_wh[0]
        inside_wh[on_day, at_evse[0]] += steps_wh[1:]
    return Days(inside_wh, before_wh)


def _past_energy(uid: SessionUid, columns: MeterColumns, from_s: float, to_s: float, settings: SettlementSettings) -> MemberEnergy | None:
    near = (columns.at_s >= from_s - _MARGIN_S) & (columns.at_s <= to_s + _MARGIN_S)
    member = Member(
        session_uid=uid,
        station_id="",
        transaction_id="",
        spans=((from_s, to_s),),
        since_s=from_s,
        joined_s=from_s,
        left_s=None,
        drop_out=None,
        setpoint_changes=0,
        setpoint_max_w=0.0,
        plan=(),
    )
    return member_energy(member, MeterColumns(*(column[near] for column in columns)), settings)
