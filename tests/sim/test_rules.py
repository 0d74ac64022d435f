"""What a station writes down against its CSMS (decisions 3, 4, 5), and what it refuses outright."""

from collections.abc import Callable
from typing import Any

Make = Callable[..., dict[str, Any]]


def kinds(bench: Any) -> list[str]:
    return [sentence.split(", ", 1)[1].split(":")[0] for sentence in bench.station.violations]


def with_fallback(bench: Any, fallback_profile: Make) -> Any:
    assert bench.call("SetChargingProfile", fallback_profile(bench.transaction_id)).status == "Accepted"
    return bench


def test_q02_fr_01_discharge_without_an_agreed_transfer_is_refused_and_written_down(
    make_bench: Callable[..., Any], tiny_csms: Any, discharge_profile: Make, fallback_profile: Make
) -> None:
    bench = with_fallback(make_bench(tiny_csms(allowed=[])).begin(), fallback_profile)
    response = bench.call("SetChargingProfile", discharge_profile(bench.transaction_id))
    assert (response.status, response.status_info.reason_code) == ("Rejected", "InvalidOperationMode")
    assert kinds(bench) == ["no transfer"]
    bench.run(5)
    assert bench.power_w == 0.0


def test_a_lawful_discharge_leaves_no_trace(bench: Any, discharge_profile: Make, fallback_profile: Make) -> None:
    with_fallback(bench, fallback_profile)
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id))
    bench.run(910)
    assert bench.station.violations == []


def test_a_discharge_without_a_fallback_beneath_is_written_down(bench: Any, discharge_profile: Make) -> None:
    assert bench.call("SetChargingProfile", discharge_profile(bench.transaction_id)).status == "Accepted"
    assert kinds(bench) == ["no fallback"]


def test_a_fallback_above_or_of_another_level_is_none(bench: Any, discharge_profile: Make, fallback_profile: Make) -> None:
    bench.call("SetChargingProfile", fallback_profile(bench.transaction_id, stack_level=9))
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id))
    assert kinds(bench) == ["no fallback"]


def test_clearing_the_fallback_under_a_running_discharge_is_written_down(
    bench: Any, discharge_profile: Make, fallback_profile: Make
) -> None:
    with_fallback(bench, fallback_profile)
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id))
    assert kinds(bench) == []
    bench.call("ClearChargingProfile", {"chargingProfileId": 1_000_002})
    assert kinds(bench) == ["no fallback"]


def test_a_discharge_without_an_end_is_written_down(bench: Any, discharge_profile: Make, fallback_profile: Make) -> None:
    with_fallback(bench, fallback_profile)
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id, duration=None))
    assert kinds(bench) == ["no end"]


def test_valid_to_is_an_end_too(bench: Any, discharge_profile: Make, fallback_profile: Make) -> None:
    with_fallback(bench, fallback_profile)
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id, duration=None, validTo="2027-01-15T08:10:00Z"))
    assert kinds(bench) == []


def test_a_profile_that_would_run_below_the_floor_if_all_else_died_is_written_down_at_once(
    bench: Any, discharge_profile: Make, fallback_profile: Make
) -> None:
    with_fallback(bench, fallback_profile)
    bench.plant.energy_wh[0] = 0.32 * bench.plant.capacity_wh[0]
    bench.plant.target_soc_frac[0] = 0.3
    spare_s = round(0.02 * float(bench.plant.capacity_wh[0]) * 0.92 / 7000.0 * 3600.0)
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id, duration=spare_s))
    assert kinds(bench) == []
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id, duration=spare_s + 300))
    assert kinds(bench) == ["below floor"]


def test_a_discharge_that_goes_on_below_the_floor_is_written_down_once(bench: Any, discharge_profile: Make, fallback_profile: Make) -> None:
    with_fallback(bench, fallback_profile)
    bench.plant.target_soc_frac[0] = 0.3
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id))
    bench.plant.energy_wh[0] = 0.29 * bench.plant.capacity_wh[0]
    bench.run(60)
    assert kinds(bench) == ["below floor"]


def test_a_discharge_that_makes_the_departure_impossible_is_written_down(
    bench: Any, discharge_profile: Make, fallback_profile: Make
) -> None:
    with_fallback(bench, fallback_profile)
    bench.plant.target_soc_frac[0] = 0.8
    bench.evse.departure_s = bench.now_s + 1200.0
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id, duration=300))
    assert kinds(bench) == []
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id, duration=900))
    assert kinds(bench) == ["departure"]


def test_a_charging_setpoint_is_nobodys_business(bench: Any, discharge_profile: Make) -> None:
    bench.call("SetChargingProfile", discharge_profile(bench.transaction_id, 2000.0, duration=None))
    assert kinds(bench) == []
