"""What the points say: units, signs, qualities, and the list for the operator."""

from typing import Any

import pytest
from msgspec.structs import replace

from counterflow.adapters.iec104.points import POINTS, UNKNOWN, Look, Qds, in_a_row, point_list, readings
from counterflow.adapters.iec104.settings import PointAddresses, StationSettings
from counterflow.domain.grid import GridUnit, Program, Quality, Sign, Wire

PROGRAM = Program(name="afrr", wire=Wire.IEC104, sign=Sign.GENERATOR, unit=GridUnit.MW, max_discharge_power_w=5e6)
STATION = StationSettings(program="afrr")


def shown(record: Any, program: Program = PROGRAM, station: StationSettings = STATION, **look: Any) -> dict[int, tuple[float, Qds]]:
    fields: dict[str, Any] = {"setpoint_w": 2e6, "heartbeat": True, "source_silent": False}
    found = readings(Look(telemetry=record, **(fields | look)), program, station)
    return {reading.address: (reading.value, reading.qds) for reading in found}


def test_a_generator_program_in_megawatts(record: Any) -> None:
    at = shown(record())
    assert at[1002] == (2.0, Qds.GOOD)
    assert at[2001] == (1.9, Qds.GOOD)
    assert at[2006] == (3.0, Qds.GOOD), "MWh"
    assert at[2008] == (150.0, Qds.GOOD), "3 MWh at 1.2 MW are 150 min"
    assert at[2010] == (3.0, Qds.GOOD), "50 kW/s are 3 MW/min"
    assert (at[2012], at[2016]) == ((640.0, Qds.GOOD), (8.0, Qds.GOOD))
    assert (at[3001], at[3003], at[3004], at[3011]) == ((1.0, Qds.GOOD), (0.0, Qds.GOOD), (1.0, Qds.GOOD), (0.0, Qds.GOOD))


def test_a_load_program_in_kilowatts_turns_signed_powers_and_no_amounts(record: Any) -> None:
    at = shown(record(), replace(PROGRAM, sign=Sign.LOAD, unit=GridUnit.KW))
    assert {address: at[address][0] for address in (1002, 2001, 2003, 2017)} == {1002: -2000.0, 2001: -1900.0, 2003: -1900.0, 2017: -2000.0}
    assert {address: at[address][0] for address in (2004, 2005, 2006, 2015)} == {2004: 1200.0, 2005: 4000.0, 2006: 3000.0, 2015: 2500.0}
    assert str(at[2002][0]) == "0.0", "no negative zero"


@pytest.mark.parametrize(
    ("quality", "bits"), [(Quality.GOOD, 0), (Quality.STALE, 0x40), (Quality.ESTIMATED, 0x20), (Quality.MISSING, 0xC0)]
)
def test_the_quality_of_the_meters_is_that_of_what_they_measure_and_of_nothing_else(record: Any, quality: Quality, bits: int) -> None:
    at = shown(record(quality=quality))
    assert {address: one[1] for address, one in at.items() if one[1]} == ({2001: bits, 2003: bits} if bits else {})


def test_unknown_is_invalid_and_never_a_good_zero(record: Any) -> None:
    at = shown(record(measured_power_w=None, up_power_w=None, meter_age_s=None), setpoint_w=None)
    assert {address for address, one in at.items() if one == (0.0, UNKNOWN)} == {1002, 2001, 2004, 2008, 2016}
    assert shown(record(up_power_w=0.0))[2008] == (0.0, UNKNOWN), "of no power nobody can say how long it lasts"


def test_points_move_and_can_be_left_out(record: Any) -> None:
    moved = StationSettings(program="afrr", points=PointAddresses(measured_power=1_048_577, baseline_power=0))
    at = shown(record(), station=moved)
    assert at[1_048_577][0] == 1.9
    assert {2001, 2002} & at.keys() == set()


def test_every_point_has_an_address_of_its_own_by_default() -> None:
    addresses = [getattr(PointAddresses(), point.name) for point in POINTS]
    assert len(set(addresses)) == len(POINTS) == len(PointAddresses.__struct_fields__)


def test_the_list_says_type_unit_and_sign_of_every_address() -> None:
    rows = {row.address: row for row in point_list(PROGRAM, STATION)}
    assert (rows[1001].direction, rows[1001].type, rows[1001].type_number, rows[1001].unit) == ("command", "C_SE_NC_1", 50, "MW")
    assert (rows[1001].positive, rows[1001].note) == ("export to the grid", "direct, up to 5 MW")
    assert (rows[1003].type, rows[1003].type_number) == ("C_SE_TC_1", 63)
    assert (rows[2006].type, rows[2006].type_number, rows[2006].unit, rows[2006].positive) == ("M_ME_TF_1", 36, "MWh", "")
    assert (rows[2010].unit, rows[2008].unit, rows[3002].type_number) == ("MW/min", "min", 30)
    assert rows[2001].positive == "export to the grid"
    assert {row.positive for row in point_list(replace(PROGRAM, sign=Sign.LOAD), STATION)} == {"consumption", ""}


@pytest.mark.parametrize(("addresses", "said"), [([7], True), ([8, 7], True), ([7, 9], False), ([7, 8, 10], False)])
def test_a_row_of_addresses(addresses: list[int], said: bool) -> None:
    assert in_a_row(addresses) is said
