"""The gateway's handler: texts into the control room, texts out to the stations once the journal allows, and the one timer."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

from counterflow.adapters.ocpp.transport import Admission, CloseCode, Line, Refused, Shown
from counterflow.adapters.storage.frames import FrameRing
from counterflow.app.control_room import ControlRoom
from counterflow.app.dispatching.departures import Departures
from counterflow.domain.ids import StationId
from counterflow.engine.ports import Journal

LOOK_S: Final = 0.005
"""At most this long after a message the timer sees what has become due by it: asking all rooms each time cost a tenth of a message."""
_SAYS_NOTHING: Final = b",{}]"
"""How an answer without content ends."""
FAULT_PAUSE_S = 1.0
"""After a fault of ours in what the timer does it is not called again at once: the fault would keep everything else from its turn."""


class Lines:
    """`LineHandler` over a `ControlRoom`. Everything runs on the event loop's thread."""

    def __init__(self, room: ControlRoom, journal: Journal, frames: FrameRing, now_s: Callable[[], float]) -> None:
        self._room = room
        self._journal = journal
        self._frames = frames
        self._now_s = now_s
        self._departures: Departures[Line] = Departures(room.settings.ocpp.call_timeout_s, room.csms.call_left_late)
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._timer_at_s = inf
        self._rest_until_s = -inf
        self._kick_is_near = False
        self._closed = False
        journal.on_durable(self._on_durable)

    # --- LineHandler ---------------------------------------------------------------------------------------------------------

    def admit(self, station_id: StationId, offered: Sequence[str], shown: Shown, peer: str) -> Admission:
        """Decide on a handshake."""
        admission = self._room.admit(station_id, offered, shown)
        if isinstance(admission, Refused):
            self._room.turned_away(station_id, admission.reason, peer, self._now_s())
        return admission

    def opened(self, line: Line) -> None:
        """A line is open. What was written for the one before is bound to that one first."""
        if not self._closed:
            self._flush()
        self._departures.opened(line.station_id, line)
        self._room.opened(line.station_id, line.subprotocol, self._now_s(), line.certificate_names)
        self._kick_soon()

    def received(self, line: Line, text: bytes) -> None:
        """One text from a station."""
        now_s, csms = self._now_s(), self._room.csms
        try:
            self._room.received(line.station_id, text, now_s)
        finally:
            self._frames.record(line.station_id, "in", now_s, text, csms.names_nobody)
        self._kick_soon()

    def closed(self, line: Line, reason: str) -> None:
        """A line is gone; only the newest line of a station speaks for it."""
        if self._departures.closed(line.station_id, line):
            self._room.closed(line.station_id, self._now_s(), reason)
            self.kick()

    @property
    def void_texts(self) -> int:
        """Texts that never left, since their line was gone or their time had passed."""
        return self._departures.void

    # --- out -----------------------------------------------------------------------------------------------------------------

    def kick(self) -> None:
        """Send what may leave, and set the timer for what is due next. Call it after everything that touches the room."""
        if self._closed:
            return
        self._flush()
        due_s = self._room.next_due_s()
        if due_s is not None and max(due_s, self._rest_until_s) < self._timer_at_s:
            self._set_timer(max(due_s, self._rest_until_s))

    def _flush(self) -> None:
        for station_id, why in self._room.take_expelled():
            line = self._departures.line_of(station_id)
            if line is not None:
                line.close(CloseCode.POLICY_VIOLATION, why)
        departing = self._room.take_departing()
        if departing:
            self._departures.hold(self._journal.position, departing, self._now_s())
            self._send_durable()

    async def settled(self) -> None:
        """Send what is due, and wait until everything written so far is durable."""
        self.kick()
        position = self._journal.position
        if self._journal.durable_position < position:
            waiter = self._loop.create_future()
            self._waiters.append((position, waiter))
            await waiter

    def disconnect(self, station_id: StationId) -> None:
        """Close a station's line, if it has one."""
        line = self._departures.line_of(station_id)
        if line is not None:
            line.close(CloseCode.POLICY_VIOLATION, "station removed")

    def close(self) -> None:
        """Stop the timer; nothing is sent any more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _kick_soon(self) -> None:
        """Once for all that came in together: the answers wait for the same commit anyway."""
        if not self._kick_is_near:
            self._kick_is_near = True
            self._loop.call_soon(self._kick_now)

    def _kick_now(self) -> None:
        """After messages: what they call for leaves now. What is due next is worked out by the timer, a moment later for many at once."""
        self._kick_is_near = False
        if self._closed:
            return
        self._flush()
        look_at_s = max(self._now_s() + LOOK_S, self._rest_until_s)
        if look_at_s < self._timer_at_s:
            self._set_timer(look_at_s)

    def _send_durable(self) -> None:
        now_s = self._now_s()
        ready = list(self._departures.take_ready(self._journal.durable_position, now_s))
        self._frames.record_all(
            [(item.station_id, "out", now_s, item.text, item.names_nobody or item.text.endswith(_SAYS_NOTHING)) for _, item in ready]
        )
        for line, item in ready:
            line.send(item.text, is_call=item.is_call)

    def _on_durable(self, position: int) -> None:
        try:
            self._loop.call_soon_threadsafe(self._release, position)
        except RuntimeError:
            # The loop has ended: the journal's last commit on the way out has nobody left to tell.
            self._closed = True

    def _release(self, position: int) -> None:
        if self._departures.waiting and not self._closed:
            self._send_durable()
        while self._waiters and self._waiters[0][0] <= position:
            waiter = self._waiters.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)

    def _set_timer(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at_s = due_s
        wait_s = due_s - self._now_s()
        self._timer = self._loop.call_soon(self._on_timer) if wait_s <= 0.0 else self._loop.call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at_s = None, inf
        if self._closed:
            return
        now_s, faults = self._now_s(), self._room.dispatcher.faults
        try:
            self._room.advance(now_s)
        except Exception as error:  # noqa: BLE001  # whatever it was, answers leave and the timer goes on
            faults.note("the fleet", now_s, error)
            self._rest_until_s = now_s + FAULT_PAUSE_S
        self.kick()
