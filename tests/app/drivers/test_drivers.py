"""Agreements over the operations: durable, felt by open sessions, imported whole, erased for good."""

import asyncio
from typing import Any

import msgspec

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.domain.driver_views import DriverView, ErasureAnswer, ImportAnswer
from counterflow.domain.drivers import AccountRecord, PartialTerms, Scope, SessionOverride
from counterflow.domain.ids import StationId
from counterflow.domain.records import DocumentKind
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.sim.settings import WorldSettings

TOKEN = "DECFW000000001"


def house(**drivers: Any) -> Replay:
    settings = msgspec.convert({"stations": {"accept_unknown": True}, "drivers": drivers}, Settings)
    return Replay(settings, WorldSettings(stations=3), 1, journal=MemoryJournal()).run(30)


def reasons(at: Replay) -> dict[str, str]:
    return {view.station_id: view.reason for view in at.do(at.operations.sessions())}


def test_consent_given_over_the_api_reaches_the_open_session_and_survives_a_restart() -> None:
    at = house()
    assert set(reasons(at).values()) == {"no_consent"}
    view = at.do(at.operations.set_driver(Scope.DRIVER, TOKEN.lower(), "van", {"consent": True}, "me"))
    assert isinstance(view, DriverView)
    assert (view.stored, view.label, view.changed_by, TOKEN in repr(view)) == (True, "van", "me", False)
    assert sorted(reasons(at).values()) != ["no_consent"] * 3
    at.restart()
    at.run(40)
    assert list(reasons(at).values()).count("no_consent") == 2
    assert at.operations.find_driver(TOKEN)[0].terms == PartialTerms(consent=True)
    at.do(at.operations.remove_driver(Scope.DRIVER, view.subject, "me"))
    assert set(reasons(at).values()) == {"no_consent"}


def test_fields_change_one_by_one_and_none_takes_one_back() -> None:
    at = house(drivers={TOKEN: {"min_soc_frac": 0.5}})
    at.do(at.operations.set_driver(Scope.DRIVER, TOKEN, "van", {"consent": True}, "me"))
    at.do(at.operations.set_driver(Scope.DRIVER, TOKEN, None, {"max_day_discharge_wh": 5_000.0, "min_soc_frac": None}, "me"))
    [view] = at.operations.find_driver(TOKEN)
    assert view.terms == PartialTerms(consent=True, max_day_discharge_wh=5_000.0)
    assert view.label == "van"
    assert at.operations.driver(Scope.DRIVER, view.subject) == view


def test_what_cannot_be_agreed_is_refused_in_words() -> None:
    at = house()
    for changes in ({"blackouts": ["sometimes"]}, {"timezone": "Mars"}, {"contract": "nobody's"}):
        answer = at.do(at.operations.set_driver(Scope.DRIVER, TOKEN, None, changes, "me"))
        assert isinstance(answer, Refusal)
        assert answer.kind is RefusalKind.INVALID
    assert at.operations.drivers() == []
    unknown = at.do(at.operations.remove_driver(Scope.DRIVER, "x", "me"))
    assert isinstance(unknown, Refusal)


def test_an_import_is_whole_or_nothing() -> None:
    at = house()
    bad = asyncio.run(at.operations.import_drivers(f"id,consent\n{TOKEN},yes\nB,perhaps\n", False, "me"))
    assert isinstance(bad, ImportAnswer)
    assert (bad.imported, [row.line for row in bad.bad_rows]) == (0, [3])
    assert at.operations.drivers() == []
    dry = asyncio.run(at.operations.import_drivers(f"id,consent\n{TOKEN},yes\n", True, "me"))
    assert isinstance(dry, ImportAnswer)
    assert (dry.rows, dry.imported, at.operations.drivers()) == (1, 0, [])
    done = asyncio.run(at.operations.import_drivers(f"id,consent\n{TOKEN},yes\nB,no\n", False, "me"))
    assert done == ImportAnswer(dry_run=False, rows=2, imported=2)
    assert list(reasons(at).values()).count("no_consent") == 2
    assert isinstance(asyncio.run(at.operations.import_drivers("nothing", False, "me")), Refusal)


def test_erasure_leaves_nothing_that_tells_whose_session_it_was() -> None:
    at = house(default={"consent": True, "max_day_discharge_wh": 5_000.0})
    at.do(at.operations.set_driver(Scope.DRIVER, TOKEN, "van", {"consent": True}, "me"))
    [view] = at.operations.find_driver(TOKEN)
    assert any(view.subject in repr(record) for _, record in at.journal.documents(DocumentKind.SESSION))
    erased = asyncio.run(at.operations.erase_driver(TOKEN, "me"))
    assert isinstance(erased, ErasureAnswer)
    assert (erased.agreements, erased.sessions) == (1, 1)
    for kind in DocumentKind:
        assert view.subject not in repr(at.journal.documents(kind)), kind
    assert view.subject not in repr(at.journal.documents(DocumentKind.SESSION))
    assert at.operations.find_driver(TOKEN) == []
    assert len(at.do(at.operations.sessions())) == 3, "the session itself goes on"
    assert isinstance(asyncio.run(at.operations.erase_driver(TOKEN, "me")), Refusal)


def test_an_override_names_what_it_cannot_do() -> None:
    at = house()
    nobody = at.do(at.operations.override(StationId("nowhere"), None, SessionOverride(stop=True)))
    assert isinstance(nobody, Refusal)
    past = at.do(at.operations.override(StationId("SIM-00001"), None, SessionOverride(departure_s=at.now_s - 60.0)))
    assert isinstance(past, Refusal)
    assert "past" in past.sentence


def test_an_override_over_the_operations_shows_in_the_session() -> None:
    at = house(default={"consent": True})
    station = StationId(at.do(at.operations.sessions())[0].station_id)
    answer = at.do(at.operations.override(station, None, SessionOverride(stop=True, by="me")))
    assert not isinstance(answer, Refusal)
    assert [(view.override, view.reason) for view in answer] == [("stop", "driver_stop")]
    answer = at.do(at.operations.override(station, answer[0].transaction_id, SessionOverride(departure_s=at.now_s + 3_600.0)))
    assert not isinstance(answer, Refusal)
    assert answer[0].override == "departs 2026-11-22T18:00:30Z"
    assert answer[0].departure_s == at.now_s + 3_600.0


def test_counted_energy_that_no_cap_looks_back_to_leaves_the_journal_and_does_not_come_back_after_a_restart() -> None:
    at = house(default={"consent": True, "max_year_discharge_wh": 5_000.0})
    old, own = AccountRecord(account="driver:long-gone", day="2020-01-01", year_wh=1.0), AccountRecord(account="session:999")
    for record in (old, own):
        at.journal.put(DocumentKind.ACCOUNT, record.account, record)
    at.restart()
    at.run(40)

    def stored() -> set[str]:
        return {record.account for _, record in at.journal.documents(DocumentKind.ACCOUNT)}

    live = stored() - {old.account, own.account}
    assert len(live) >= 3
    assert at.room.drivers.expire_accounts(at.now_s, 400) == 2
    assert stored() == live
    assert at.room.drivers.expire_accounts(at.now_s, 400) == 0
