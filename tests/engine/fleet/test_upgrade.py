"""When a session that began charging only is offered more, and what the reasons say of those that cannot."""

import msgspec
import pytest

from counterflow.domain.drivers import AgreedTerms, Upgrade
from counterflow.domain.ids import StationId
from counterflow.domain.reasons import Reason
from counterflow.engine.fleet.capability import CapabilitySettings, capability
from counterflow.engine.fleet.upgrade import upgrade_due

CONSENT = AgreedTerms(consent=True)


def a_session(yard, consent: bool = True, **needs: object):
    yard.terms["tag"] = AgreedTerms(consent=consent)
    yard.connect()
    yard.discover()
    yard.start(id_token="tag")
    yard.needs(**({"bidirectional": False, "can_upgrade": True, "iso15118_20": True} | needs))
    return yard.state.record_of(yard.uid())


@pytest.mark.parametrize("support", [True, None])
def test_q01_a_session_that_could_do_more_is_offered_more(yard, support) -> None:
    assert upgrade_due(a_session(yard), support)


@pytest.mark.parametrize("why", ["unsupported", "no consent", "cannot", "already", "offered", "ended"])
def test_q01_nothing_is_offered_where_it_is_no_use(yard, why: str) -> None:
    record = a_session(yard, why != "no consent", can_upgrade=why != "cannot", bidirectional=why == "already")
    if why == "offered":
        record = msgspec.structs.replace(record, upgrade=Upgrade.REFUSED)
    if why == "ended":
        record = msgspec.structs.replace(record, ended_s=record.started_s + 1.0)
    assert not upgrade_due(record, False if why == "unsupported" else None)


def test_how_far_the_offer_has_come_is_kept_in_the_record(yard) -> None:
    a_session(yard)
    applied = yard.state.note_upgrade(yard.uid(), Upgrade.OFFERED)
    assert applied.changed[0].upgrade is Upgrade.OFFERED
    assert yard.state.record_of(yard.uid()).upgrade is Upgrade.OFFERED
    assert [record.upgrade for record in yard.state.records_at(StationId("A"))] == [Upgrade.OFFERED]
    assert yard.state.records_at(StationId("B")) == []


def reason_of(yard, t0: float, at: float) -> Reason:
    image = yard.state.snapshot(t0 + at)
    return Reason(int(capability(image, t0 + at, t0 + at + 900.0, CapabilitySettings()).reason[0]))


def test_the_reason_says_what_is_missing(yard, t0: float) -> None:
    a_session(yard, can_upgrade=False, iso15118_20=False)
    yard.sample(at=6.0, power_w=0.0, export_wh=0.0, import_wh=0.0)
    assert reason_of(yard, t0, 7.0) is Reason.NOT_ISO15118_20
    yard.needs(at=8.0, bidirectional=False, iso15118_20=True)
    assert reason_of(yard, t0, 9.0) is Reason.NO_BIDIRECTIONAL_TRANSFER
