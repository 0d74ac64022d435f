"""Sign and unit of a program are turned once, exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.domain.grid import GridUnit, Program, Sign, Wire, discharge_power_w_of, value_of


@pytest.mark.parametrize(
    ("value", "sign", "unit", "discharge_power_w"),
    [
        (-2.0, Sign.LOAD, GridUnit.MW, 2e6),
        (2.0, Sign.LOAD, GridUnit.KW, -2e3),
        (2.0, Sign.GENERATOR, GridUnit.MW, 2e6),
        (-500.0, Sign.GENERATOR, GridUnit.W, -500.0),
        (0.0, Sign.LOAD, GridUnit.MW, 0.0),
    ],
)
def test_a_value_is_discharge_by_sign_and_unit(value: float, sign: Sign, unit: GridUnit, discharge_power_w: float) -> None:
    assert discharge_power_w_of(value, sign, unit) == discharge_power_w


@given(st.floats(-1e9, 1e9), st.sampled_from(Sign), st.sampled_from(GridUnit))
def test_there_and_back_is_the_same(power_w: float, sign: Sign, unit: GridUnit) -> None:
    value = value_of(power_w, sign, unit)
    assert discharge_power_w_of(value, sign, unit) == pytest.approx(power_w, rel=1e-12, abs=1e-9)
    assert str(value_of(0.0, sign, unit)) == "0.0", "no minus zero is shown to anybody"


def test_a_program_is_called_by_the_name_of_its_wire() -> None:
    program = Program(name="north", wire=Wire.OPENADR, max_discharge_power_w=1e6)
    assert program.called == "north"
    assert Program(name="north", wire=Wire.OPENADR, max_discharge_power_w=1e6, external_id="p-17").called == "p-17"
