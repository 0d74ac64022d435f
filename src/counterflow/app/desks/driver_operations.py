"""The part of `Operations` that is about drivers: agreements, their import and erasure, and a driver's word for a session."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.views import session_views
from counterflow.app.drivers.driver_file import FileError, read_file
from counterflow.domain.driver_views import DriverView, ErasureAnswer, ImportAnswer
from counterflow.domain.drivers import Agreement, PartialTerms, Scope, SessionOverride
from counterflow.domain.ids import StationId
from counterflow.domain.records import DocumentKind, SessionRecord
from counterflow.domain.session_views import SessionView
from counterflow.domain.views import Refusal, RefusalKind

LONGEST_STAY_S = 366 * 86_400.0


class DriverDesk:
    """Base of `LiveOperations`. Commands answer once their effect is durable."""

    def __init__(self, room: ControlRoom, now_s: Callable[[], float], settled: Callable[[], Awaitable[None]]) -> None:
        self._room = room
        self._now_s = now_s
        self._settled = settled

    def drivers(self) -> Sequence[DriverView]:
        """Agreements, stored ones and those of the settings."""
        return self._room.drivers.views()

    def driver(self, scope: Scope, subject: str) -> DriverView | Refusal:
        """One agreement, by pseudonym or contract."""
        return self._room.drivers.view(scope, subject) or _nobody()

    def find_driver(self, identifier: str) -> Sequence[DriverView]:
        """All that is known of a token, EVCCID, contract or pseudonym."""
        views = []
        for scope in Scope:
            for subject in dict.fromkeys((self._room.drivers.subject_of(scope, identifier), identifier)):
                view = self._room.drivers.view(scope, subject)
                if view is not None:
                    views.append(view)
        return views

    async def set_driver(
        self, scope: Scope, identifier: str, label: str | None, changes: dict[str, object], by: str
    ) -> DriverView | Refusal:
        """Change the fields that are given; None takes one back to the wider scope."""
        try:
            terms = self._room.drivers.merged(scope, identifier, changes)
            refusal = self._unusable(terms)
        except msgspec.ValidationError as error:
            refusal = Refusal(kind=RefusalKind.INVALID, sentence=f"The terms cannot be taken: {error}.", remedy="See GET /openapi.json.")
        if refusal is not None:
            return refusal
        [view] = self._room.drivers.agree([Agreement(scope, identifier, label, terms)], self._now_s(), by)
        self._room.agreements_changed(self._now_s())
        await self._settled()
        return view

    async def remove_driver(self, scope: Scope, subject: str, by: str) -> DriverView | Refusal:
        """Take a stored agreement back; counted energy stays."""
        before = self._room.drivers.view(scope, subject)
        if before is None or not self._room.drivers.remove(scope, subject):
            return _nobody()
        self._room.agreements_changed(self._now_s())
        await self._settled()
        return self._room.drivers.view(scope, subject) or msgspec.structs.replace(before, stored=False, terms=PartialTerms())

    async def import_drivers(self, text: str, dry_run: bool, by: str) -> ImportAnswer | Refusal:
        """Take every row of a CSV file, or none."""
        try:
            agreements, bad = await asyncio.to_thread(read_file, text)
        except FileError as error:
            return Refusal(kind=RefusalKind.INVALID, sentence=str(error), remedy="See docs/drivers.md for the columns.")
        if dry_run or bad:
            return ImportAnswer(dry_run=dry_run, rows=len(agreements) + len(bad), imported=0, bad_rows=tuple(bad))
        self._room.drivers.agree(agreements, self._now_s(), by)
        self._room.agreements_changed(self._now_s())
        await self._settled()
        return ImportAnswer(dry_run=False, rows=len(agreements), imported=len(agreements))

    async def erase_driver(self, identifier: str, by: str) -> ErasureAnswer | Refusal:
        """Erase agreement, counted energy, the link from sessions, and what was learned of a person's or car's."""
        drivers = self._room.drivers
        subjects = {drivers.subject_of(Scope.DRIVER, identifier), identifier}
        agreements, accounts = drivers.erase(subjects)
        changed = self._room.fleet.erase(subjects, self._now_s())
        self._room.agreements_changed(self._now_s())
        await self._settled()
        stored = await asyncio.to_thread(self._linked, subjects)
        open_now = set(self._room.fleet.uids())
        for record in (*changed, *stored):
            if record.session_uid not in open_now:
                self._room.journal.put(DocumentKind.SESSION, str(record.session_uid), record.without(subjects))
        # How the cars of these sessions answered goes, too, by whatever name the person was erased.
        cars = {record.evccid_hash for record in (*changed, *stored) if record.evccid_hash}
        learned = self._room.experience.erase(subjects | cars)
        await self._settled()
        sessions = len({record.session_uid for record in (*changed, *stored)})
        if not (agreements or accounts or sessions or learned):
            return _nobody()
        return ErasureAnswer(agreements=agreements, accounts=accounts, sessions=sessions, learned=learned)

    async def override(self, station_id: StationId, transaction_id: str | None, said: SessionOverride) -> Sequence[SessionView] | Refusal:
        """What a driver says for one session, or for every session at a station."""
        now_s = self._now_s()
        if said.departure_s is not None and not now_s <= said.departure_s <= now_s + LONGEST_STAY_S:
            return Refusal(
                kind=RefusalKind.INVALID,
                sentence="The departure lies in the past, or more than a year ahead.",
                remedy="Write the instant with its date and time zone, such as 2026-11-22T15:00+01:00.",
            )
        keys = {uid: self._room.fleet.key_of(uid) for uid in self._room.fleet.uids()}
        chosen = {uid for uid, key in keys.items() if key is not None and key[0] == station_id and transaction_id in (None, key[1])}
        if not chosen:
            what = "no open session" if transaction_id is None else f"no open session {transaction_id}"
            sentence = f"Station {station_id} has {what}."
            return Refusal(kind=RefusalKind.NOT_FOUND, sentence=sentence, remedy="GET /api/v1/sessions lists the open sessions.")
        for uid in sorted(chosen):
            self._room.override(uid, said_now(self._room.fleet.override_of(uid), said, now_s), now_s)
        await self._settled()
        return session_views(self._room, chosen, now_s)

    def _unusable(self, terms: PartialTerms) -> Refusal | None:
        contract = terms.contract
        if contract is None or self._room.drivers.view(Scope.CONTRACT, contract) is not None:
            return None
        return Refusal(
            kind=RefusalKind.INVALID,
            sentence=f"There is no contract '{contract}'.",
            remedy="Agree on the contract first (scope contract), then name it.",
        )

    def _linked(self, subjects: set[str]) -> list[SessionRecord]:
        """Stored sessions of these subjects. Blocking."""
        self._room.journal.flush()
        records = (record for _, record in self._room.journal.documents(DocumentKind.SESSION))
        return [record for record in records if record.id_token_hash in subjects or record.evccid_hash in subjects]


def _nobody() -> Refusal:
    return Refusal(
        kind=RefusalKind.NOT_FOUND,
        sentence="Nothing is known of this driver, vehicle or contract.",
        remedy="counterflow drivers list shows the agreements.",
    )


def said_now(before: SessionOverride, said: SessionOverride, now_s: float) -> SessionOverride:
    """A driver's new word beside the earlier ones: a minimum leaves stop and departure as they are, and the other way round; a word that
    says nothing takes all of them back."""
    if said.min_soc_frac is not None:
        # When the departure was said counts against what the car tells of its own.
        return msgspec.structs.replace(before, min_soc_frac=said.min_soc_frac, by=said.by, at_s=before.at_s or now_s)
    kept = before.min_soc_frac if said.stop or said.departure_s is not None else None
    return msgspec.structs.replace(said, min_soc_frac=kept, at_s=now_s)
