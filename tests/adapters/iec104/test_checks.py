"""Settings with which no outstation is opened, each with a sentence."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from counterflow.adapters.iec104.checks import mistakes
from counterflow.adapters.iec104.settings import Iec104Settings
from counterflow.domain.grid import GridUnit, Program, Sign, Wire

PROGRAM = Program(name="afrr", wire=Wire.IEC104, sign=Sign.GENERATOR, unit=GridUnit.MW, max_discharge_power_w=5e6)
OTHER = Program(name="dr", wire=Wire.OPENADR, sign=Sign.LOAD, max_discharge_power_w=5e6)


def said(station: dict[str, Any] | None = None, **changed: Any) -> list[str]:
    stations = changed.pop("stations", [{"program": "afrr"} | (station or {})])
    return list(mistakes(msgspec.convert({"stations": stations} | changed, Iec104Settings), (PROGRAM, OTHER)))


def test_the_defaults_with_a_program_are_fine_and_without_stations_nothing_is_looked_at() -> None:
    assert said() == []
    assert said(stations=[], host="0.0.0.0", masters=["nobody"]) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "172.16.0.9", "192.168.7.7"])
def test_loopback_and_private_addresses_are_fine(host: str) -> None:
    assert said(host=host) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "8.8.4.4"])
def test_a_public_address_needs_a_word(host: str) -> None:
    (sentence,) = said(host=host)
    assert sentence.startswith(f"IEC 104 would listen on {host}, where anybody may reach it")
    assert said(host=host, public_address=True) == []


def test_addresses_that_are_none() -> None:
    assert said(host="localhost") == [
        "The setting 'iec104.host' is 'localhost'; it must be an IPv4 address of this machine, such as 127.0.0.1."
    ]
    assert said(masters=["10.0.0.0/8", "10.1.2.3/8"]) == [
        "The setting 'iec104.masters' names '10.1.2.3/8', which is no IPv4 address and no network such as 10.1.2.0/24."
    ]


def test_names_of_programs_are_looked_up() -> None:
    (sentence,) = said({"program": "dr"})
    assert sentence.startswith("[[iec104.stations]] names the program 'dr', and there is no [[programs]] entry of that name with wire")
    assert sentence.endswith("(there are: afrr).")


def test_addresses_stand_once_and_not_all_in_a_row() -> None:
    assert said({"points": {"measured_power": 1001}}) == [
        "The address 1001 stands twice in the point list of 'afrr'; give each point its own."
    ]
    (sentence,) = said({"points": {"source_silent": 3005}})
    assert sentence.startswith("The points of type M_SP_TB_1 of 'afrr' have the addresses 3001, 3002, 3003, 3004, 3005 without a gap;")
    assert said(stations=[{"program": "afrr"}, {"program": "afrr"}]) == [
        "Two [[iec104.stations]] have the common address 1; give each its own."
    ]


def test_the_three_files_of_tls_go_together(tmp_path: Path) -> None:
    there = tmp_path / "there.pem"
    there.write_text("-")
    assert said(tls_certificate=str(there)) == [
        "The settings 'iec104.tls_certificate', 'tls_key' and 'tls_authority' go together: name all three files, or none."
    ]
    (sentence,) = said(tls_certificate=str(there), tls_key=str(there), tls_authority=str(tmp_path / "gone.pem"))
    assert sentence == f"The setting 'iec104.tls_authority' names the file {tmp_path / 'gone.pem'}, which is not there."
