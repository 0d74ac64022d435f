"""One station on one page of 80 columns, and the commands that ask it anew or give its settings back."""

from typing import Any

from msgspec.structs import replace

from counterflow.domain.ids import EvseId
from counterflow.domain.resources import ConnectedEv, ControlMode, EvseCapability, StationFacts
from counterflow.domain.station_settings import ChangedSetting, StationVariable
from counterflow.domain.station_views import StationView


def flat(text: str) -> str:
    return " ".join(text.split())


def whole(station: StationView) -> StationView:
    """A station that has said everything."""
    evse = EvseCapability(
        evse_id=EvseId(2),
        control_mode=ControlMode.NONE,
        reason="CentralSetpoint is not among the supported operation modes (ChargingOnly, Idle)",
        max_discharge_power_w=7_400.0,
        rated_discharge_power_w=11_000.0,
        configured_discharge_power_w=7_400.0,
        max_charge_power_w=22_000.0,
        operation_modes=("ChargingOnly", "Idle"),
        energy_transfer_modes=("DC", "DC_BPT"),
        features=("EvseSleep",),
        additional_purposes=("PriorityCharging",),
        tx_profiles_persist=False,
        max_periods=24,
        max_profiles=20,
        max_external_constraints_id=100,
        setpoint_priority="ExternalSystem",
        external_control_signals=True,
        external_profiles_disallowed=True,
        limit_notices_with_schedules=False,
        limit_change_significance_frac=0.05,
        service_renegotiation=False,
        connected_ev=ConnectedEv(at_s=station.last_seen_s or 0.0, protocol="CHAdeMO,3", soc_frac=0.63, capacity_wh=40_000.0),
    )
    facts = StationFacts(
        measurands=("Power.Active.Import", "SoC"),
        setpoint_interval_s=5.0,
        aligned_interval_s=900.0,
        aligned_measurands=("Energy.Active.Export.Register",),
        tx_start_points=("EVConnected",),
        tx_resumption_timeout_s=0.0,
        ping_interval_s=0.0,
        offline_threshold_s=60.0,
        clock_offset_s=-125.0,
    )
    setting = ChangedSetting(variable=StationVariable("SampledDataCtrlr", "TxUpdatedInterval"), former="60", ours=("5", "10"), set_at_s=1.0)
    return replace(
        station,
        evses=(evse,),
        facts=facts,
        discovered_at_s=station.last_seen_s,
        outdated="new firmware was installed",
        awaits_reboot=True,
        hands_off=True,
        changed_settings=(setting,),
    )


def test_the_page_tells_everything_and_fits(api: Any, counterflow: Any, station: StationView) -> None:
    api.will("GET", "/api/v1/stations/CS-1", whole(station))
    result = counterflow("stations", "show", "CS-1")
    said = flat(result.stdout)
    for part in (
        "UTC, void: new firmware was installed",
        "a value every 10 s, every 5 s under a setpoint Power.Active.Import, SoC",
        "every 15 min: Energy.Active.Export.Register",
        "its own; we leave them alone",
        "some hold only after a reboot",
        "Begins with EVConnected",
        "Resumes never",
        "Pings none",
        "2 min behind ours",
        "CentralSetpoint is not among",
        "11.0 kW rated, 7.4 kW configured",
        "up to 22.0 kW",
        "profiles are gone",
        "EvseSleep, PriorityCharging",
        "that of ExternalSystem wins",
        "its signals are followed, acts only where we let it, limits are told without schedules, when they change by 5 %,",
        "its profile ids end at 100",
        "CHAdeMO,3, 63 % charged, battery 40.00 kWh",
        "SampledDataCtrlr.TxUpdatedInterval = 10; before: 60",
        "counterflow stations restore CS-1",
    ):
        assert part in said, part
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_what_was_not_said_is_not_shown(api: Any, counterflow: Any, station: StationView) -> None:
    api.will("GET", "/api/v1/stations/CS-1", station)
    said = counterflow("stations", "show", "CS-1").stdout
    assert "Discovered not yet" in flat(said)
    for name in ("Heartbeat", "Setpoints", "Car", "We set", "By the clock"):
        assert name not in said


def test_discover_asks_and_shows(api: Any, counterflow: Any, station: StationView) -> None:
    api.will("POST", "/api/v1/stations/CS-1/discovery", whole(station))
    assert "CHAdeMO,3" in counterflow("stations", "discover", "CS-1").stdout
    assert '"setpoint_priority":"ExternalSystem"' in counterflow("stations", "discover", "CS-1", "--json").stdout


def test_restore_says_what_is_so_now(api: Any, counterflow: Any, station: StationView) -> None:
    where = ("POST", "/api/v1/stations/CS-1/restore-settings")
    api.will(*where, whole(station))
    api.will(*where, station)
    said = flat(counterflow("stations", "restore", "CS-1").stdout)
    assert "did not take back 1 setting:" in said
    assert "SampledDataCtrlr.TxUpdatedInterval = 10; before: 60" in said
    assert "has its own settings. They stay until: counterflow stations discover CS-1" in flat(
        counterflow("stations", "restore", "CS-1").stdout
    )
