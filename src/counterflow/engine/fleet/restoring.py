"""The fleet known again after a start: sessions, their newest samples, and the orders that may be in force."""

from collections.abc import Iterable
from math import isnan
from typing import assert_never

from counterflow.domain.commands import ProfileKind
from counterflow.domain.delivery import Sample
from counterflow.domain.drivers import AccountRecord
from counterflow.domain.ids import SessionUid
from counterflow.domain.records import DiscoveryRecord, ProfileRecord, ProfileState, SessionRecord
from counterflow.domain.setpoints import FallbackState
from counterflow.domain.telemetry import Measurement
from counterflow.engine.fleet.metering import restore_soc, take_measurement
from counterflow.engine.fleet.orders import Order
from counterflow.engine.fleet.roster import Roster
from counterflow.engine.fleet.sessions import Session


def restore(
    roster: Roster,
    records: Iterable[SessionRecord],
    samples: Iterable[Sample],
    discoveries: Iterable[DiscoveryRecord],
    profiles: Iterable[ProfileRecord],
    now_s: float,
    accounts: Iterable[AccountRecord],
) -> None:
    """As `FleetState.restore`."""
    roster.now_s = now_s
    roster.accounts.restore(accounts)
    for discovery in discoveries:
        roster.station(discovery.station_id).discovered(discovery.evses, discovery.meter_interval_s)
    for record in sorted(records, key=lambda record: record.started_s):
        roster.readmit(record)
    for sample in samples:
        session = roster.open.get(sample.session_uid)
        if session is not None:
            _restore_sample(roster, session, sample, now_s)
    for profile in profiles:
        session = roster.open.get(profile.session_uid)
        if session is not None:
            _restore_profile(roster, session, profile)


def heard_lately(roster: Roster, uids: Iterable[SessionUid], now_s: float) -> None:
    """As `FleetState.heard_lately`."""
    for uid in uids:
        session = roster.open.get(uid)
        if session is not None:
            roster.columns.last_sample_s[session.row] = now_s


def _restore_sample(roster: Roster, session: Session, sample: Sample, now_s: float) -> None:
    reading = Measurement(
        at_s=sample.at_s,
        power_w=sample.power_w,
        export_wh=sample.export_wh,
        import_wh=sample.import_wh,
    )
    baseline_wh = session.needs_export_wh
    learned = take_measurement(session, roster.columns, reading, now_s, False, roster.settings)
    if not isnan(sample.soc_frac) and not isnan(baseline_wh):
        restore_soc(session, roster.columns, sample.soc_frac, sample.at_s, baseline_wh)
    if learned:
        roster.show(session, roster.station(session.station_id))


def _restore_profile(roster: Roster, session: Session, profile: ProfileRecord) -> None:
    match profile.kind:
        case ProfileKind.FALLBACK:
            placed = profile.state is ProfileState.PLACED
            roster.columns.fallback_state[session.row] = FallbackState.PLACED if placed else FallbackState.NONE
        case ProfileKind.DISCHARGE:
            order = Order(
                profile.power_w,
                profile.placed_at_s,
                profile.discharge_until_s,
                profile.hold_until_s,
                profile.path != "",
                profile.reduces,
                profile.later,
            )
            session.orders.restored(order, sure=profile.state is ProfileState.PLACED)
            roster.told(session, order)
        case _:
            assert_never(profile.kind)
