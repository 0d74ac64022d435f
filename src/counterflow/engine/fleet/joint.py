"""Cars that could each still charge in time, one by one, may not all be able to behind one connection (control.md 1.5).

Every car is a job: it needs so many seconds at its full charging power, and leaves at a known time. All may begin at once, so the jobs can
be done inside an import limit P exactly if, for every m, what cannot be put off beyond m fits into it:
`f(m) = sum max(0, e_i - p_i * max(0, D_i - m)) <= P * m`. f is a broken line whose slope is the sum of the powers of the cars that have
no slack left at m, so it is enough to look at its corners. Each limited group above a car, a phase too, is asked by itself.
"""

from collections.abc import Callable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from counterflow.engine.fleet.promise import Joint
from counterflow.engine.fleet.reckoning import Reckoning, recharge_per_s
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage
from counterflow.engine.fleet.topology import PHASE_SHARES, Topology

Rows = NDArray[np.intp]

UNKNOWN_CHARGE_W = 22_000.0
"""Charging power of a car that never told its own."""
_STEPS = 8
"""Halvings; the answer errs to the short side by at most 1/256 of the window."""
_SHARES = (0.75, 0.5, 0.25)


class Jobs(Struct, frozen=True, kw_only=True):
    """Pairs (K,) of a car and a limited group that it loads: all of its power or the share on a phase.

    `slack_s` is the time to departure less the time at full power, `due_s` the time to departure, `wears` what a second of discharge costs
    of the slack on top of itself. `room_w` is (G,).
    """

    row: Rows
    group: Rows
    power_w: F8
    slack_s: F8
    due_s: F8
    wears: F8
    room_w: F8

    def of_groups(self, wanted: B1) -> "Jobs":
        """Only those of some groups (G,)."""
        keep = np.flatnonzero(wanted[self.group])
        columns = {name: getattr(self, name)[keep] for name in self.__struct_fields__ if name != "room_w"}
        return Jobs(room_w=self.room_w, **columns)

    def fit(self, after_s: F8, discharging: F8) -> B1:
        """Groups (G,) whose cars can all still charge in time when `discharging` (K,), as a share of full power, go on for `after_s` (G,)
        and no car charges in that time. None of those may use up its own slack."""
        passes_s = after_s[self.group]
        slack_s = self.slack_s - passes_s * (1.0 + discharging * self.wears)
        ok = recoverable(slack_s, self.due_s - passes_s, self.power_w, self.group, self.room_w)
        ok[self.group[(discharging > 0.0) & (slack_s < -1e-6)]] = False
        return ok


def recoverable(slack_s: F8, due_s: F8, power_w: F8, group: Rows, room_w: F8) -> B1:
    """Whether each group (G,) can charge all its jobs (K,) in time: job i needs `power_w` for `due_s - slack_s` seconds before `due_s`.

    A job that is late already counts as one that charges from now until it leaves; one that has left is none.
    """
    due_s = np.maximum(due_s, 0.0)
    slack_s = np.clip(slack_s, 0.0, due_s)
    at_s, slope_w, where = np.concatenate([slack_s, due_s]), np.concatenate([power_w, -power_w]), np.concatenate([group, group])
    order = np.lexsort((at_s, where))
    at_s, slope_w, where = at_s[order], slope_w[order], where[order]
    ok = np.ones(len(room_w), dtype=np.bool_)
    if at_s.size == 0:
        return ok
    first = np.concatenate([[True], where[1:] != where[:-1]])
    start = np.flatnonzero(first)[np.cumsum(first) - 1]
    total_w = np.cumsum(slope_w)
    before_w = total_w - slope_w
    drawn_w = before_w - before_w[start]
    length_s = np.where(first, 0.0, np.diff(at_s, prepend=at_s[0]))
    energy_ws = np.cumsum(drawn_w * length_s)
    energy_ws -= energy_ws[start]
    allowed_ws = room_w[where] * at_s
    ok[where[energy_ws > allowed_ws + 1e-6 * np.abs(allowed_ws) + 0.01]] = False
    return ok


def jointly(
    image: FleetImage,
    topology: Topology,
    reckoned: Reckoning,
    settings: CapabilitySettings,
    *,
    laxity_s: F8,
    guard_s: F8,
    power_w: F8,
    sustained_w: Callable[[], F8],
    pauses: B1,
    before: B1,
    window_s: float,
) -> Joint | None:
    """Hold the fleet against its import limits; None where no limit can matter. `power_w` (N,): what each row may be discharged at;
    `pauses` (N,): rows whose charging may be slowed or paused instead.

    The cars that have least time are blocked first, and no more than it takes. `before` are rows that had to charge at the last look:
    they are not let go on before time was won.
    """
    jobs = _jobs(image, topology, reckoned, settings, laxity_s, power_w, pauses)
    if jobs is None:
        return None
    groups, rows = len(jobs.room_w), len(image)
    ahead_s = np.zeros(groups)
    np.maximum.at(ahead_s, jobs.group, guard_s[jobs.row] / (1.0 + jobs.wears))
    runs = (power_w > 0.0).astype(np.float64)
    run_s, share = np.full(rows, np.inf), np.ones(rows)
    blocked = _blocked(jobs, ahead_s, runs, pauses, laxity_s, before, settings.laxity_hysteresis_s)
    runs = np.where(blocked, 0.0, runs)
    until_s = np.full(groups, window_s)
    tight = ~jobs.fit(until_s, runs[jobs.row])
    if not tight.any():
        return Joint(blocked, run_s, share)
    jobs = jobs.of_groups(tight)
    np.minimum.at(run_s, jobs.row, _longest_s(jobs, until_s, runs[jobs.row])[jobs.group])
    np.minimum.at(share, jobs.row, _largest_share(jobs, until_s, runs, sustained_w() / np.maximum(power_w, 1.0))[jobs.group])
    return Joint(blocked, run_s, share)


def _jobs(
    image: FleetImage, topology: Topology, reckoned: Reckoning, settings: CapabilitySettings, laxity_s: F8, power_w: F8, pauses: B1
) -> Jobs | None:
    """The jobs of all groups that could not charge all their cars at once; None = there is no such group."""
    room_w = np.maximum(0.0, topology.import_room_w(image.at_s))
    if np.isinf(room_w).all() or not image.occupied.any():
        return None
    row, group, share = _pairs(image, topology, np.isfinite(room_w))
    charge_w = np.where(np.isnan(image.max_charge_w), UNKNOWN_CHARGE_W, image.max_charge_w)
    due_s = image.departure_s - image.at_s - settings.laxity_margin_s
    known = ~np.isnan(laxity_s) & ~np.isnan(due_s)
    # Of a car whose needs are not known nothing can be promised; what it draws is taken off the limit.
    draws_w = np.where(known, 0.0, np.where(np.isnan(image.power_w), charge_w, np.maximum(image.power_w, 0.0)))
    room_w = np.maximum(0.0, room_w - np.bincount(group, weights=draws_w[row] * share, minlength=len(room_w)))
    together_w = np.bincount(group, weights=np.where(known, charge_w, 0.0)[row] * share, minlength=len(room_w))
    asked = np.zeros(len(room_w), dtype=np.bool_)
    asked[group[(power_w[row] > 0.0) | pauses[row]]] = True
    keep = known[row] & (asked & (together_w > room_w))[group]
    if not keep.any():
        return None
    row, group, share = row[keep], group[keep], share[keep]
    wears = recharge_per_s(reckoned, power_w, settings)
    return Jobs(
        row=row,
        group=group,
        power_w=charge_w[row] * share,
        slack_s=laxity_s[row],
        due_s=due_s[row],
        wears=np.where(np.isnan(wears), 0.0, wears)[row],
        room_w=room_w,
    )


def _pairs(image: FleetImage, topology: Topology, limited: B1) -> tuple[Rows, Rows, F8]:
    """Every occupied row with every limited group that it loads, and its share there."""
    rows = np.flatnonzero(image.occupied)
    leaf = image.site[rows].astype(np.intp) + topology.first_site
    found: list[tuple[Rows, Rows, F8]] = []
    above = leaf
    while (inside := above >= 0).any():
        here = inside & limited[above]
        found.append((rows[here], above[here], np.ones(int(here.sum()))))
        above = np.where(inside, topology.parent[above], -1)
    if topology.phased:
        first, shares = topology.first_phase[leaf], PHASE_SHARES[image.supply[rows]]
        for phase in range(3):
            here = (first >= 0) & (shares[:, phase] > 0.0) & limited[first + phase]
            found.append((rows[here], first[here] + phase, shares[here, phase]))
    row, group, share = (np.concatenate(column) for column in zip(*found, strict=True))
    return row, group, share


def _blocked(jobs: Jobs, ahead_s: F8, runs: F8, pauses: B1, laxity_s: F8, before: B1, hysteresis_s: float) -> B1:
    """The fewest cars of least laxity in each group that must not go on for `ahead_s` (G,) more; all of them where even that is not enough.
    Those that were blocked before come first, and stay so until time was won."""
    groups, rows = len(jobs.room_w), len(runs)
    blocked = np.zeros(rows, dtype=np.bool_)
    held = before & (runs > 0.0)
    tight = ~jobs.fit(ahead_s + (hysteresis_s if held.any() else 0.0), runs[jobs.row])
    if not tight.any():
        return blocked
    jobs = jobs.of_groups(tight)
    order = np.lexsort((laxity_s[jobs.row], ~held[jobs.row], runs[jobs.row] <= 0.0, jobs.group))
    sizes = np.bincount(jobs.group, minlength=groups)
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    least = _fewest(jobs, ahead_s, runs, place)
    kept = np.bincount(jobs.group, weights=held[jobs.row], minlength=groups).astype(np.intp)
    if kept.any():
        least = np.maximum(least, np.minimum(kept, _fewest(jobs, ahead_s + hysteresis_s, runs, place)))
    blocked[jobs.row[(place < least[jobs.group]) & ((runs > 0.0) | pauses)[jobs.row]]] = True
    return blocked


def _fewest(jobs: Jobs, ahead_s: F8, runs: F8, place: Rows) -> Rows:
    """How many of each group (G,), by `place` (K,), must stand back so that the rest may go on for `ahead_s`; all, where none would do."""
    sizes = np.bincount(jobs.group, minlength=len(jobs.room_w)).astype(np.intp)
    many = np.where(jobs.fit(ahead_s, runs[jobs.row]), 0, sizes)
    few = np.zeros_like(many)
    while (many - few > 1).any():
        middle = (few + many) // 2
        ok = jobs.fit(ahead_s, np.where(place < middle[jobs.group], 0.0, runs[jobs.row]))
        few, many = np.where(ok, few, middle), np.where(ok, middle, many)
    return many


def _longest_s(jobs: Jobs, until_s: F8, runs: F8) -> F8:
    """How long `runs` (K,) may go on in each group (G,), inf where it is at least `until_s`: until the first of them has used up its own
    slack, or sooner where not all could charge then."""
    first_s = np.full(len(until_s), np.inf)
    going = runs > 0.0
    np.minimum.at(first_s, jobs.group[going], np.maximum(jobs.slack_s[going], 0.0) / (1.0 + runs[going] * jobs.wears[going]))
    most_s = np.minimum(first_s, until_s)
    answer_s = np.where(first_s < until_s, first_s, np.inf)
    short = ~jobs.fit(most_s, runs)
    if not short.any():
        return answer_s
    kept = short[jobs.group]
    jobs, runs = jobs.of_groups(short), runs[kept]
    low_s, high_s = np.zeros(len(until_s)), most_s
    for _ in range(_STEPS):
        middle_s = 0.5 * (low_s + high_s)
        ok = jobs.fit(middle_s, runs)
        low_s, high_s = np.where(ok, middle_s, low_s), np.where(ok, high_s, middle_s)
    return np.where(short, low_s, answer_s)


def _largest_share(jobs: Jobs, until_s: F8, runs: F8, sustained: F8) -> F8:
    """Share of its sustained power that every row of a group could hold for `until_s`, all together (G,)."""
    share, unsettled = np.zeros(len(until_s)), np.ones(len(until_s), dtype=np.bool_)
    for one in (1.0, *_SHARES):
        ok = jobs.fit(until_s, (one * runs * np.fmin(sustained, 1.0))[jobs.row]) & unsettled
        share[ok], unsettled = one, unsettled & ~ok
        jobs = jobs.of_groups(unsettled)
        if jobs.row.size == 0:
            break
    return share
