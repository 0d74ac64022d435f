"""What an event shows of how cars follow, kept for an identification after it (`identification`): orders, and the readings on their way.

Of each order its time, its level and the readings until one at rest, with the last one before it: a car that stands where it was told to
adds nothing. The newest `ORDERS` orders and `SAMPLES` readings of a session are kept, 750 bytes, so that 100 000 sessions take 75 MB
(an eighth more while they come), however long an event lasts.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from counterflow.engine.control.decision import grown
from counterflow.engine.control.response import ResponseMemory, settle_s
from counterflow.engine.control.settings import ResponseSettings
from counterflow.engine.dispatch.limits import Rows
from counterflow.engine.fleet.snapshot import B1, F8, I8, FleetImage

SAMPLES, ORDERS = 48, 10
MOST_ON_WAY = 12
"""Readings of one order: more of a dense meter would push out the orders before."""
OLDEST_S = 240.0
"""A reading that was older when the order came says nothing of where the car was."""
RETURN_S = 45.0
"""What a car that is handed back does is its own affair; it is taken to have found its power after this."""
STILL_W = 300.0
"""An order that leaves a car where it stands moves nothing, and tells nothing."""
PATIENCE_S = 60.0
"""An event is over for a car that has been without an order for so long, whether it was seen at rest or not."""

F4 = NDArray[np.float32]


class Trace(Struct, frozen=True, kw_only=True):
    """Of n sessions: readings (n, S) and orders (n, K), oldest first, NaN where there are fewer; times in s from each session's own zero,
    powers and energies discharge positive.

    `level_w` is NaN where `order_s` is not: the car was handed back. `rest_s`: so long after the order a reading counts as settled.
    `void`: whether it was carried out is not known. `lost`: there were more orders before the first. `gain`, `idle_w` (n,): what is known
    of what the car gives of what is asked, and at 0 W.
    """

    uid: I8
    at_s: F4
    power_w: F4
    net_wh: F4
    order_s: F4
    level_w: F4
    rest_s: F4
    void: B1
    lost: B1
    gain: F8
    idle_w: F8

    def __len__(self) -> int:
        """Number of sessions."""
        return len(self.uid)

    def some(self, which: Rows) -> Self:
        """These of them."""
        return type(self)(**{name: getattr(self, name)[which] for name in self.__struct_fields__})

    @classmethod
    def joined(cls, traces: Sequence[Self]) -> Self:
        """Several as one, in order."""
        return cls(**{name: np.concatenate([getattr(one, name) for one in traces]) for name in cls.__struct_fields__})


class _Readings(NamedTuple):
    """The readings of an image (N,), which it leaves as they are."""

    at_s: F8
    power_w: F8
    export_wh: F8
    import_wh: F8
    register_at_s: F8

    def of(self, rows: Rows) -> tuple[F8, F8, F8]:
        """Time, power and net export of some (K,); no energy where the registers are of another time."""
        whole = np.abs(self.register_at_s[rows] - self.at_s[rows]) < 0.5
        return self.at_s[rows], self.power_w[rows], np.where(whole, self.export_wh[rows] - self.import_wh[rows], np.nan)


class Traces:
    """One writer; nothing of it is seen by a tick."""

    def __init__(self) -> None:
        self._uid: I8 = np.zeros(0, dtype=np.int64)
        self._since_s: F8 = np.zeros(0)
        self._zero_s, self._zero_wh = np.zeros(0), np.zeros(0)
        self._left = np.zeros(0, dtype=np.int8)
        """So many readings are still wanted of the last order."""
        self._samples, self._orders = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32)
        self._at_s, self._power_w, self._net_wh = (np.zeros((0, SAMPLES), dtype=np.float32) for _ in range(3))
        self._order_s, self._level_w, self._rest_s = (np.zeros((0, ORDERS), dtype=np.float32) for _ in range(3))
        self._void = np.zeros((0, ORDERS), dtype=np.bool_)
        self._seen: _Readings | None = None
        self._ends = np.zeros(0), np.zeros(0)
        """When the orders of the last image end by themselves: discharge, and hold."""

    def take(self, image: FleetImage, memory: ResponseMemory, settings: ResponseSettings) -> None:
        """Take in what is new in `image`, with the memory as it is after it. Call it once a tick."""
        seen = _Readings(image.power_at_s, image.power_w, image.export_wh, image.import_wh, image.register_at_s)
        before, self._seen, self._ends = self._seen or seen, seen, (image.discharge_until_s, image.hold_until_s)
        if len(before.at_s) != len(image):
            before = _Readings(*(grown(column, len(image), np.nan) for column in before))
        moved = np.not_equal(memory.level_since_s, self._grown(len(image))) & image.occupied
        rows = np.flatnonzero(moved)
        rows = rows[np.isfinite(memory.level_since_s[rows])]
        if rows.size:
            self._ordered(rows, image, memory, seen, before, settings)
        if not self._left.any():
            return
        rows = np.flatnonzero(self._left)
        at_s = image.power_at_s[rows]
        rows = rows[(at_s != before.at_s[rows]) & (at_s > self._since_s[rows]) & (memory.uid[rows] == self._uid[rows])]
        if rows.size:
            self._read(rows, seen, memory)

    def due(self, now_s: float, memory: ResponseMemory) -> Rows:
        """Rows whose event is over: nothing of ours is in force, and the last order has settled, or has had its time. Ticks end with the
        last event, so that the last image may still show an order that has ended by itself since."""
        rows = np.flatnonzero(self._orders[: len(self._ends[0])])
        rows = rows[self._uid[rows] == memory.uid[rows]]
        settled = (self._left[rows] == 0) | (now_s - self._since_s[rows] > PATIENCE_S)
        ended = np.isnan(memory.level_w[rows]) | ~(now_s < np.fmax(self._ends[0][rows], self._ends[1][rows]))
        return np.asarray(rows[ended & settled])

    def holds(self, row: int, uid: int) -> bool:
        """Whether there is anything of this session."""
        return row < len(self._uid) and self._uid[row] == uid and self._orders[row] > 0

    def cut(self, rows: Rows, memory: ResponseMemory) -> Trace:
        """What was kept of these rows, which are empty then."""
        samples, readings = self._samples[rows], np.arange(SAMPLES)
        orders, places = self._orders[rows], np.arange(ORDERS)
        # The ring's oldest entry is the next one to be written over.
        at = (readings + np.maximum(samples - SAMPLES, 0)[:, None]) % SAMPLES
        order = (places + np.maximum(orders - ORDERS, 0)[:, None]) % ORDERS
        trace = Trace(
            uid=self._uid[rows],
            **{name: np.take_along_axis(getattr(self, f"_{name}")[rows], at, axis=1) for name in ("at_s", "power_w", "net_wh")},
            **{
                name: np.take_along_axis(getattr(self, f"_{name}")[rows], order, axis=1)
                for name in ("order_s", "level_w", "rest_s", "void")
            },
            lost=orders > ORDERS,
            gain=memory.gains()[rows],
            idle_w=memory.idle_w[rows],
        )
        self._empty(rows)
        return trace

    def _empty(self, rows: Rows) -> None:
        self._samples[rows] = self._orders[rows] = self._left[rows] = 0
        self._zero_s[rows] = self._zero_wh[rows] = np.nan
        for column in (self._at_s, self._power_w, self._net_wh, self._order_s, self._level_w, self._rest_s):
            column[rows] = np.nan
        self._void[rows] = False

    def _grown(self, rows: int) -> F8:
        """Since when the level known here holds, with as many rows as there are."""
        more = rows - len(self._uid)
        if more > 0:
            # While cars come there are more at each tick; to copy all that is kept each time would take longer than the tick.
            more = max(more, len(self._uid) // 8)
            for name in ("_uid", "_samples", "_orders", "_left", "_void"):
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.zeros((more, *column.shape[1:]), dtype=column.dtype)]))
            for name in ("_since_s", "_zero_s", "_zero_wh", "_at_s", "_power_w", "_net_wh", "_order_s", "_level_w", "_rest_s"):
                column = getattr(self, name)
                setattr(self, name, np.concatenate([column, np.full((more, *column.shape[1:]), np.nan, dtype=column.dtype)]))
            # As the memory has it of a row that nothing was ever asked of.
            self._since_s[-more:] = -np.inf
        return self._since_s[:rows]

    def _ordered(
        self,
        rows: Rows,
        image: FleetImage,
        memory: ResponseMemory,
        seen: "_Readings",
        before: "_Readings",
        settings: ResponseSettings,
    ) -> None:
        other = rows[self._uid[rows] != memory.uid[rows]]
        self._empty(other)
        self._uid[other] = memory.uid[other]
        self._since_s[rows] = since_s = memory.level_since_s[rows]
        # A car that nothing was ever asked of is handed back to nothing.
        level_w = memory.level_w[rows]
        asked = ~image.self_steered[rows] & (~np.isnan(level_w) | (self._orders[rows] > 0))
        self._left[rows[~asked]] = 0
        asked &= (self._left[rows] > 0) | ~(np.abs(level_w + image.power_w[rows]) < STILL_W)
        rows, since_s = rows[asked], since_s[asked]
        at_s, power_w, net_wh = seen.of(rows)
        late = at_s > since_s
        at_s, power_w, net_wh = (np.where(late, then, now) for then, now in zip(before.of(rows), (at_s, power_w, net_wh), strict=True))
        first = np.isnan(self._zero_s[rows])
        self._zero_s[rows] = np.where(first, since_s, self._zero_s[rows])
        stood = (at_s <= since_s) & (since_s - at_s <= OLDEST_S) & ~np.isnan(power_w)
        self._put(rows[stood], at_s[stood], power_w[stood], net_wh[stood])
        place = self._orders[rows] % ORDERS
        self._order_s[rows, place] = since_s - self._zero_s[rows]
        self._level_w[rows, place] = level_w = memory.level_w[rows]
        self._rest_s[rows, place] = np.where(np.isnan(level_w), RETURN_S, settle_s(level_w, memory.from_w[rows], settings))
        self._void[rows, place] = False
        self._orders[rows] += 1
        self._left[rows] = MOST_ON_WAY

    def _read(self, rows: Rows, seen: "_Readings", memory: ResponseMemory) -> None:
        at_s, power_w, net_wh = seen.of(rows)
        place = (self._orders[rows] - 1) % ORDERS
        self._put(rows, at_s, power_w, net_wh)
        self._void[rows, place] |= memory.doubtful[rows]
        rested = at_s - self._since_s[rows] > self._rest_s[rows, place]
        self._left[rows] = np.where(rested, 0, self._left[rows] - 1)

    def _put(self, rows: Rows, at_s: F8, power_w: F8, net_wh: F8) -> None:
        told_s, place = at_s - self._zero_s[rows], self._samples[rows] % SAMPLES
        # The last one before an order may be one that was kept with the order before.
        new = ~(self._at_s[rows, place - 1] >= np.float32(told_s)) & ~np.isnan(power_w)
        rows, place = rows[new], place[new]
        self._at_s[rows, place] = told_s[new]
        self._power_w[rows, place] = -power_w[new]
        net_wh, zero_wh = net_wh[new], self._zero_wh[rows]
        # A register may stand at tens of megawatt hours: of those a float of four bytes tells no Wh.
        self._zero_wh[rows] = zero_wh = np.where(np.isnan(zero_wh), net_wh, zero_wh)
        self._net_wh[rows, place] = net_wh - zero_wh
        self._samples[rows] += 1
