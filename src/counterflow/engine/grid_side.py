"""What the wire of a grid operator may see and ask: the port that OpenADR, IEC 104, MQTT, webhooks and the like stand on."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from counterflow.domain.dispatch_views import DispatchView
from counterflow.domain.grid import CapacityBound, GridAnswer, GridOrder, GridOrderRecord, PoolTelemetry, Program, Wire
from counterflow.domain.ids import DispatchId, PoolId
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import Offer
from counterflow.domain.settlement import IntervalFigures
from counterflow.domain.views import Notice, Refusal


class GridSide(Protocol):
    """What the wire of a grid operator may see and ask. Every order is bounded by its program; a refusal is an answer, and is audited.

    Answers come once their effect is durable. Wires do not know each other.
    """

    def now_s(self) -> float:
        """The server's clock."""
        ...

    def programs(self, wire: Wire) -> Sequence[Program]:
        """The programs whose orders come by this wire."""
        ...

    async def place(self, order: GridOrder) -> GridAnswer:
        """A new order, a changed one, or the same again."""
        ...

    async def withdraw(self, program: str, key: str, why: str) -> GridAnswer:
        """An order is taken back: charging is resumed paced. One that is over stays as it is."""
        ...

    async def tell(self, program: str, discharge_power_w: float, said_at_s: float | None, sequence: int | None) -> GridAnswer:
        """A streamed set-point, W. The first above zero opens a dispatch of the program; it goes on for as long as values come."""
        ...

    async def decline(self, program: str, key: str, end_s: float, refusal: Refusal) -> GridAnswer:
        """An order of which the wire itself can make no sense: refused, kept and audited as one. A former version of it is taken back."""
        ...

    async def bound(self, program: str, bounds: Sequence[CapacityBound]) -> GridAnswer:
        """These limits, in force or to come, and no others, hold on the program's pool."""
        ...

    def bounds(self, program: str) -> Sequence[CapacityBound]:
        """The limits of a program, in force or to come."""
        ...

    def decline_value(self, program: str, sent: Mapping[str, Any], refusal: Refusal, key: str | None = None) -> None:
        """What a wire has refused by rules of its own, for the audit: a streamed set-point whose time is stale, an order in another unit.

        `key` None = a set-point. Nothing is changed by it.
        """
        ...

    def turned_away(self, wire: Wire, key: str, sent: Mapping[str, Any], refusal: Refusal) -> None:
        """An order that is for no program of this wire, for the audit; the same again is written down now and then."""
        ...

    def standing(self, program: str) -> Sequence[GridOrderRecord]:
        """The orders of a program that were heard and whose window has not passed long ago, refused ones among them."""
        ...

    def dispatch(self, dispatch_id: DispatchId) -> DispatchView | None:
        """Where the dispatch of an order stands; None = it is not known (any more)."""

    async def intervals(self, dispatch_id: DispatchId, edges_s: Sequence[float]) -> Sequence[IntervalFigures] | Refusal:
        """What was delivered between each two of `edges_s` (epoch seconds, growing), as known now, with quality and version.

        Whatever the grid, the energies add up to the same whole Wh. A version above the last one seen corrects what was told. It reads
        the journal: ask once an interval is over, not each second. Raises ValueError for edges that do not grow.
        """
        ...

    async def offer(
        self,
        pool: PoolId,
        window_s: float,
        confidence: float | None = None,
        start_s: float | None = None,
        mode: DispatchMode = DispatchMode.NET_EXPORT,
    ) -> Offer | Refusal:
        """What a pool can surely give over a window from `start_s` (None = now) on as `mode` counts it, dispatches within it included.

        P50, P90, P95 and P99 are in its `levels`, with the pool as a storage at the window's end; what counts at `confidence` (None = 0.9,
        as the settings say) is `power_w`. It takes part of a second, and nothing is kept of it.
        """
        ...

    def telemetry(self, pool: PoolId) -> PoolTelemetry:
        """The newest record of a pool. Raises KeyError for a pool that is not recorded (`[telemetry] pools`, or one of a program)."""
        ...

    async def telemetry_since(self, pool: PoolId, sequence: int, most: int, wait_s: float = 0.0) -> Sequence[PoolTelemetry]:
        """Up to `most` records of a pool behind `sequence`, in their order, from disk where they are old; where there are none yet, what
        comes within `wait_s`. `sequence` 0 = from the oldest that is kept. Raises KeyError as above.
        """
        ...

    def note(self, wire: Wire, key: str, body: Any) -> None:
        """Keep something over restarts; None drops it."""
        ...

    def notes(self, wire: Wire) -> Mapping[str, Any]:
        """What was noted, by key."""
        ...

    def alarm(self, wire: Wire, subject: str, sentence: str | None) -> None:
        """Something that the operator's staff must know, in a sentence; None = it is over."""
        ...

    def notices(self) -> AsyncIterator[Notice]:
        """What happens, as it happens."""
        ...
