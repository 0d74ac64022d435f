"""Calls of ours that wait for the one in flight to end: OCPP-J allows one at a time (OCPP 2.1 part 4, section 4.1.1)."""

from collections.abc import Hashable
from typing import Any

from msgspec import Struct

from counterflow.adapters.ocpp.events import CallDone, CallId, CallOutcome, NotSent, Superseded


class PendingCall(Struct, frozen=True):
    """A call of ours between `Session.call` and its end."""

    call_id: CallId
    action: str
    frame: bytes
    urgent: bool
    coalesce_key: Hashable | None
    context: Any

    def done(self, outcome: CallOutcome) -> CallDone:
        """Its end, to be reported."""
        return CallDone(call_id=self.call_id, action=self.action, context=self.context, outcome=outcome)


class WaitingCalls:
    """Two short queues, of at most `limit` calls together; the urgent one leaves first."""

    __slots__ = ("_limit", "_urgent", "_usual")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._usual: list[PendingCall] = []
        self._urgent: list[PendingCall] = []

    def add(self, pending: PendingCall) -> CallDone | None:
        """Queue a call, or let it take the place of one with the same key. Returns the end of the call that will not leave for it."""
        replaced = None if pending.coalesce_key is None else self._replace(pending)
        if replaced is not None:
            return replaced
        gone = None
        if len(self._usual) + len(self._urgent) >= self._limit:
            if not (pending.urgent and self._usual):
                return pending.done(NotSent(reason="queue full"))
            gone = self._usual.pop().done(NotSent(reason="queue full"))
        (self._urgent if pending.urgent else self._usual).append(pending)
        return gone

    def _replace(self, newer: PendingCall) -> CallDone | None:
        """The end of the call that `newer` supersedes; None = there is none, and `newer` stands in no queue."""
        for queue in (self._urgent, self._usual):
            for place, older in enumerate(queue):
                if older.coalesce_key != newer.coalesce_key:
                    continue
                if newer.urgent and queue is self._usual:
                    del queue[place]
                    self._urgent.append(newer)  # in the room that it has made
                else:
                    queue[place] = newer  # in the urgent queue too: what was urgent stays urgent
                return older.done(Superseded(by=newer.call_id))
        return None

    def take(self) -> PendingCall | None:
        """The call that leaves next."""
        if self._urgent:
            return self._urgent.pop(0)
        return self._usual.pop(0) if self._usual else None

    def all(self) -> tuple[PendingCall, ...]:
        """In the order in which they would leave."""
        return (*self._urgent, *self._usual)
