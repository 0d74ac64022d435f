"""The three phases of a site: limits that overlap, since a three-phase car loads each of them by a third (control.md 1.5).

A car whose phase nobody named counts in full on every phase. The fill in proportion is max-min fair: all rise together until a phase
is full, and whoever is on it stops there; no car could then be raised without another being lowered.
"""

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.resources import Supply
from counterflow.engine.dispatch.water import levels_of
from counterflow.engine.fleet.snapshot import F8, I1
from counterflow.engine.fleet.topology import PHASE_SHARES

Rows = NDArray[np.intp]


def fill_phases(caps_w: F8, weights: F8, first_phase: Rows, supply: I1, cap_w: F8) -> None:
    """Lower `caps_w` (N,) where phases bind, in proportion to `weights`. `first_phase` (N,): the group of L1, or -1."""
    rows = _on_bound_phases(caps_w, first_phase, supply, cap_w)
    if rows.size == 0:
        return
    first, shares, weight, cap = first_phase[rows], PHASE_SHARES[supply[rows]], weights[rows], caps_w[rows]
    room_w = cap_w.copy()
    still = np.ones(rows.size, dtype=np.bool_)
    # Each round fills up at least one phase of every site that has one left to fill.
    for _ in range(3):
        level = np.full((len(cap_w), 3), np.inf)
        for phase in range(3):
            on = np.flatnonzero(still & (shares[:, phase] > 0.0))
            if on.size:
                share = shares[on, phase]
                level[:, phase] = _shifted(levels_of(cap[on] * share, weight[on] * share, first[on] + phase, room_w), phase)
        lowest = level.min(axis=1)
        full = level == lowest[:, None]
        stops = still & np.isfinite(lowest[first]) & ((shares > 0.0) & full[first]).any(axis=1)
        if not stops.any():
            break
        cap[stops] = np.minimum(cap[stops], weight[stops] * lowest[first[stops]])
        still &= ~stops
        for phase in range(3):
            used_w = np.bincount(first[stops] + phase, weights=cap[stops] * shares[stops, phase], minlength=len(cap_w))
            room_w = np.maximum(0.0, room_w - used_w)
    caps_w[rows] = cap


def phases_in_order(caps_w: F8, rank: F8, first_phase: Rows, supply: I1, cap_w: F8) -> None:
    """Lower `caps_w` (N,) where phases bind, the greatest `rank` first to go: each car takes what those before it left."""
    rows = _on_bound_phases(caps_w, first_phase, supply, cap_w)
    if rows.size == 0:
        return
    rows = rows[np.lexsort((rank[rows], first_phase[rows]))]
    starts = np.flatnonzero(np.concatenate([[True], first_phase[rows][1:] != first_phase[rows][:-1]]))
    place = np.arange(rows.size) - np.repeat(starts, np.diff(np.append(starts, rows.size)))
    in_turn = np.argsort(place, kind="stable")
    turns = np.split(rows[in_turn], np.cumsum(np.bincount(place))[:-1])
    room_w = cap_w.copy()
    # One turn serves the next car of every site at once, so that this takes as many steps as the largest site has cars.
    for turn in turns:
        first, shares = first_phase[turn], PHASE_SHARES[supply[turn]]
        on = first[:, None] + np.arange(3)
        let_w = np.divide(room_w[on], shares, out=np.full(shares.shape, np.inf), where=shares > 0.0).min(axis=1)
        caps_w[turn] = np.minimum(caps_w[turn], let_w)
        room_w[on] = np.maximum(0.0, room_w[on] - caps_w[turn, None] * shares)


def through_phases_w(caps_w: F8, group: Rows, supply: I1, first_phase: Rows, cap_w: F8) -> F8:
    """The most that the rows of each leaf can give through its phases (G,): three-phase cars first, since each watt of theirs takes
    the least of the fullest phase, cars of unknown phase last."""
    groups = len(cap_w)
    by_supply = np.zeros((len(PHASE_SHARES), groups))
    for kind in Supply:
        by_supply[kind] = np.bincount(group, weights=np.where(supply == kind, caps_w, 0.0), minlength=groups)
    through_w: F8 = by_supply.sum(axis=0)
    leaves = np.flatnonzero(first_phase >= 0)
    room_w = cap_w[first_phase[leaves][:, None] + np.arange(3)]
    three_w = np.minimum(by_supply[Supply.THREE_PHASE, leaves], 3.0 * room_w.min(axis=1))
    room_w = np.maximum(0.0, room_w - three_w[:, None] / 3.0)
    single_w = np.minimum(by_supply[[Supply.L1, Supply.L2, Supply.L3]][:, leaves].T, room_w)
    room_w = room_w - single_w
    through_w[leaves] = three_w + single_w.sum(axis=1) + np.minimum(by_supply[Supply.UNKNOWN, leaves], room_w.min(axis=1))
    return through_w


def _on_bound_phases(caps_w: F8, first_phase: Rows, supply: I1, cap_w: F8) -> Rows:
    """Rows with a cap at leaves of which a phase binds."""
    rows = np.flatnonzero((first_phase >= 0) & (caps_w > 0.0))
    first, shares = first_phase[rows], PHASE_SHARES[supply[rows]]
    binds = np.zeros(len(cap_w), dtype=np.bool_)
    for phase in range(3):
        used_w = np.bincount(first + phase, weights=caps_w[rows] * shares[:, phase], minlength=len(cap_w))
        binds |= _shifted(used_w > cap_w, phase)
    return rows[binds[first]]


def _shifted(column: NDArray, phase: int) -> NDArray:  # type: ignore[type-arg]  # columns of several types
    """What stands at the group of `phase` as seen from the group of L1."""
    return np.roll(column, -phase)
