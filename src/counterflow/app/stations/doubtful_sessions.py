"""Sessions that nothing is heard of although their station is there: is the transaction still going on? (E14, F06.FR.07, gotcha 22)

A station that loses power may lose a transaction and all that it had to say of it, so that its end is never told. It is asked, ever more
rarely, and what it says is over is over for us. One that goes on is asked for a sample.
"""

from collections.abc import Callable
from math import inf
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from counterflow.domain.commands import ReadTransaction, RequestSample
from counterflow.domain.ids import SessionUid, StationId
from counterflow.domain.setpoints import CommandResult, NotSupported
from counterflow.domain.telemetry import TransactionTold
from counterflow.engine.fleet.applied import Applied
from counterflow.engine.fleet.eligibility import silent_sessions
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.ports import StationLink

LOOK_EVERY_S = 15.0


class DoubtSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a station is asked whether a transaction is still going on."""

    ask_after_s: Annotated[
        float,
        Meta(
            description="A session that is silent for this long at a station that is connected: the station is asked for it.",
            extra={"unit": "s"},
            ge=10,
            le=86_400,
        ),
    ] = 60.0
    retry_max_s: Annotated[
        float,
        Meta(
            description="The pause before it is asked again doubles each time, up to this.",
            extra={"unit": "s"},
            ge=10,
            le=86_400,
        ),
    ] = 3600.0
    asks_per_look: Annotated[
        int,
        Meta(description=f"How many stations are asked at most every {LOOK_EVERY_S:.0f} s.", extra={"unit": "-"}, ge=1, le=10_000),
    ] = 200


class _Doubt(Struct):
    """One silent session: when it is asked for next, and how often it was."""

    due_s: float
    asked: int = 0


class DoubtfulSessions:
    """Single-threaded. `apply` takes what the end of a session does. `found_over` counts sessions whose end was never told."""

    def __init__(
        self,
        fleet: FleetState,
        link: StationLink,
        settings: DoubtSettings,
        capability: CapabilitySettings,
        apply: Callable[[Applied, float], None],
    ) -> None:
        self.found_over = 0
        self._fleet = fleet
        self._link = link
        self._settings = settings
        self._capability = capability
        self._apply = apply
        self._doubts: dict[SessionUid, _Doubt] = {}
        self._cannot_tell: set[StationId] = set()
        self._next_s = -inf

    def next_due_s(self) -> float | None:
        """When `advance` wants to be called next."""
        return self._next_s if len(self._fleet) else None

    def advance(self, now_s: float) -> None:
        """Look for silent sessions, and ask for those whose turn it is, longest in doubt first."""
        if now_s < self._next_s or not len(self._fleet):
            return
        self._next_s = now_s + LOOK_EVERY_S
        image = self._fleet.snapshot(now_s)
        silent = image.connected & silent_sessions(image, now_s, self._capability)
        uids = {SessionUid(int(uid)) for uid in image.uid[np.flatnonzero(silent)]}
        for uid in self._doubts.keys() - uids:
            del self._doubts[uid]
        for uid in sorted(uids - self._doubts.keys()):
            self._doubts[uid] = _Doubt(due_s=now_s + self._settings.ask_after_s)
        due = sorted((doubt.due_s, uid) for uid, doubt in self._doubts.items() if doubt.due_s <= now_s)
        for _, uid in due[: self._settings.asks_per_look]:
            self._ask(uid, now_s)

    def suspect(self, uid: SessionUid, now_s: float) -> None:
        """The station has just said that it does not know the transaction (TxNotFound): it is asked at once."""
        self._doubts.setdefault(uid, _Doubt(due_s=now_s))
        self._ask(uid, now_s)

    def told(self, event: TransactionTold, now_s: float) -> None:
        """The answer. Not going on, and nothing queued that would tell its end: the session is over."""
        uid = self._fleet.uid_of(event.station_id, event.transaction_id)
        if uid is None or event.queued:
            return
        if event.ongoing is False:
            self.found_over += 1
            self._doubts.pop(uid, None)
            self._apply(self._fleet.found_over(uid, now_s), now_s)
        else:
            self._request_sample(uid, now_s)

    def completed(self, command: ReadTransaction, result: CommandResult, now_s: float) -> None:
        """What became of the question. A station that does not know it is asked for a sample instead, from now on."""
        if isinstance(result, NotSupported):
            self._cannot_tell.add(command.station_id)
            self._request_sample(command.session_uid, now_s)

    def station_changed(self, station_id: StationId) -> None:
        """Another firmware may be able to tell."""
        self._cannot_tell.discard(station_id)

    def _ask(self, uid: SessionUid, now_s: float) -> None:
        key, doubt = self._fleet.key_of(uid), self._doubts[uid]
        doubt.asked += 1
        doubt.due_s = now_s + min(self._settings.ask_after_s * 2.0 ** min(doubt.asked, 16), self._settings.retry_max_s)
        if key is None:
            return
        station_id, transaction_id = key
        if station_id in self._cannot_tell:
            self._request_sample(uid, now_s)
        else:
            self._link.submit(ReadTransaction(station_id=station_id, transaction_id=transaction_id, session_uid=uid), now_s)

    def _request_sample(self, uid: SessionUid, now_s: float) -> None:
        row, key = self._fleet.row_of(uid), self._fleet.key_of(uid)
        if row is None or key is None:
            return
        evse_id = self._fleet.record_of(uid).evse_id
        if evse_id:
            self._link.submit(RequestSample(station_id=key[0], evse_id=evse_id), now_s)
