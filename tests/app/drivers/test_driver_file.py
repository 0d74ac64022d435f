"""The CSV file of drivers: whole or not at all, every bad row named."""

import pytest

from counterflow.app.drivers.driver_file import FileError, read_file
from counterflow.domain.drivers import Agreement, PartialTerms, Scope


def test_a_row_in_words_of_people_becomes_an_agreement() -> None:
    text = (
        "\ufeffscope,id,label,contract,consent,min_soc,target_soc,departure_after,blackouts,timezone,max_day_discharge,max_year_cycles\r\n"
        'driver,DECFW1,van 7,fleet,yes,40%,0.9,8h,"mon-fri 06:30-09:00; sun 18:00-20:00",Europe/Berlin,20kWh,30\r\n'
        "vehicle,0A1B,,,no,,,,,,,\r\n"
        ",DECFW2,,,,,,,,,,\r\n"
    )
    rows, bad = read_file(text)
    assert bad == []
    assert rows == [
        Agreement(
            Scope.DRIVER,
            "DECFW1",
            "van 7",
            PartialTerms(
                contract="fleet",
                consent=True,
                min_soc_frac=0.4,
                target_soc_frac=0.9,
                departure_after_s=28_800.0,
                blackouts=("mon-fri 06:30-09:00", "sun 18:00-20:00"),
                timezone="Europe/Berlin",
                max_day_discharge_wh=20_000.0,
                max_year_cycles=30.0,
            ),
        ),
        Agreement(Scope.VEHICLE, "0A1B", "", PartialTerms(consent=False)),
        Agreement(Scope.DRIVER, "DECFW2", "", PartialTerms()),
    ]


def test_pausing_is_agreed_apart_from_discharge() -> None:
    rows, bad = read_file("id,consent,pausing,max_pause\nA,no,yes,45min\nB,,no,\n")
    assert bad == []
    assert [agreement.terms for agreement in rows] == [
        PartialTerms(consent=False, pausing=True, max_pause_s=2_700.0),
        PartialTerms(pausing=False),
    ]
    _, [bad_row] = read_file("id,pausing\nA,perhaps\n")
    assert bad_row.sentence == "pausing: 'perhaps' is neither yes nor no."


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("A,maybe,,", "consent: 'maybe' is neither yes nor no"),
        ("A,,140%,", "min_soc: '140%' is not between"),
        ("A,,,5", "max_day_discharge: '5' is not understood"),
        ("A,,,5kW", "max_day_discharge: 'kW' is not a unit"),
        (",yes,,", "id: it must have"),
        ("A,yes,,,more", "more cells"),
        ("B,yes,,", "already in line 2"),
        ("b,yes,,", "already in line 2"),
    ],
)
def test_each_bad_row_is_named_with_its_line(row: str, says: str) -> None:
    _, [bad] = read_file(f"id,consent,min_soc,max_day_discharge\nB,yes,,\n{row}\nC,no,,\n")
    assert bad.line == 3
    assert says in bad.sentence


def test_all_bad_rows_are_named_at_once() -> None:
    rows, bad = read_file("id,consent,timezone,blackouts\nA,x,,\nB,yes,Mars,\nC,yes,,sometimes\nD,yes,,\n")
    assert [one.line for one in bad] == [2, 3, 4]
    assert len(rows) == 1


@pytest.mark.parametrize("text", ["", "consent\nyes\n", "id,colour\nA,red\n", "id,id\nA,A\n", 'id\n"A\n'])
def test_a_file_that_is_none_is_refused_whole(text: str) -> None:
    with pytest.raises(FileError):
        read_file(text)
