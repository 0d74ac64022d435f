"""A yard with one station to play with, and images made by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from counterflow.domain.drivers import AgreedTerms
from counterflow.domain.ids import EvseId, SessionUid, SiteId, StationId, TransactionId
from counterflow.domain.resources import ControlMode, EvseCapability, Site
from counterflow.domain.telemetry import (
    CapabilitiesDiscovered,
    ChargingNeedsReported,
    EventKind,
    EvseMeasured,
    Measurement,
    StationConnected,
    StationDisconnected,
    TransactionPhase,
    TransactionReported,
)
from counterflow.engine.fleet.applied import Applied
from counterflow.engine.fleet.settings import FleetSettings
from counterflow.engine.fleet.snapshot import FleetImage, empty_columns, freeze
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.topology import Topology

T0 = 1_800_000_000.0
CONSENT = AgreedTerms(consent=True, min_soc_frac=0.3, target_soc_frac=0.8, departure_after_s=3600.0)


class Yard:
    """A fleet state and short words for what a station says; times are seconds after `T0`."""

    def __init__(self, **settings: Any) -> None:
        self.terms: dict[str, AgreedTerms] = {}
        self.state = FleetState(
            FleetSettings(**settings),
            Topology([Site(site_id=SiteId("north"))]),
            lambda _site, driver, vehicle: self.terms.get(driver.removeprefix("#") or vehicle.removeprefix("#"), CONSENT),
            first_uid=1,
            hash_token=lambda token: f"#{token}",
        )
        self.seq_no = 0

    def connect(self, station: str = "A", at: float = 0.0) -> Applied:
        return self.state.apply(StationConnected(station_id=StationId(station), at_s=T0 + at, subprotocol="ocpp2.1"), T0 + at)

    def disconnect(self, station: str = "A", at: float = 0.0) -> Applied:
        return self.state.apply(StationDisconnected(station_id=StationId(station), at_s=T0 + at, reason=""), T0 + at)

    def discover(
        self,
        station: str = "A",
        evses: tuple[int, ...] = (1, 2),
        mode: ControlMode = ControlMode.SETPOINT,
        rated_w: float | None = 11_000.0,
        interval: float | None = 10.0,
    ) -> Applied:
        found = tuple(EvseCapability(evse_id=EvseId(evse), control_mode=mode, reason="", max_discharge_power_w=rated_w) for evse in evses)
        return self.state.apply(CapabilitiesDiscovered(station_id=StationId(station), at_s=T0, evses=found, meter_interval_s=interval), T0)

    def event(self, kind: EventKind, tx: str = "t1", station: str = "A", at: float = 0.0, **fields: Any) -> Applied:
        fields.setdefault("received_s", T0 + at)
        if "seq_no" not in fields:
            self.seq_no += 1
            fields["seq_no"] = self.seq_no
        fields.setdefault("trigger", "MeterValuePeriodic")
        return self.state.apply(
            TransactionReported(station_id=StationId(station), transaction_id=TransactionId(tx), kind=kind, at_s=T0 + at, **fields), T0 + at
        )

    def start(self, tx: str = "t1", evse: int = 1, at: float = 0.0, **fields: Any) -> Applied:
        fields.setdefault("trigger", "CablePluggedIn")
        fields.setdefault("phase", TransactionPhase.CHARGING)
        return self.event(EventKind.STARTED, tx, at=at, evse_id=EvseId(evse), **fields)

    def update(self, tx: str = "t1", at: float = 0.0, **fields: Any) -> Applied:
        return self.event(EventKind.UPDATED, tx, at=at, **fields)

    def end(self, tx: str = "t1", at: float = 0.0, **fields: Any) -> Applied:
        return self.event(EventKind.ENDED, tx, at=at, **fields)

    def reading(self, at: float, **values: float) -> tuple[Measurement, ...]:
        return (Measurement(at_s=T0 + at, **values),)

    def sample(self, tx: str = "t1", at: float = 0.0, offline: bool = False, seq_no: int | None = None, **values: float) -> Applied:
        more = {} if seq_no is None else {"seq_no": seq_no}
        return self.update(tx, at=at, measurements=self.reading(at, **values), offline=offline, **more)

    def measure(self, evse: int = 1, at: float = 0.0, station: str = "A", **values: float) -> Applied:
        event = EvseMeasured(
            station_id=StationId(station), evse_id=EvseId(evse), received_s=T0 + at, measurements=self.reading(at, **values)
        )
        return self.state.apply(event, T0 + at)

    def needs(self, evse: int = 1, at: float = 0.0, station: str = "A", **fields: Any) -> Applied:
        usual: dict[str, Any] = {
            "received_s": T0 + at,
            "bidirectional": True,
            "departure_s": T0 + 8 * 3600.0,
            "min_charge_power_w": 500.0,
            "max_charge_power_w": 11_000.0,
            "min_discharge_power_w": 500.0,
            "max_discharge_power_w": 7_000.0,
            "capacity_wh": 60_000.0,
            "soc_frac": 0.6,
        }
        event = ChargingNeedsReported(station_id=StationId(station), evse_id=EvseId(evse), at_s=T0 + at, **(usual | fields))
        return self.state.apply(event, T0 + at)

    def ready(self) -> "Yard":
        """One car that can be discharged: connected, discovered, started, needs, a sample."""
        self.connect()
        self.discover()
        self.start()
        self.needs()
        self.sample(at=1.0, power_w=0.0, export_wh=1000.0, import_wh=5000.0, soc_frac=0.6)
        return self

    def uid(self, tx: str = "t1", station: str = "A") -> SessionUid:
        uid = self.state.uid_of(StationId(station), TransactionId(tx))
        assert uid is not None
        return uid

    def cell(self, column: str, tx: str = "t1", station: str = "A") -> Any:
        row = self.state.row_of(self.uid(tx, station))
        assert row is not None
        return getattr(self.state.snapshot(T0), column)[row].item()


@pytest.fixture
def yard() -> Yard:
    """An empty yard."""
    return Yard()


@pytest.fixture(scope="session")
def new_yard() -> Callable[..., Yard]:
    """Make yards with other settings."""
    return Yard


@pytest.fixture(scope="session")
def t0() -> float:
    """The epoch second that the yard's times count from."""
    return T0


READY_CAR: dict[str, Any] = {
    "uid": 1,
    "station": 0,
    "evse_id": 1,
    "connected": True,
    "phase": int(TransactionPhase.CHARGING),
    "consent": True,
    "bidirectional": True,
    "control_mode": int(ControlMode.SETPOINT),
    "started_s": T0 - 3600.0,
    "departure_s": T0 + 8 * 3600.0,
    "last_sample_s": T0 - 1.0,
    "meter_interval_s": 10.0,
    "power_w": 0.0,
    "power_at_s": T0,
    "export_wh": 1000.0,
    "import_wh": 5000.0,
    "register_at_s": T0,
    "soc_frac": 0.6,
    "soc_at_s": T0,
    "soc_export_wh": 1000.0,
    "soc_import_wh": 5000.0,
    "capacity_wh": 60_000.0,
    "soc_floor_frac": 0.3,
    "soc_target_frac": 0.8,
    "max_discharge_w": 7000.0,
    "min_discharge_w": 500.0,
    "max_charge_w": 11_000.0,
    "min_charge_w": 500.0,
}


@pytest.fixture(scope="session")
def cars() -> Callable[..., FleetImage]:
    """An image of cars that can be discharged, with columns overridden: a value for all, or a list for each row."""

    def make(rows: int = 1, **columns: Any) -> FleetImage:
        arrays = empty_columns(rows)
        for name, value in (READY_CAR | {"uid": np.arange(1, rows + 1)} | columns).items():
            arrays[name][:] = value
        keys = tuple(None if uid == 0 else (StationId("A"), TransactionId(str(uid))) for uid in arrays["uid"])
        return freeze(arrays, keys, T0)

    return make
