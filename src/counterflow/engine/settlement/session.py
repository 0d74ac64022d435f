"""One member's energy: its two curves, when its meter was heard, and how sure we are."""

from collections.abc import Callable
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.delivery import Gap
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.settlement.curve import Curve, energy_curve, nodes
from counterflow.engine.settlement.members import Member
from counterflow.engine.settlement.samples import MeterColumns
from counterflow.engine.settlement.settings import SettlementSettings

F8 = NDArray[np.float64]
B1 = NDArray[np.bool_]

_STEPPED = 1.0 / np.sqrt(12.0)
"""Standard deviation of a uniform error of full width 1."""


class _Limits(TypedDict):
    power_max_w: float
    gap_s: float
    anchors_s: F8


class Spread(NamedTuple):
    """Standard uncertainty in Wh: what is independent between sessions, and what all of them may share."""

    own_wh: float
    shared_wh: float


class MemberEnergy(NamedTuple):
    """A member with its curves. `heard_s` (N,) and `heard_total_s` (N,) are nodes of the cumulative time covered by meter data;
    `counted_s` (K,), `known_total_s` (K,) and `firm_total_s` (K,) of the time whose energy is counted, and vouched for."""

    member: Member
    exported: Curve
    imported: Curve
    heard_s: F8
    heard_total_s: F8
    gap_s: float
    counted_s: F8
    known_total_s: F8
    firm_total_s: F8

    def metered_s(self, at_s: F8) -> F8:
        """Cumulative seconds with meter data up to each instant, (M,)."""
        return np.interp(at_s, self.heard_s, self.heard_total_s)

    def known_s(self, at_s: F8) -> F8:
        """Cumulative seconds of which the energy is counted, by registers or by power, up to each instant, (M,)."""
        return np.interp(at_s, self.counted_s, self.known_total_s)

    def of_known(self, at_s: F8, cumulative: Callable[[F8], tuple[F8, F8]]) -> F8:
        """The part of another curve, whose integral is the first of `cumulative`, that lies in time of which the energy is counted: up to
        each instant, (M,)."""
        if len(self.counted_s) < 2:
            return np.zeros(len(at_s))
        known = np.diff(self.known_total_s) > 0.0
        nodes = cumulative(self.counted_s)[0]
        before = np.concatenate(([0.0], np.cumsum(np.where(known, np.diff(nodes), 0.0))))
        piece = np.clip(np.searchsorted(self.counted_s, at_s, side="right") - 1, 0, len(known) - 1)
        inside = cumulative(np.clip(at_s, self.counted_s[0], self.counted_s[-1]))[0] - nodes[piece]
        return before[piece] + np.where(known[piece], inside, 0.0)

    def firm_s(self, at_s: F8) -> F8:
        """Cumulative seconds with meter data, the energy of which registers tell, up to each instant, (M,)."""
        return np.interp(at_s, self.counted_s, self.firm_total_s)


def member_energy(member: Member, columns: MeterColumns, settings: SettlementSettings) -> MemberEnergy | None:
    """Curves of one member; None without any sample."""
    at_s = columns.at_s
    if len(at_s) == 0:
        return None
    lengths_s = np.diff(at_s)
    usual_s = float(np.median(lengths_s)) if len(lengths_s) else 0.0
    gap_s = max(settings.gap_min_s, settings.gap_intervals * usual_s)
    seen_w = float(np.nanmax(np.abs(columns.power_w))) if np.isfinite(columns.power_w).any() else 0.0
    power_max_w = max(settings.plausible_power_w, seen_w, member.setpoint_max_w)
    anchors_s = np.array([edge for span in member.spans for edge in span])
    limits: _Limits = {"power_max_w": power_max_w, "gap_s": gap_s, "anchors_s": anchors_s}
    at = nodes(columns)
    exported = energy_curve(at, exported=True, **limits)
    imported = energy_curve(at, exported=False, **limits)
    heard = lengths_s <= gap_s
    known, firm = _backed(exported, imported)
    pieces_s = np.diff(exported.at_s)
    inside = np.searchsorted(at_s, 0.5 * (exported.at_s[:-1] + exported.at_s[1:]), side="right") - 1
    return MemberEnergy(
        member=member,
        exported=exported,
        imported=imported,
        heard_s=at_s,
        heard_total_s=_running(lengths_s, heard),
        gap_s=gap_s,
        counted_s=exported.at_s,
        known_total_s=_running(pieces_s, known),
        firm_total_s=_running(pieces_s, firm & heard[inside]),
    )


def _running(lengths_s: F8, chosen: B1) -> F8:
    return np.concatenate(([0.0], np.cumsum(np.where(chosen, lengths_s, 0.0))))


def _backed(exported: Curve, imported: Curve) -> tuple[B1, B1]:
    """Which pieces are counted at all, and which by registers. A direction without a single register is told by power, if by anything."""
    read = [curve for curve in (exported, imported) if curve.by_register.any()]
    if not read:
        return exported.by_power, np.zeros(len(exported.by_power), dtype=np.bool_)
    known = np.logical_and.reduce([curve.by_register | curve.by_power for curve in read])
    return known, np.logical_and.reduce([curve.by_register for curve in read])


def gaps(energy: MemberEnergy) -> tuple[Gap, ...]:
    """Stretches of the member's time without meter data that are longer than its gap limit."""
    at_s = energy.heard_s
    found: list[Gap] = []
    silent = np.flatnonzero(np.diff(at_s) > energy.gap_s)
    stretches = [(float(at_s[k]), float(at_s[k + 1])) for k in silent]
    for from_s, to_s in energy.member.spans:
        parts = [(max(a, from_s), min(b, to_s), _bridged(energy, a, b)) for a, b in stretches]
        head, tail = min(float(at_s[0]), to_s), max(float(at_s[-1]), from_s)
        if head - from_s > energy.gap_s:
            parts.append((from_s, head, False))
        if to_s - tail > energy.gap_s:
            parts.append((tail, to_s, False))
        found += [
            Gap(session_uid=energy.member.session_uid, from_s=a, to_s=b, bridged_by_register=bridged)
            for a, b, bridged in parts
            if b - a > 0.0
        ]
    return tuple(sorted(found, key=lambda gap: gap.from_s))


def _bridged(energy: MemberEnergy, from_s: float, to_s: float) -> bool:
    middle = np.searchsorted(energy.exported.at_s, 0.5 * (from_s + to_s)) - 1
    return bool(energy.exported.by_register[middle])


def power_only_wh(curve: Curve, member: Member) -> float:
    """Energy inside the member's spans that no register backs."""
    return float(sum(np.sum(_piece_wh(curve, a, b)[curve.by_power]) for a, b in member.spans))


def spread(energy: MemberEnergy, *, count_import: bool) -> Spread:
    """Standard uncertainty of one member's delivered energy. The rule (report figures are twice this, about 95 %):

    - meter resolution r: two truncated readings, r/sqrt(6), once a span and direction; r is the coarsest decimal step in the readings;
    - boundary: where a span begins or ends between two samples, a change of power dP drawn as a ramp of length w may really have been
      a step, so the split is known to dP w/6, as a uniform error; without power, to the smaller share; shared, since a whole fleet
      changes at the same instants, so it adds up linearly over sessions;
    - power only: dP h / sqrt(12) for each interval, as a step at any instant; half the largest power for dP where it is longer than a gap;
    - unknown stretches, and the time for which the car was lost to sight: anything from nothing to the largest power seen, uniform.
    The accuracy class of the meter itself is not in it.
    """
    curves = (energy.exported, energy.imported) if count_import else (energy.exported,)
    variance, shared = 0.0, 0.0
    for curve in curves:
        peak_w = float(curve.rate_w.max(initial=0.0))
        if curve is energy.exported:
            peak_w = max(peak_w, energy.member.setpoint_max_w)
        for from_s, to_s in energy.member.spans:
            if curve.by_register.any():
                variance += curve.resolution_wh**2 / 6.0
            variance += _inside_variance(curve, from_s, to_s, peak_w, energy.gap_s)
            shared += _boundary_wh(curve, energy.heard_s, from_s) + _boundary_wh(curve, energy.heard_s, to_s)
        for from_s, to_s in energy.member.unseen:
            variance += _unknown_variance(peak_w, to_s - from_s)
    return Spread(float(np.sqrt(variance)), shared)


def _piece_wh(curve: Curve, from_s: float, to_s: float) -> F8:
    return np.diff(curve.energy_at(np.clip(curve.at_s, from_s, to_s)))


def _inside_variance(curve: Curve, from_s: float, to_s: float, peak_w: float, gap_s: float) -> float:
    clipped_s = np.clip(curve.at_s, from_s, to_s)
    length_s = np.diff(clipped_s)
    change_w = np.abs(curve.slope_w_per_s) * np.diff(curve.at_s)
    change_w = np.where(np.diff(curve.at_s) > gap_s, np.maximum(change_w, 0.5 * peak_w), change_w)
    power_wh = np.where(curve.by_power, change_w * length_s, 0.0) * (_STEPPED * WH_PER_WS)
    known = curve.by_power | curve.by_register
    unknown_s = (to_s - from_s) - float(np.sum(length_s[known]))
    return float(np.sum(power_wh**2)) + _unknown_variance(peak_w, unknown_s)


def _unknown_variance(peak_w: float, unknown_s: float) -> float:
    return (peak_w * unknown_s * WH_PER_WS) ** 2 / 3.0


def _boundary_wh(curve: Curve, sampled_s: F8, at_s: float) -> float:
    """Standard uncertainty of the split at one instant; nothing at a sample, or where there are none around it."""
    after = int(np.searchsorted(sampled_s, at_s))
    if not 0 < after < len(sampled_s) or sampled_s[after] == at_s:
        return 0.0
    first, last = np.searchsorted(curve.at_s, sampled_s[after - 1 : after + 1])
    if curve.by_time[first]:
        after = int(np.searchsorted(curve.reading_s, at_s, side="right"))
        around = curve.energy_at(np.array([curve.reading_s[after - 1], at_s, curve.reading_s[after]]))
        return float(min(around[1] - around[0], around[2] - around[1]) / np.sqrt(3.0))
    ramps = np.abs(curve.slope_w_per_s[first:last]) * np.diff(curve.at_s[first : last + 1]) ** 2
    return float(np.sum(ramps)) / 6.0 * WH_PER_WS / float(np.sqrt(3.0))
