"""The figures behind each change of a tick: what was missing, whose turn it was, and what set size and end of the order.

Nothing is worked out in the tick itself: this is asked when a change is handed out and written down.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from counterflow.domain.delivery import Why
from counterflow.domain.reasons import Bound, ChangeReason, EndedBy
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.control.decision import SetpointChange
from counterflow.engine.control.plan import Plan
from counterflow.engine.control.scene import Scene
from counterflow.engine.dispatch.limits import Rows
from counterflow.engine.dispatch.merit import discharge_laxity_s
from counterflow.engine.fleet.snapshot import F8, I8

_NEAR_W = 1.0
_NEAR_S = 1.5
_COUNTED_EACH = 100
"""For up to so many changes counting who ranks before each is cheaper than sorting the fleet."""


class TickGrounds:
    """Of one tick."""

    def __init__(self, scene: Scene, plan: Plan) -> None:
        self._scene = scene
        self._plan = plan

    def of(self, changes: Sequence[SetpointChange]) -> Iterator[Why]:
        """The figures behind each of these changes, in their order."""
        if not changes:
            return
        scene = self._scene
        rows = np.array([change.row for change in changes])
        until_s = np.array([change.discharge_until_s for change in changes])
        reasons = np.array([change.reason for change in changes])
        able = scene.capability
        useful_s = np.fmin(np.fmax(able.useful_until_s[rows], scene.now_s), scene.window_end_s)
        energy_wh = np.fmax(able.energy_wh[rows], 0.0)
        laxity_s = discharge_laxity_s(scene.cap_w[rows], energy_wh, useful_s, scene.now_s, scene.window_end_s)
        place, ranked = self._places(rows)
        target_w, gap_w = round(scene.target_w), round(scene.target_w - float(scene.delivers_w.sum()))
        columns = (
            scene.level_w[rows],
            place,
            laxity_s,
            self._bounds(rows, reasons),
            self._ends(rows, until_s, energy_wh),
            able.reason_in(scene.task.instruction.mode)[rows],
        )
        for was_w, its_place, could_wait_s, bound, ended_by, reason in zip(*(column.tolist() for column in columns), strict=True):
            yield Why(
                0.0,
                target_w,
                gap_w,
                None if was_w != was_w else round(was_w),
                its_place,
                ranked,
                round(could_wait_s) if could_wait_s < 1e9 else None,
                bound,
                ended_by,
                reason,
            )

    def _places(self, rows: Rows) -> tuple[I8, int]:
        """The place of each row in the order of merit, if the tick has drawn one up, and among how many."""
        scene = self._scene
        rank = scene.__dict__.get("rank")
        able = scene.cap_w > 0.0
        if rank is None or scene.first:
            return np.zeros(len(rows), dtype=np.int64), 0
        ranks = rank[able]
        if len(rows) <= _COUNTED_EACH:
            place = np.array([1 + np.count_nonzero(ranks < own) for own in rank[rows].tolist()], dtype=np.int64)
        else:
            place = 1 + np.searchsorted(np.sort(ranks), rank[rows], side="left").astype(np.int64)
        return np.where(able[rows], place, 0), len(ranks)

    def _bounds(self, rows: Rows, reasons: I8) -> I8:
        """`Bound` of each row (K,)."""
        scene, plan = self._scene, self._plan
        level_w, cap_w, min_w = plan.level_w[rows], scene.cap_w[rows], scene.min_w[rows]
        short = scene.target_w - float(plan.delivers_w.sum()) > scene.band_w
        bound = np.full(len(rows), int(Bound.TARGET))
        bound = np.where(np.abs(level_w - min_w) <= _NEAR_W, int(Bound.LEAST_POWER), bound)
        bound = np.where(short & scene.limited & (level_w < cap_w - _NEAR_W), int(Bound.SITE), bound)
        bound = np.where(level_w >= cap_w - _NEAR_W, int(Bound.OWN_POWER), bound)
        bound = np.where(level_w <= 0.0, int(Bound.NOTHING), bound)
        bound = np.where(reasons == ChangeReason.SITE_LIMIT, int(Bound.SITE), bound)
        bound = np.where(reasons == ChangeReason.FLOOR_OR_DEPARTURE, int(Bound.CAR), bound)
        result: I8 = np.where(scene.reduces[rows], int(Bound.CHARGING), bound)
        return result

    def _ends(self, rows: Rows, until_s: F8, energy_wh: F8) -> I8:
        """`EndedBy` of each row (K,)."""
        scene = self._scene
        level_w, run_s = np.fmax(self._plan.level_w[rows], 0.0), until_s - scene.now_s
        with np.errstate(divide="ignore", invalid="ignore"):
            lasts_s = np.where(level_w > 0.0, energy_wh / (level_w * WH_PER_WS), np.inf)
        ended = np.full(len(rows), int(EndedBy.DEPARTURE))
        ended = np.where(np.abs(scene.capability.open_s[rows] - run_s) <= _NEAR_S, int(EndedBy.BLACKOUT), ended)
        ended = np.where(np.abs(lasts_s - run_s) <= _NEAR_S, int(EndedBy.ENERGY), ended)
        result: I8 = np.where(until_s >= scene.window_end_s - _NEAR_S, int(EndedBy.WINDOW), ended)
        return result
