"""Who of the cars that forecasts count on is still there, looked at now and then: once for all forecasts that were made together."""

from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from counterflow.app.offers.offering import Question
from counterflow.domain.reasons import Reason
from counterflow.engine.fleet.capability import LEAST_DRAW_W, Capability
from counterflow.engine.fleet.eligibility import is_reducible
from counterflow.engine.fleet.snapshot import B1, F8, I8, FleetImage

EMPTIED = (Reason.BELOW_FLOOR, Reason.DISCHARGE_CAP, Reason.MUST_CHARGE, Reason.MUST_CHARGE_TOGETHER, Reason.BELOW_MIN_POWER)
"""Reasons that an order of ours may have brought about: such a car was there."""
PAUSED = (Reason.PAUSED_ENOUGH, Reason.MUST_CHARGE, Reason.MUST_CHARGE_TOGETHER, Reason.NEED_UNKNOWN)
"""The same for a car that is slowed or paused: what it needs is not known until it draws again."""


class Seen(NamedTuple):
    """What was seen of the cars of one forecast, each (K,): epoch seconds, inf = not yet."""

    gone_at_s: F8
    spared_until_s: F8
    idle_at_s: F8
    dispatched: B1
    answer: F8


class Watched(Struct, kw_only=True):
    """All cars that some forecast of one time counts on, by their rows in the image, arrays (N,). Mutable."""

    made_at_s: float
    uid: I8
    """0 = nobody counts on this row."""
    gone_at_s: F8
    """When it was seen that it could not be discharged any more; inf = it can."""
    spared_until_s: F8
    """When it was seen that its charging could not be slowed or paused any more."""
    idle_at_s: F8
    """When it was seen that it drew nothing any more, without an order of ours."""
    dispatched: B1
    """Which were in a dispatch at some time."""
    answer: F8
    """What each gave of what it was asked for, when seen last; NaN = it was not asked, or had not settled."""

    @classmethod
    def nobody(cls, made_at_s: float) -> "Watched":
        """Nobody is counted on yet."""
        return cls(
            made_at_s=made_at_s,
            uid=np.zeros(0, dtype=np.int64),
            gone_at_s=np.zeros(0),
            spared_until_s=np.zeros(0),
            idle_at_s=np.zeros(0),
            dispatched=np.zeros(0, dtype=np.bool_),
            answer=np.zeros(0),
        )

    def add(self, rows: NDArray[np.intp], uid: I8) -> None:
        """Watch the sessions `uid` (K,) in these rows, too; one that is watched already goes on to be."""
        more = int(rows[-1]) + 1 - len(self.uid) if len(rows) else 0
        if more > 0:
            self.uid = np.concatenate([self.uid, np.zeros(more, dtype=np.int64)])
            self.gone_at_s, self.spared_until_s, self.idle_at_s = (
                np.concatenate([column, np.full(more, np.inf)]) for column in (self.gone_at_s, self.spared_until_s, self.idle_at_s)
            )
            self.dispatched = np.concatenate([self.dispatched, np.zeros(more, dtype=np.bool_)])
            self.answer = np.concatenate([self.answer, np.full(more, np.nan)])
        fresh = rows[self.uid[rows] != uid]
        self.uid[rows] = uid
        self.gone_at_s[fresh] = self.spared_until_s[fresh] = self.idle_at_s[fresh] = np.inf
        self.dispatched[fresh], self.answer[fresh] = False, np.nan

    def look(self, image: FleetImage, able: Capability, owned: B1, answers: F8, seen_s: float) -> None:
        """Who is there now; `owned` (N,) are held by a dispatch. Who is not was there until `seen_s`."""
        count = min(len(self.uid), len(image))  # a session keeps its row for as long as it lives
        here = np.zeros(len(self.uid), dtype=np.bool_)
        here[:count] = (image.uid[:count] == self.uid[:count]) & (self.uid[:count] != 0)
        rows = np.flatnonzero(here)
        reason, reduction, power_w = able.reason[rows], able.reduction[rows], image.power_w[rows]
        self.dispatched[rows] |= owned[rows]
        ours = self.dispatched[rows]
        ready = reason == Reason.READY
        may_pause = is_reducible(reason) & ((reduction == Reason.READY) | (ours & np.isin(reduction, PAUSED)))
        for column, there in (
            (self.gone_at_s, ready | (ours & np.isin(reason, EMPTIED))),
            (self.spared_until_s, ready | may_pause),
            (self.idle_at_s, ours | (power_w >= LEAST_DRAW_W)),
        ):
            still = np.zeros(len(here), dtype=np.bool_)
            still[rows] = there
            column[:] = np.where(still | np.isfinite(column), column, seen_s)
        fresh = rows[ours & ~np.isnan(answers[rows])]
        self.answer[fresh] = answers[fresh]

    def of(self, question: Question) -> Seen:
        """What was seen of the cars of one forecast. In the row of one that had left before the next forecast of the same time was made
        another is watched: it was there until then."""
        rows = np.flatnonzero(question.stock.rows)
        same = self.uid[rows] == question.uid
        gone, spared, idle = (
            np.where(same, column[rows], self.made_at_s) for column in (self.gone_at_s, self.spared_until_s, self.idle_at_s)
        )
        return Seen(gone, spared, idle, same & self.dispatched[rows], np.where(same, self.answer[rows], np.nan))
