"""What a tick is given, what it decides and what it remembers: the types of `tick`. Figures are discharge positive."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol, Self, TypeVar

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import ArrayLike, NDArray

from counterflow.domain.delivery import Why
from counterflow.domain.ids import SessionUid
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.reasons import ChangeReason, DropOutKind, Reason
from counterflow.domain.setpoints import PowerStep
from counterflow.engine.control.lookahead import Trail
from counterflow.engine.fleet.snapshot import B1, F8, I8, FleetImage
from counterflow.engine.fleet.undisturbed import ChargingTerms, Undisturbed

Kind = TypeVar("Kind", np.float64, np.int64, np.int32, np.bool_)


class DispatchTask(Struct, frozen=True, kw_only=True):
    """One dispatch and what others have taken of the fleet.

    `busy` (N,) marks rows claimed by other dispatches. `other_export_w` (G,) is the export that others use of each group.
    `charging` is how a car would have gone on charging, from its state when its plan was frozen (RELATIVE only); None = at the power that
    it had.
    """

    instruction: DispatchInstruction
    busy: B1
    other_export_w: F8
    charging: ChargingTerms | None = None
    streamed: bool = False
    """The target comes value by value: it is anticipated (see `lookahead`)."""


class SetpointChange(Struct, frozen=True, kw_only=True):
    """One order to one session: `power_w` <= 0 (and then `later`) until `discharge_until_s`, 0 W until `hold_until_s`."""

    row: int
    uid: SessionUid
    power_w: float
    discharge_until_s: float
    hold_until_s: float
    reason: ChangeReason
    urgent: bool
    by_curve: bool = False
    """The station finds its power by a curve; `power_w` is the strongest that it can ask for."""
    reduces: bool = False
    """A limit to charging: `power_w` >= 0 is the most that the car may draw, until `hold_until_s`."""
    later: tuple[PowerStep, ...] = ()
    """Further periods of the same order (ScheduledControl); `power_w` is the first."""


class Release(Struct, frozen=True, kw_only=True):
    """Hand the car back to charging now."""

    row: int
    uid: SessionUid
    reason: ChangeReason


class Departure(Struct, frozen=True, kw_only=True):
    """A member that cannot be steered any more, and the power that went with it.

    `counted`: its session is still open, so that its metered power stays in the balance of the group (a car that charges counts
    against a net export); it is `joined` again if it recovers.
    """

    uid: SessionUid
    kind: DropOutKind
    lost_w: float
    counted: bool
    reason: Reason
    """What its capability says of it now."""


class TickFigures(Struct, frozen=True, kw_only=True):
    """Where the dispatch stands, W, discharge positive."""

    target_w: float
    measured_w: float
    expected_w: float
    headroom_w: float
    shortfall_w: float
    members: int
    discharging: int
    reserve: int
    unmeasured: int
    binds: tuple[str, ...] = ()
    """Limits of sites, feeders or phases that leave no room while cars could give more, in words."""


class TaskMemory(Struct, frozen=True, kw_only=True):
    """What a dispatch remembers between ticks, one array entry a row (N,).

    `group_uid` 0 = not in the group. `active` = may be steered; a group member that is not active still counts.
    `level_w` is the discharge power last decided (< 0 = slowed to charging at so much; NaN = left alone), `level_at_s` when it last
    changed, `sent_at_s` when the row last got an order, `expected_w` what it was expected to deliver. `plans` are those that a RELATIVE
    order counts from, of members and others (None = it counts from none), `baseline_w` what they say of members now, import positive.
    `ticked_at_s` is when the last decision was made, `integral_ws` what the tracker `pi` has summed up, `trail` the last values of a
    target.
    """

    started: bool
    target_w: float
    resorted_at_s: float
    ticked_at_s: float
    integral_ws: float
    trail: Trail
    group_uid: I8
    active: B1
    must_charge: B1
    baseline_w: F8
    level_w: F8
    level_at_s: F8
    sent_at_s: F8
    expected_w: F8
    plans: Undisturbed | None = None

    @classmethod
    def fresh(cls, plans: Undisturbed | None = None) -> Self:
        """Before the first tick; `plans`, those that were frozen before, are of the rows of an image."""
        return cls(
            started=False,
            target_w=float("nan"),
            resorted_at_s=float("-inf"),
            ticked_at_s=float("-inf"),
            integral_ws=0.0,
            trail=Trail(),
            group_uid=np.zeros(0, dtype=np.int64),
            active=np.zeros(0, dtype=np.bool_),
            must_charge=np.zeros(0, dtype=np.bool_),
            baseline_w=np.zeros(0),
            level_w=np.zeros(0),
            level_at_s=np.zeros(0),
            sent_at_s=np.zeros(0),
            expected_w=np.zeros(0),
            plans=plans,
        )

    @classmethod
    def resumed(cls, image: FleetImage, members: Collection[SessionUid], plans: Undisturbed | None, now_s: float) -> Self:
        """After a restart: the uids of all members, and the plans that were frozen, of whomever; levels come from the image.

        Sessions that are no longer in the image are simply not members any more; the caller logs them as left.
        """
        wanted = np.fromiter(members, dtype=np.int64, count=len(members))
        plans = None if plans is None else plans.laid_on(image.uid)
        member = image.occupied & np.isin(image.uid, wanted)
        in_force = member & ~np.isnan(image.setpoint_w) & (now_s < image.discharge_until_s)
        rows = len(image)
        return cls(
            started=True,
            target_w=float("nan"),
            resorted_at_s=now_s,
            ticked_at_s=now_s,
            integral_ws=0.0,
            trail=Trail(),
            group_uid=np.where(member, image.uid, 0),
            active=member,
            must_charge=np.zeros(rows, dtype=np.bool_),
            baseline_w=np.zeros(rows) if plans is None else np.where(member, plans.drew_w, 0.0),
            level_w=np.where(in_force, -image.setpoint_w, np.nan),
            level_at_s=np.where(in_force, image.setpoint_at_s, -np.inf),
            sent_at_s=np.full(rows, -np.inf),
            expected_w=np.zeros(rows),
            plans=plans,
        )

    def sized(self, rows: int) -> Self:
        """The same memory for an image of `rows` rows (an image only ever grows)."""
        if len(self.group_uid) == rows:
            return self
        return type(self)(
            started=self.started,
            target_w=self.target_w,
            resorted_at_s=self.resorted_at_s,
            ticked_at_s=self.ticked_at_s,
            integral_ws=self.integral_ws,
            trail=self.trail,
            group_uid=grown(self.group_uid, rows, 0),
            active=grown(self.active, rows, False),
            must_charge=grown(self.must_charge, rows, False),
            baseline_w=grown(self.baseline_w, rows, 0.0),
            level_w=grown(self.level_w, rows, np.nan),
            level_at_s=grown(self.level_at_s, rows, -np.inf),
            sent_at_s=grown(self.sent_at_s, rows, -np.inf),
            expected_w=grown(self.expected_w, rows, 0.0),
            plans=None if self.plans is None else self.plans.sized(rows),
        )

    def only(self, rows: B1) -> Self:
        """The same memory with nobody but `rows` (N,) in the group: all others are as if they had never joined."""
        return replace(
            self,
            group_uid=np.where(rows, self.group_uid, 0),
            active=self.active & rows,
            must_charge=self.must_charge & rows,
            baseline_w=np.where(rows, self.baseline_w, 0.0),
            level_w=np.where(rows, self.level_w, np.nan),
            level_at_s=np.where(rows, self.level_at_s, -np.inf),
            sent_at_s=np.where(rows, self.sent_at_s, -np.inf),
            expected_w=np.where(rows, self.expected_w, 0.0),
        )

    def members(self) -> tuple[SessionUid, ...]:
        """Uids of the group, in row order."""
        return tuple(SessionUid(int(uid)) for uid in self.group_uid[self.group_uid != 0])


def grown(column: NDArray[Kind], rows: int, empty: ArrayLike) -> NDArray[Kind]:
    """`column` with `rows` rows; new ones hold `empty`. Raises ValueError when rows would be lost."""
    missing = rows - len(column)
    if missing < 0:
        raise ValueError(f"the image shrank from {len(column)} to {rows} rows")
    return column if missing == 0 else np.concatenate([column, np.full(missing, empty, dtype=column.dtype)])


def renewed(column: NDArray[Kind], rows: B1, values: NDArray[Kind]) -> NDArray[Kind]:
    """`column` with `values` in some rows, all (N,). Where that is all of them, or none, it is the one or the other itself: what is
    remembered is never written into."""
    if rows.all():
        return values
    return np.where(rows, values, column) if rows.any() else column


class Grounds(Protocol):
    """What a decision was made from."""

    def of(self, changes: Sequence[SetpointChange]) -> Iterator[Why]:
        """The figures behind each of these changes, in their order."""
        ...


class Decision(Struct, frozen=True, kw_only=True):
    """What to do now. `changes` are in sending order: decreases before increases."""

    changes: tuple[SetpointChange, ...]
    releases: tuple[Release, ...]
    joined: tuple[tuple[int, SessionUid], ...]
    left: tuple[Departure, ...]
    figures: TickFigures
    memory: TaskMemory
    alarms: tuple[str, ...]
    planned: B1 | None = None
    """Rows of those that joined whose plan was frozen with that (N,); None = nobody's was."""
    grounds: Grounds | None = None
    """Tells the figures behind each change, when somebody asks; None = there are none."""
