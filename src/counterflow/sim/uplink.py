"""The station's side of the line: timers, the session, and the queue of TransactionEvents that outlives both (E11, E13)."""

import heapq
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any

import msgspec
from msgspec import Struct

from counterflow.adapters.ocpp import messages
from counterflow.adapters.ocpp.events import Answered, CallOutcome, ConnectionLost, NotSent
from counterflow.adapters.ocpp.messages import TransactionEventRequest
from counterflow.adapters.ocpp.session import Session
from counterflow.sim.settings import StationSettings


class Timers:
    """Things to do at their time, oldest first; things due together keep their order."""

    __slots__ = ("_heap", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0

    def at(self, due_s: float, action: Callable[..., None], *args: Any) -> None:
        """Call `action(now_s, *args)` once `due_s` has come."""
        self._sequence += 1
        heapq.heappush(self._heap, (due_s, self._sequence, action, args))

    @property
    def next_s(self) -> float:
        """The earliest due time, inf if none."""
        return self._heap[0][0] if self._heap else inf

    def run(self, now_s: float) -> None:
        """Do what is due."""
        heap = self._heap
        while heap and heap[0][0] <= now_s:
            _, _, action, args = heapq.heappop(heap)
            action(now_s, *args)


class QueuedEvent(Struct):
    """A TransactionEvent that waits for its answer."""

    request: TransactionEventRequest
    attempts: int = 0
    not_before_s: float = 0.0


class Uplink:
    """One station's connection, or the lack of it. `online` = connected and accepted by the CSMS."""

    def __init__(self, settings: StationSettings, timers: Timers) -> None:
        self._settings = settings
        self._timers = timers
        self.session: Session | None = None
        self.online = False
        self.ever_online = False
        self.events: deque[QueuedEvent] = deque()
        self.lost_events = 0
        self._in_flight: QueuedEvent | None = None
        self._identity = ""
        self._messages = 0

    def open(self, now_s: float) -> Session:
        """A new connection: a new session, message ids that were never used before."""
        if not self._identity:
            self._identity = f"{round(now_s * 1000):x}"
        self.session = Session(
            incoming=messages.TO_STATION,
            new_message_id=self._new_message_id,
            call_timeout_s=self._settings.call_timeout_s,
            peer_reads_2_1_frames=True,
        )
        return self.session

    def accepted(self) -> None:
        """The CSMS has taken the station in: from here on it may say more than BootNotification."""
        self.online = self.ever_online = True

    def _new_message_id(self) -> str:
        self._messages += 1
        return f"{self._identity}-{self._messages:x}"

    def close(self, now_s: float) -> None:
        """The connection is gone; events that wait are kept, marked as offline (E11.FR.07)."""
        if self.session is not None:
            self.session.close(now_s)
        self.session, self.online, self._in_flight = None, False, None
        for queued in self.events:
            if queued.request.offline is not True:
                queued.request = msgspec.structs.replace(queued.request, offline=True)

    def call(self, action: str, payload: Struct, now_s: float, context: object = None) -> None:
        """Send a request that is worth nothing later; nothing happens when the station is offline."""
        if self.session is not None:
            self.session.call(action, payload, now_s, context=context)

    def event(self, request: TransactionEventRequest, now_s: float) -> None:
        """Queue a TransactionEvent; it goes out in order, and again until it is answered."""
        if not self.online:
            request = msgspec.structs.replace(request, offline=True)
            if len(self.events) >= self._settings.queue_limit:
                self._drop_an_update()
        self.events.append(QueuedEvent(request))
        self.pump(now_s)

    def _drop_an_update(self) -> None:
        for place, queued in enumerate(self.events):
            if queued.request.event_type == "Updated":
                del self.events[place]
                self.lost_events += 1
                return

    def pump(self, now_s: float) -> None:
        """Hand the oldest event to the session if it is its turn."""
        if not self.online or self.session is None or self._in_flight is not None or not self.events:
            return
        queued = self.events[0]
        if now_s < queued.not_before_s:
            return
        queued.attempts += 1
        self._in_flight = queued
        self.session.call("TransactionEvent", queued.request, now_s, context=queued)

    def event_done(self, queued: QueuedEvent, outcome: CallOutcome, now_s: float) -> None:
        """An event was answered, refused, or not answered at all: drop it, or try again later (E13)."""
        if self._in_flight is queued:
            self._in_flight = None
        if isinstance(outcome, (ConnectionLost, NotSent)):
            return
        if isinstance(outcome, Answered) or queued.attempts >= self._settings.message_attempts:
            if not isinstance(outcome, Answered):
                self.lost_events += 1
            if self.events and self.events[0] is queued:
                self.events.popleft()
        else:
            queued.not_before_s = now_s + self._settings.message_attempt_interval_s * queued.attempts
            self._timers.at(queued.not_before_s, self._retry)
        self.pump(now_s)

    def _retry(self, now_s: float) -> None:
        self.pump(now_s)
