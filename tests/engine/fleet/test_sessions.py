"""What needs and terms say of a car."""

from math import isnan
from typing import Any

import pytest

from counterflow.domain.drivers import AgreedTerms

Yard = Any
"""`conftest.Yard`; tests share code through fixtures only."""


def test_terms_stand_in_for_what_the_car_does_not_say(yard: Yard, t0: float) -> None:
    yard.start()
    wanted = {"departure_s": t0 + 3600.0, "soc_target_frac": 0.8, "soc_floor_frac": 0.3, "consent": True, "bidirectional": False}
    assert {name: yard.cell(name) for name in wanted} == wanted
    yard.needs(departure_s=None, target_soc_frac=None)
    assert (yard.cell("departure_s"), yard.cell("soc_target_frac")) == (t0 + 3600.0, 0.8)


def test_an_evse_that_discharges_alone_needs_no_agreed_transfer(yard: Yard) -> None:
    yard.terms["tag"] = AgreedTerms(consent=True, transfer_by_evse_alone=True)
    yard.start(id_token="tag")
    assert yard.cell("bidirectional")


def test_the_floor_is_the_largest_of_driver_operator_and_car(new_yard: Any) -> None:
    yard = new_yard(operator_min_soc_frac=0.4)
    yard.start()
    assert yard.cell("soc_floor_frac") == 0.4
    yard.needs(soc_frac=0.6, min_energy_request_wh=-6000.0)
    assert yard.cell("soc_floor_frac") == pytest.approx(0.5)
    yard.needs(at=1.0, soc_frac=0.6, min_energy_request_wh=-30_000.0)
    assert yard.cell("soc_floor_frac") == 0.4
    yard.needs(at=2.0, soc_frac=0.6, min_energy_request_wh=90_000.0)
    assert yard.cell("soc_floor_frac") == 1.0


def test_what_the_needs_leave_out_stays_with_terms_and_rating(yard: Yard) -> None:
    yard.discover(rated_w=5000.0)
    yard.start()
    yard.needs(soc_frac=None, min_energy_request_wh=-6000.0, max_discharge_power_w=None, min_discharge_power_w=None)
    assert yard.cell("soc_floor_frac") == 0.3
    assert yard.cell("max_discharge_w") == 4500.0
    assert isnan(yard.cell("min_discharge_w"))


def test_capacity_is_inferred_from_the_room_left(yard: Yard) -> None:
    yard.start()
    yard.needs(capacity_wh=None, soc_frac=0.5, max_energy_request_wh=30_000.0)
    assert yard.cell("capacity_wh") == pytest.approx(30_000.0 / 0.495)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_energy_request_wh": None},
        {"max_energy_request_wh": 0.0},
        {"max_energy_request_wh": 1000.0, "soc_frac": 0.96},
        {"max_energy_request_wh": 1000.0, "soc_frac": None},
        {"max_energy_request_wh": None, "capacity_wh": 0.0},
    ],
)
def test_a_capacity_that_cannot_be_known_is_unknown(yard: Yard, fields: dict[str, float | None]) -> None:
    yard.start()
    yard.needs(**({"capacity_wh": None} | fields))
    assert isnan(yard.cell("capacity_wh"))


def test_a_state_of_charge_close_to_the_needs_stands_in_for_theirs(yard: Yard) -> None:
    yard.start()
    yard.sample(at=0.0, soc_frac=0.5)
    yard.needs(at=100.0, capacity_wh=None, soc_frac=None, max_energy_request_wh=30_000.0)
    assert yard.cell("capacity_wh") == pytest.approx(30_000.0 / 0.495)


def test_it_may_also_come_a_little_later(yard: Yard) -> None:
    yard.start()
    yard.needs(at=0.0, capacity_wh=None, soc_frac=None, max_energy_request_wh=30_000.0)
    applied = yard.sample(at=10.0, soc_frac=0.5)
    assert applied.changed[0].needs_soc_frac == 0.5
    assert yard.cell("capacity_wh") == pytest.approx(30_000.0 / 0.495)


def test_but_not_an_hour_later(yard: Yard) -> None:
    yard.start()
    yard.needs(at=0.0, capacity_wh=None, soc_frac=None, max_energy_request_wh=30_000.0)
    assert yard.sample(at=3600.0, soc_frac=0.5).changed == ()
    assert isnan(yard.cell("capacity_wh"))


def test_a_newer_state_of_charge_is_not_replaced_by_that_of_late_needs(yard: Yard) -> None:
    yard.start()
    yard.sample(at=10.0, soc_frac=0.5)
    yard.needs(at=5.0, soc_frac=0.4)
    assert yard.cell("soc_frac") == 0.5


def test_a_sample_older_than_the_needs_does_not_replace_their_state_of_charge(yard: Yard) -> None:
    yard.ready()
    yard.needs(at=100.0, soc_frac=0.4)
    yard.sample(at=50.0, power_w=0.0, export_wh=1000.0, import_wh=5000.0, soc_frac=0.6)
    yard.sample(at=60.0, power_w=0.0, export_wh=1000.0, import_wh=5000.0, soc_frac=0.6)
    assert yard.cell("soc_frac") == 0.4
