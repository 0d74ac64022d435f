"""Blackouts, caps and what drivers say for a session, as they come to stand in the row."""

from collections.abc import Callable
from datetime import UTC, datetime
from math import inf, isnan

import msgspec
import pytest

from counterflow.domain.drivers import AgreedTerms, EnergyCap, SessionOverride
from counterflow.domain.reasons import DropOutKind

AGREED = AgreedTerms(consent=True)


def capped(day_wh: float, account: str = "driver:tag") -> AgreedTerms:
    return AgreedTerms(consent=True, caps=(EnergyCap(account=account, day_wh=day_wh),))


def started(yard, terms: AgreedTerms, **fields: object):
    yard.terms["tag"] = terms
    yard.connect()
    yard.discover()
    yard.start(id_token="tag", **fields)
    return yard


def cell_at(yard, column: str, at: float, t0: float) -> float:
    row = yard.state.row_of(yard.uid())
    return float(getattr(yard.state.snapshot(t0 + at), column)[row])


def test_a_cap_becomes_a_reading_of_the_export_register(yard) -> None:
    started(yard, capped(5_000.0))
    assert isnan(yard.cell("export_limit_wh")), "without a register a cap cannot be kept"
    yard.sample(at=1.0, power_w=0.0, export_wh=1_000.0, import_wh=0.0)
    assert yard.cell("export_limit_wh") == 6_000.0
    yard.sample(at=2.0, power_w=-7_000.0, export_wh=2_000.0, import_wh=0.0)
    assert yard.cell("export_limit_wh") == 6_000.0
    yard.sample(at=3.0, power_w=-7_000.0, export_wh=10.0, import_wh=0.0)
    assert yard.cell("export_limit_wh") == 4_010.0, "a register that begins anew takes the limit along"


def test_without_a_cap_nothing_is_limited(yard) -> None:
    started(yard, AGREED)
    assert yard.cell("export_limit_wh") == inf


def test_a_session_cap_counts_from_the_start_of_the_session(yard) -> None:
    started(yard, AgreedTerms(consent=True, max_session_discharge_wh=3_000.0))
    yard.sample(at=1.0, power_w=0.0, export_wh=500.0, import_wh=0.0)
    assert yard.cell("export_limit_wh") == 3_500.0
    yard.end(at=5.0)
    yard.start("t2", at=6.0, id_token="tag")
    yard.sample("t2", at=7.0, power_w=0.0, export_wh=2_500.0, import_wh=0.0)
    assert yard.cell("export_limit_wh", "t2") == 5_500.0


def test_energy_of_the_last_message_counts_for_the_next_session(yard, t0: float) -> None:
    started(yard, capped(5_000.0))
    yard.sample(at=1.0, power_w=0.0, export_wh=0.0, import_wh=0.0)
    yard.end(at=5.0, measurements=yard.reading(5.0, export_wh=1_500.0))
    assert yard.state.accounts.get("driver:tag").day_wh == 1_500.0
    yard.end(at=6.0, measurements=yard.reading(6.0, export_wh=1_700.0), offline=True)
    assert yard.state.accounts.get("driver:tag").day_wh == 1_700.0, "a latecomer counts too"
    yard.start("t2", at=7.0, id_token="tag")
    yard.sample("t2", at=8.0, power_w=0.0, export_wh=9_000.0, import_wh=0.0)
    assert yard.cell("export_limit_wh", "t2") == 12_300.0


def test_counters_survive_a_restart_with_nothing_counted_twice(yard, new_yard: Callable[..., object], t0: float) -> None:
    started(yard, capped(5_000.0))
    yard.sample(at=1.0, power_w=0.0, export_wh=0.0, import_wh=0.0)
    yard.needs(at=2.0)
    yard.sample(at=3.0, power_w=-7_000.0, export_wh=1_000.0, import_wh=0.0)
    yard.update(at=4.0, trigger="ChargingStateChanged", id_token="tag")
    stored = [msgspec.json.decode(msgspec.json.encode(one), type=type(one)) for one in yard.state.accounts.take_changed()]
    again = new_yard()
    again.state.restore([yard.state.record_of(yard.uid())], [], [], [], t0 + 10.0, stored)
    again.sample(at=11.0, power_w=0.0, export_wh=1_800.0, import_wh=0.0)
    assert again.cell("export_limit_wh") == 5_000.0
    again.end(at=12.0)
    assert again.state.accounts.get("driver:tag").day_wh == 1_800.0


def test_a_new_day_is_noticed_by_the_image(yard, t0: float) -> None:
    started(yard, capped(5_000.0))
    yard.sample(at=1.0, power_w=0.0, export_wh=0.0, import_wh=0.0)
    yard.sample(at=2.0, power_w=-7_000.0, export_wh=5_000.0, import_wh=0.0)
    assert cell_at(yard, "export_limit_wh", 3.0, t0) == 5_000.0
    assert cell_at(yard, "export_limit_wh", 86_400.0, t0) == 10_000.0


def test_a_blackout_stands_in_the_row_and_the_next_follows_it(yard, t0: float) -> None:
    now = datetime.fromtimestamp(t0, UTC)
    begin, end = now.hour * 60 + now.minute + 60, now.hour * 60 + now.minute + 120
    text = f"daily {begin // 60 % 24:02d}:{begin % 60:02d}-{end // 60 % 24:02d}:{end % 60:02d}"
    started(yard, msgspec.structs.replace(AGREED, blackouts=(text,)))
    first_s = cell_at(yard, "blackout_from_s", 0.0, t0)
    assert first_s == pytest.approx(t0 + 3600.0, abs=60.0)
    assert cell_at(yard, "blackout_from_s", 3 * 3600.0, t0) == first_s + 86_400.0


def test_stop_bars_the_session_and_clear_gives_it_back(yard, t0: float) -> None:
    yard.ready()
    applied = yard.state.override(yard.uid(), SessionOverride(stop=True, at_s=t0, by="me"), t0)
    assert applied.left == ((yard.uid(), DropOutKind.WITHDRAWN),)
    assert applied.wake
    assert applied.changed[0].override.stop, "it survives a restart"
    assert yard.cell("driver_stop") is True
    assert yard.state.override(yard.uid(), SessionOverride(), t0).left == ()
    assert yard.cell("driver_stop") is False


def test_the_drivers_word_on_departure_wins_unless_the_car_says_an_earlier_one_later(yard, t0: float) -> None:
    yard.ready()
    assert yard.cell("departure_s") == t0 + 8 * 3600.0
    yard.state.override(yard.uid(), SessionOverride(departure_s=t0 + 7200.0, at_s=t0 + 10.0), t0 + 10.0)
    assert yard.cell("departure_s") == t0 + 7200.0
    assert yard.cell("bounds_at_s") == t0 + 10.0, "orders that were sent before end too late"
    yard.needs(at=20.0, departure_s=t0 + 9 * 3600.0)
    assert yard.cell("departure_s") == t0 + 7200.0
    yard.needs(at=30.0, departure_s=t0 + 3600.0)
    assert yard.cell("departure_s") == t0 + 3600.0
    assert yard.cell("bounds_at_s") == t0 + 30.0
    yard.state.override(yard.uid(), SessionOverride(departure_s=t0 + 9 * 3600.0, at_s=t0 + 40.0), t0 + 40.0)
    assert yard.cell("departure_s") == t0 + 9 * 3600.0
    assert yard.cell("bounds_at_s") == t0 + 30.0, "a later departure makes no order too long"


def test_terms_that_change_reach_open_sessions(yard, t0: float) -> None:
    started(yard, AGREED)
    yard.terms["tag"] = AgreedTerms(consent=False, min_soc_frac=0.6)
    applied = yard.state.terms_changed(t0 + 5.0)
    assert applied.wake
    assert [record.terms.consent for record in applied.changed] == [False]
    assert yard.cell("consent") is False
    assert yard.cell("soc_floor_frac") == pytest.approx(0.6)
    assert yard.cell("bounds_at_s") == t0 + 5.0
    assert yard.state.terms_changed(t0 + 6.0).changed == ()


def test_the_vehicle_is_known_by_its_evccid(yard) -> None:
    yard.terms["car"] = AgreedTerms(consent=True, min_soc_frac=0.7)
    yard.connect()
    yard.discover()
    yard.start(evccid="car")
    assert yard.cell("soc_floor_frac") == pytest.approx(0.7)
    assert yard.state.record_of(yard.uid()).evccid_hash == "#car"
