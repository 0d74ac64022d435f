"""The part of `Operations` that takes the values of streamed targets."""

from collections.abc import Awaitable, Callable

from counterflow.app.control_room import ControlRoom
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import StreamValue
from counterflow.domain.views import Refusal, RefusalKind, TargetAnswer


class StreamDesk:
    """Part of `LiveOperations`."""

    _room: ControlRoom
    _now_s: Callable[[], float]
    _settled: Callable[[], Awaitable[None]]

    async def tell(self, dispatch_id: DispatchId, value: StreamValue) -> TargetAnswer | Refusal:
        """One value of a streamed target; answered once it is durable. The next control tick comes for it."""
        instruction = self._room.dispatcher.book.instructions.get(dispatch_id)
        if instruction is None:
            return no_dispatch(dispatch_id)
        answer = self._room.dispatcher.tell(instruction, value, self._now_s())
        await self._settled()
        return answer


def no_dispatch(dispatch_id: DispatchId) -> Refusal:
    """There is no such dispatch."""
    return Refusal(
        kind=RefusalKind.NOT_FOUND,
        sentence=f"There is no dispatch '{dispatch_id}'.",
        remedy="GET /api/v1/dispatches (counterflow dispatches) lists them.",
    )
