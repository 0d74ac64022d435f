"""One session as the single writer keeps it: the facts behind a row, and how they become cells and a record."""

from math import inf, isnan, nan

import msgspec

from counterflow.domain.conflicts import Conflict, DischargeCap
from counterflow.domain.drivers import AgreedTerms, EnergyCap, SessionOverride, Upgrade
from counterflow.domain.ids import EvseId, SessionUid, SiteId, StationId, TransactionId
from counterflow.domain.records import SessionRecord
from counterflow.domain.telemetry import ChargingNeedsReported, EventKind, TransactionPhase
from counterflow.engine.fleet.accounts import own_account
from counterflow.engine.fleet.applied import Applied
from counterflow.engine.fleet.columns import Columns
from counterflow.engine.fleet.orders import OrderBook
from counterflow.engine.fleet.settings import FleetSettings

EventKey = tuple[int, float, EventKind]
RECENT_EVENTS = 4


class Session:
    """An open session. Times of telemetry start at -inf so that anything is newer; readings start as NaN."""

    __slots__ = (
        "abnormal",
        "arrived_s",
        "cap",
        "caps",
        "conflict",
        "drew_w",
        "evccid_hash",
        "event_s",
        "evse_id",
        "export_at_s",
        "export_wh",
        "id_token_hash",
        "import_at_s",
        "import_wh",
        "interval_confirmed",
        "named_capacity_wh",
        "named_charge_w",
        "needs",
        "needs_export_wh",
        "needs_import_wh",
        "needs_soc_frac",
        "newest_s",
        "observed_interval_s",
        "orders",
        "override",
        "pause_from_s",
        "pause_until_s",
        "paused_s",
        "phase",
        "phase_at_s",
        "phases",
        "phases_refused",
        "power_at_s",
        "priority_charging",
        "quiet",
        "recent",
        "revisit_s",
        "row",
        "set_back_wh",
        "settled",
        "site_id",
        "soc_at_s",
        "soc_export_wh",
        "soc_frac",
        "soc_import_wh",
        "started_s",
        "station_id",
        "terms",
        "transaction_id",
        "turn",
        "uid",
        "upgrade",
    )

    def __init__(self, record: SessionRecord, row: int) -> None:
        """A session from what is to be known of it again after a restart."""
        self.uid: SessionUid = record.session_uid
        self.row = row
        self.station_id: StationId = record.station_id
        self.transaction_id: TransactionId = record.transaction_id
        self.site_id: SiteId = record.site_id
        self.evse_id: EvseId = record.evse_id
        self.started_s = record.started_s
        self.terms: AgreedTerms = record.terms
        self.caps: tuple[EnergyCap, ...] = caps_of(record.session_uid, record.terms)
        """On which accounts the session's energy counts."""
        self.set_back_wh = 0.0
        """By how much the export register was set back since energy was last counted, <= 0."""
        self.revisit_s = inf
        """When its blackout or its caps are to be looked at again."""
        self.id_token_hash = record.id_token_hash
        self.evccid_hash = record.evccid_hash
        self.override: SessionOverride = record.override
        self.upgrade: Upgrade = record.upgrade
        self.phase = TransactionPhase(record.phase)
        self.phase_at_s = -inf
        self.phases = record.phases
        self.phases_refused = False
        self.priority_charging = record.priority_charging
        self.abnormal = False
        self.conflict = Conflict.NONE
        self.cap = DischargeCap()
        self.needs: ChargingNeedsReported | None = record.needs
        self.needs_export_wh = _number(record.needs_export_wh)
        self.needs_import_wh = _number(record.needs_import_wh)
        self.needs_soc_frac = _number(record.needs_soc_frac)
        self.power_at_s = -inf
        self.export_wh = nan
        self.export_at_s = -inf
        self.import_wh = nan
        self.import_at_s = -inf
        self.soc_frac = nan
        self.soc_at_s = -inf
        self.soc_export_wh = nan
        self.soc_import_wh = nan
        self.newest_s = -inf
        self.settled = False
        """Nothing waits for a first reading: a whole sample in order changes readings only."""
        self.arrived_s = nan
        self.observed_interval_s = nan
        self.interval_confirmed = False
        self.event_s = -inf
        self.recent: list[EventKey | None] = [None] * RECENT_EVENTS
        self.turn = 0
        self.orders = OrderBook()
        self.named_capacity_wh = self.named_charge_w = nan
        """What the settings name for the cars at its EVSE, where nobody tells."""
        self.paused_s = record.paused_s
        """How long orders have slowed or paused its charging, without the one that is on since `pause_from_s`, until `pause_until_s`."""
        self.pause_from_s = nan
        self.pause_until_s = nan
        self.drew_w = _number(record.drew_w)
        """What it drew before that order: so fast, and no faster, it will charge afterwards."""
        self.quiet = Applied(sampled=record.session_uid)
        """The answer to an ordinary sample, made once."""

    def seen_before(self, seq_no: int, at_s: float, kind: EventKind) -> bool:
        """Whether this very event was taken already; some stations number all events 0, so time and kind count too."""
        key = (seq_no, at_s, kind)
        if at_s > self.event_s:
            self.event_s = at_s
        elif key in self.recent:
            return True
        self.turn = turn = (self.turn + 1) % RECENT_EVENTS
        self.recent[turn] = key
        return False

    def settle(self) -> None:
        """See whether the needs still wait for a reading of a kind that the station sends."""
        self.settled = self.needs is None or not (
            isnan(self.needs_export_wh) or isnan(self.needs_soc_frac) or (isnan(self.needs_import_wh) and not isnan(self.import_wh))
        )

    def forget_freshness(self, columns: Columns) -> None:
        """The line was cut: whatever is known is old until a live sample comes."""
        self.arrived_s = nan
        columns.last_sample_s[self.row] = nan

    def agree(self, terms: AgreedTerms) -> None:
        """Other terms hold from now on."""
        self.terms = terms
        self.caps = caps_of(self.uid, terms)

    @property
    def is_capped(self) -> bool:
        """Some cap on discharged energy holds."""
        return any(cap.is_bound for cap in self.caps)

    def pause(self, from_s: float, until_s: float, power_w: float) -> None:
        """An order slows or pauses it from now on; `power_w` = what it draws now."""
        if not from_s < self.pause_until_s:
            self.drew_w = power_w
        self.resume(from_s)
        self.pause_from_s, self.pause_until_s = from_s, until_s

    def resume(self, now_s: float) -> None:
        """No order does any more."""
        if not isnan(self.pause_from_s):
            self.paused_s += max(0.0, min(now_s, self.pause_until_s) - self.pause_from_s)
        self.pause_from_s = self.pause_until_s = nan

    def write_pause(self, columns: Columns) -> None:
        """Show in the row how long it may still be paused."""
        columns.pausing[self.row] = self.terms.pausing
        columns.pause_left_s[self.row] = inf if self.terms.max_pause_s is None else self.terms.max_pause_s - self.paused_s
        columns.pause_from_s[self.row] = self.pause_from_s
        columns.drew_w[self.row] = self.drew_w

    def departure_s(self) -> float:
        """What the driver said, unless the car announced an earlier departure after that; else the car's own; else assumed."""
        announced_s = None if self.needs is None else self.needs.departure_s
        said = self.override
        if said.departure_s is not None:
            later_word = announced_s is not None and self.needs is not None and self.needs.at_s > said.at_s
            return min(said.departure_s, announced_s) if later_word and announced_s is not None else said.departure_s
        return self.started_s + self.terms.departure_after_s if announced_s is None else announced_s

    def phases_to_tell(self) -> int | None:
        """One or two, as the car's needs name them or the station has told; never for DC."""
        if self.phases_refused or (self.needs is not None and self.needs.ac is False):
            return None
        named = None if self.needs is None else self.needs.phases
        phases = self.phases if named is None else named
        return phases if phases in (1, 2) else None

    def take_needs(self, needs: ChargingNeedsReported, settings: FleetSettings) -> None:
        """New charging needs: energies count from here, by the registers."""
        self.settled = False
        self.needs = needs
        self.needs_export_wh = self.export_wh
        self.needs_import_wh = nan
        self.needs_soc_frac = nan
        if needs.soc_frac is not None:
            self.needs_soc_frac = needs.soc_frac
        elif abs(self.soc_at_s - needs.at_s) <= settings.needs_soc_age_s:
            self.needs_soc_frac = self.soc_frac

    def capacity_wh(self, settings: FleetSettings) -> float:
        """The battery's capacity: as told, or inferred from the room left at a truncated state of charge; NaN = unknown.

        `C = E_max * 100 / (100 - SoC - 0.5)`, rms error 0.6 % at SoC 50, 3 % at 90 (control reference 1.1).
        """
        if self.needs is None:
            return self.named_capacity_wh
        if self.needs.capacity_wh is not None and self.needs.capacity_wh > 0.0:
            return self.needs.capacity_wh
        room_wh, soc_frac = self.needs.max_energy_request_wh, self.needs_soc_frac
        if room_wh is None or room_wh <= 0.0 or not soc_frac <= settings.max_inference_soc_frac:
            return self.named_capacity_wh
        return room_wh / (1.0 - soc_frac - 0.005)

    def floor_frac(self, settings: FleetSettings, capacity_wh: float) -> float:
        """The largest of the minima of driver, operator and car."""
        floor = max(self.terms.min_soc_frac, settings.operator_min_soc_frac, self.override.min_soc_frac or 0.0)
        if self.needs is not None and self.needs.min_energy_request_wh is not None:
            own = self.needs_soc_frac + self.needs.min_energy_request_wh / capacity_wh
            if not isnan(own):
                floor = max(floor, min(1.0, own))
        return floor

    def write_needs(self, columns: Columns, settings: FleetSettings, rated_w: float) -> None:
        """Show terms and needs in the row; `rated_w` is the EVSE's discharge rating, NaN when unknown."""
        row, needs, terms = self.row, self.needs, self.terms
        capacity_wh = self.capacity_wh(settings)
        columns.consent[row] = terms.consent
        self.write_pause(columns)
        columns.bidirectional[row] = terms.transfer_by_evse_alone or (needs is not None and needs.bidirectional)
        columns.started_s[row] = self.started_s
        columns.driver_stop[row] = self.override.stop
        columns.departure_s[row] = self.departure_s()
        columns.capacity_wh[row] = capacity_wh
        columns.soc_floor_frac[row] = self.floor_frac(settings, capacity_wh)
        columns.soc_target_frac[row] = terms.target_soc_frac
        columns.wear_per_kwh[row] = _number(terms.wear_cost_per_kwh)
        columns.max_discharge_w[row] = rated_w * settings.nameplate_share
        columns.iso15118_20[row] = needs is not None and needs.iso15118_20
        columns.scheduled_control[row] = needs is not None and needs.iso15118_20 and not needs.dynamic_control
        columns.max_charge_w[row] = self.named_charge_w
        if needs is None:
            return
        if needs.target_soc_frac is not None:
            columns.soc_target_frac[row] = needs.target_soc_frac
        own_w = _number(needs.max_discharge_power_w)
        if not isnan(own_w):
            columns.max_discharge_w[row] = abs(own_w) if isnan(rated_w) else min(abs(own_w), rated_w)
        columns.min_discharge_w[row] = abs(_number(needs.min_discharge_power_w))
        if needs.max_charge_power_w is not None:
            columns.max_charge_w[row] = needs.max_charge_power_w
        columns.min_charge_w[row] = _number(needs.min_charge_power_w)
        columns.v2x_floor_wh[row] = -_number(needs.min_v2x_energy_request_wh)
        columns.target_request_wh[row] = _number(needs.target_energy_request_wh)
        columns.needs_at_s[row] = needs.at_s
        columns.needs_export_wh[row] = self.needs_export_wh
        columns.needs_import_wh[row] = self.needs_import_wh

    def record(self, ended_s: float | None = None) -> SessionRecord:
        """The session as it must be known again after a restart."""
        return SessionRecord(
            session_uid=self.uid,
            station_id=self.station_id,
            transaction_id=self.transaction_id,
            site_id=self.site_id,
            evse_id=self.evse_id,
            started_s=self.started_s,
            terms=self.terms,
            ended_s=ended_s,
            phase=int(self.phase),
            phases=self.phases,
            id_token_hash=self.id_token_hash,
            evccid_hash=self.evccid_hash,
            override=self.override,
            upgrade=self.upgrade,
            needs=self.needs,
            needs_export_wh=_known(self.needs_export_wh),
            needs_import_wh=_known(self.needs_import_wh),
            needs_soc_frac=_known(self.needs_soc_frac),
            priority_charging=self.priority_charging,
            paused_s=self.paused_s + (0.0 if isnan(self.pause_from_s) else max(0.0, self.pause_until_s - self.pause_from_s)),
            drew_w=_known(self.drew_w),
        )


def caps_of(uid: SessionUid, terms: AgreedTerms) -> tuple[EnergyCap, ...]:
    """The caps of a session: those of its people and contract, and its own."""
    own = EnergyCap(account=own_account(uid), total_wh=terms.max_session_discharge_wh)
    shared = tuple(cap for cap in terms.caps if cap.account)
    nobodys = next((cap for cap in terms.caps if not cap.account), None)
    if nobodys is not None:
        own = msgspec.structs.replace(nobodys, account=own.account, total_wh=own.total_wh)
    return (*shared, own) if own.is_bound else shared


def _number(value: float | None) -> float:
    return nan if value is None else value


def _known(value: float) -> float | None:
    return None if isnan(value) else value
