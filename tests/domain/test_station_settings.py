"""What a station had before us stays known, whatever is set, set again, refused or given back, and in whatever order."""

from hypothesis import given
from hypothesis import strategies as st

from counterflow.domain.ids import StationId
from counterflow.domain.station_settings import ChangedSetting, FormerSettings, StationVariable, refused, remembered, returned, same_value

NOTHING = FormerSettings(station_id=StationId("CS-1"))
INTERVAL = StationVariable("SampledDataCtrlr", "TxUpdatedInterval")


def change(former: str, ours: str, at_s: float = 1.0, variable: StationVariable = INTERVAL) -> ChangedSetting:
    return ChangedSetting(variable=variable, former=former, ours=(ours,), set_at_s=at_s)


def test_the_first_value_stays_however_often_we_set_another() -> None:
    known = remembered(NOTHING, [change("60", "10")])
    known = remembered(known, [change("10", "5", 2.0)])
    known = remembered(known, [change("60", "10", 3.0)])
    assert known.changes == (ChangedSetting(variable=INTERVAL, former="60", ours=("5", "10"), set_at_s=1.0),)


def test_what_somebody_else_set_since_is_what_is_given_back() -> None:
    known = remembered(remembered(NOTHING, [change("60", "10")]), [change("30", "10", 2.0)])
    assert known.changes == (change("30", "10", 2.0),)


def test_a_refused_first_try_is_forgotten_and_a_refused_second_is_not() -> None:
    first = remembered(NOTHING, [change("60", "10", 1.0)])
    assert refused(first, {INTERVAL}, 1.0) == NOTHING
    second = remembered(first, [change("10", "5", 2.0)])
    assert refused(second, {INTERVAL}, 2.0) == second
    assert remembered(second, [change("10", "7", 3.0)]).changes[0].former == "60", "10 is still a value of ours"


def test_what_is_given_back_is_forgotten() -> None:
    other = StationVariable("AlignedDataCtrlr", "Interval")
    known = remembered(NOTHING, [change("60", "10"), change("0", "900", variable=other)])
    assert returned(known, {INTERVAL}).changes == (change("0", "900", variable=other),)


def test_values_are_compared_as_stations_spell_them() -> None:
    assert same_value("SoC, Power.Active.Import", "power.active.import,SOC")
    assert not same_value("SoC", "")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12))
def test_giving_back_always_ends_where_the_station_was_before_us(steps: list[tuple[str, bool]]) -> None:
    """We set a, b or c; each time the station may refuse, or take it and never say so."""
    value, known = "theirs", NOTHING
    for at_s, (ours, takes) in enumerate(steps):
        known = remembered(known, [change(value, ours, float(at_s))])
        if takes:
            value = ours
        else:
            known = refused(known, {INTERVAL}, float(at_s))
    former = known.changes[0].former if known.changes else value
    assert former == "theirs"


def test_variables_are_spelled_as_people_write_them() -> None:
    assert str(StationVariable("V2XChargingCtrlr", "TxUpdatedInterval", "CentralSetpoint", 2)) == (
        "V2XChargingCtrlr.TxUpdatedInterval[CentralSetpoint] of EVSE 2"
    )
