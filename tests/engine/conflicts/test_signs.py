"""The signs of a meter: proved at the first discharge, contradicted never by a single noisy reading."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.domain.setpoints import SetpointState
from counterflow.engine.conflicts.signs import MIN_STEPS, Sign, SignWatch
from counterflow.engine.fleet.snapshot import FleetImage, empty_columns, freeze

STEP_S = 10.0
CAPACITY_WH = 50_000.0


def image(
    at_s: float, power_w: float, export_wh: float, import_wh: float, soc: float, setpoint_w: float = -7000.0, uid: int = 1
) -> FleetImage:
    columns = empty_columns(1)
    values: dict[str, Any] = {
        "uid": uid, "power_w": power_w, "power_at_s": at_s, "export_wh": export_wh, "import_wh": import_wh, "soc_frac": soc,
        "setpoint_w": setpoint_w, "setpoint_state": SetpointState.ACCEPTED,
    }  # fmt: skip
    for name, value in values.items():
        columns[name][0] = value
    return freeze(columns, (("S", "t"),), at_s)


class Meter:
    """A car on a meter that may be wired the wrong way; `feed` gives what the watch makes of each reading."""

    def __init__(self, *, power: bool = False, registers: bool = False, soc_known: bool = True) -> None:
        self.watch = SignWatch()
        self.power_sign, self.swapped, self.soc_known = (-1.0 if power else 1.0), registers, soc_known
        self.at_s, self.out_wh, self.in_wh, self.soc = 0.0, 1000.0, 1000.0, 0.7
        self.before_w = 0.0

    def feed(self, true_w: float, noise_w: float = 0.0, **more: Any) -> list[tuple[int, Sign]]:
        self.at_s += STEP_S
        moved_wh = 0.5 * (true_w + self.before_w) * STEP_S / 3600.0
        self.before_w = true_w
        self.in_wh += max(moved_wh, 0.0)
        self.out_wh += max(-moved_wh, 0.0)
        self.soc += moved_wh / CAPACITY_WH
        registers = (round(self.in_wh), round(self.out_wh)) if self.swapped else (round(self.out_wh), round(self.in_wh))
        soc = round(self.soc, 2) if self.soc_known else np.nan
        shown = image(self.at_s, self.power_sign * true_w + noise_w, *registers, soc, **more)
        return self.watch.step(shown, lambda _row: False)

    def run(self, true_w: float, readings: int) -> list[Sign]:
        return [sign for _ in range(readings) for _, sign in self.feed(true_w)]


@pytest.mark.parametrize(
    ("meter", "proved"),
    [
        (lambda: Meter(), Sign.PROVED),
        (lambda: Meter(soc_known=False), Sign.PROVED),
        (lambda: Meter(power=True), Sign.POWER_OPPOSES_REGISTERS),
        (lambda: Meter(registers=True), Sign.POWER_OPPOSES_REGISTERS),
        (lambda: Meter(power=True, registers=True), None),
    ],
)
def test_a_car_that_discharges_proves_its_meter_or_shows_what_is_wrong_with_it(meter: Callable[[], Meter], proved: Sign | None) -> None:
    assert meter().run(-7000.0, 60) == ([] if proved is None else [proved])


def test_power_says_discharge_while_import_runs_and_export_stands_still() -> None:
    assert Meter(registers=True).run(-7000.0, 12) == [Sign.POWER_OPPOSES_REGISTERS]


def test_a_meter_that_is_wrong_in_everything_is_found_by_the_state_of_charge() -> None:
    """The car charges, and power and registers both show a discharge: only the battery tells."""
    assert Meter(power=True, registers=True).run(7000.0, 90) == [Sign.RISING_CHARGE]


def test_registers_that_stand_still_prove_nothing() -> None:
    meter = Meter()
    for step in range(1, 80):
        assert meter.watch.step(image(step * STEP_S, -7000.0, 1000.0, 1000.0, np.nan), lambda _row: False) == []


def test_a_meter_without_registers_or_readings_far_apart_prove_nothing() -> None:
    meter = Meter()
    for step in range(1, 80):
        assert meter.watch.step(image(step * STEP_S, -7000.0, np.nan, 1000.0, 0.5), lambda _row: False) == []
    for step in range(1, 30):
        assert meter.watch.step(image(1000.0 * step, -7000.0, 2000.0 * step, 0.0, np.nan, uid=2), lambda _row: False) == []


def test_what_is_proved_is_not_watched_and_what_is_forgotten_is_watched_anew() -> None:
    meter = Meter(power=True)
    assert meter.watch.step(image(1.0, -7000.0, 1.0, 1.0, 0.5), lambda _row: True) == []
    assert meter.run(-7000.0, 60) == []
    meter.watch.forget({1})
    assert meter.run(-7000.0, 60) == [Sign.POWER_OPPOSES_REGISTERS]
    assert meter.run(-7000.0, 60) == [], "it is said once"


def test_agreement_counts_only_while_a_car_discharges_for_us_and_contradiction_always() -> None:
    honest, wrong = Meter(), Meter(power=True)
    assert [found for _ in range(60) for found in honest.feed(-7000.0, setpoint_w=0.0)] == []
    assert [found for _ in range(60) for found in honest.feed(7000.0)] == []
    assert [sign for _ in range(60) for _, sign in wrong.feed(7000.0, setpoint_w=np.nan)] == [Sign.POWER_OPPOSES_REGISTERS]


POWERS = st.lists(st.floats(-11_000.0, 11_000.0), min_size=5, max_size=60)
NOISE = st.floats(-100.0, 100.0)


@given(POWERS, st.data())
def test_whatever_an_honest_car_does_its_meter_never_contradicts_itself(powers: list[float], data: st.DataObject) -> None:
    meter = Meter()
    for power_w in powers:
        for _, sign in meter.feed(power_w, data.draw(NOISE)):
            assert sign is Sign.PROVED


@given(st.integers(0, 30), st.floats(-50_000.0, 50_000.0), st.floats(-11_000.0, -1500.0))
def test_one_reading_that_is_noise_convicts_nobody(when: int, noise_w: float, power_w: float) -> None:
    meter = Meter()
    for number in range(60):
        for _, sign in meter.feed(power_w, noise_w if number == when else 0.0):
            assert sign is Sign.PROVED


@given(st.integers(0, 30), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-11_000.0, -1500.0))
def test_registers_that_jump_once_convict_nobody(when: int, export_wh: float, import_wh: float, power_w: float) -> None:
    meter = Meter()
    for number in range(60):
        if number == when:
            meter.out_wh += export_wh
            meter.in_wh += import_wh
        for _, sign in meter.feed(power_w):
            assert sign is Sign.PROVED


@given(st.floats(-22_000.0, -1500.0), st.sampled_from([{"power": True}, {"registers": True}]))
def test_a_reversed_meter_is_always_found_and_never_before_it_has_shown_enough(power_w: float, fault: dict[str, bool]) -> None:
    meter = Meter(**fault)
    found = [number for number in range(60) if meter.feed(power_w)]
    assert len(found) == 1
    assert found[0] >= MIN_STEPS
