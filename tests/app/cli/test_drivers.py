"""Drivers on the command line."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from counterflow.adapters.web.examples import EXAMPLES
from counterflow.domain.driver_views import BadRow, DriverView, ErasureAnswer, ImportAnswer
from counterflow.domain.session_views import SessionView

VIEW = EXAMPLES[DriverView]


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_list_and_one_of_it(api: Any, counterflow: Any) -> None:
    api.will("GET", "/api/v1/drivers", [VIEW])
    api.will("POST", "/api/v1/drivers/lookup", [VIEW])
    said = flat(counterflow("drivers").stdout)
    assert VIEW.subject[:8] in said
    shown = flat(counterflow("drivers", "show", "DECFW1").stdout)
    for part in ("driver 4f0c", "Consent yes", "Floor 40", "20.00 kWh a day", "3.20 kWh on 2026-11-22", "6.90 cycles"):
        assert part in shown
    assert api.bodies == [{"id": "DECFW1"}]
    api.answers.clear()
    api.will("POST", "/api/v1/drivers/lookup", [])
    assert counterflow("drivers", "show", "X").exit_code == 1


def test_set_sends_what_was_typed_in_base_units_and_nothing_else(api: Any, counterflow: Any) -> None:
    api.will("PATCH", "/api/v1/drivers", VIEW)
    result = counterflow(
        "drivers", "set", "DECFW1", "--consent", "yes", "--min-soc", "40%", "--max-day-discharge", "20kWh", "--unset", "timezone",
        "--blackouts", "mon 08:00-09:00; tue 08:00-09:00",
    )  # fmt: skip
    assert result.exit_code == 0
    terms = {
        "consent": True,
        "min_soc_frac": 0.4,
        "max_day_discharge_wh": 20_000.0,
        "blackouts": ["mon 08:00-09:00", "tue 08:00-09:00"],
        "timezone": None,
    }
    assert api.bodies == [{"scope": "driver", "id": "DECFW1", "terms": terms}]


def test_wrong_usage_is_a_sentence_and_sends_nothing(api: Any, counterflow: Any) -> None:
    for wrong in (
        ("drivers", "set", "A", "--consent", "perhaps"),
        ("drivers", "set", "A", "--max-day-discharge", "20"),
        ("drivers", "set", "A", "--unset", "colour"),
        ("drivers", "set", "A", "--timezone", " "),
        ("drivers", "import", "no-such-file.csv"),
        ("override", "CS-1", "go"),
        ("override", "CS-1", "depart"),
        ("override", "CS-1", "stop", "2026-11-22T15:00Z"),
        ("override", "CS-1", "depart", "15:00"),
    ):
        result = counterflow(*wrong)
        assert result.exit_code == 2, wrong
        assert "Error" in result.stderr
    assert api.requests == []


def test_an_import_is_looked_through_first_and_bad_rows_are_named(api: Any, counterflow: Any, tmp_path: Path) -> None:
    file = tmp_path / "drivers.csv"
    file.write_text("id,consent\nA,yes\n")
    api.will("POST", "/api/v1/drivers/import", ImportAnswer(dry_run=True, rows=1, imported=0))
    api.will("POST", "/api/v1/drivers/import", ImportAnswer(dry_run=False, rows=1, imported=1))
    assert "1 row imported." in flat(counterflow("drivers", "import", str(file)).stdout)
    assert [body["dry_run"] for body in api.bodies] == [True, False]
    api.answers.clear()
    api.will("POST", "/api/v1/drivers/import", ImportAnswer(dry_run=True, rows=2, imported=0, bad_rows=(BadRow(line=3, sentence="no."),)))
    result = counterflow("drivers", "import", str(file))
    assert result.exit_code == 1
    assert "Line 3: no." in result.stderr
    assert "nothing was imported" in flat(result.stderr)


def test_remove_goes_by_the_pseudonym(api: Any, counterflow: Any) -> None:
    api.will("POST", "/api/v1/drivers/lookup", [VIEW, replace(VIEW, scope="vehicle", stored=False)])
    api.will("DELETE", f"/api/v1/drivers/driver/{VIEW.subject}", VIEW)
    assert counterflow("drivers", "remove", "DECFW1").exit_code == 0
    assert [request.method for request in api.requests] == ["POST", "DELETE"]
    assert "DECFW1" not in str(api.requests[1].url)


def test_erase_asks_first(api: Any, counterflow: Any) -> None:
    api.will("POST", "/api/v1/drivers/erase", ErasureAnswer(agreements=1, accounts=2, sessions=12, learned=1))
    assert counterflow("drivers", "erase", "DECFW1", typed="n\n").exit_code == 1
    assert api.requests == []
    said = flat(counterflow("drivers", "erase", "DECFW1", "--yes").stdout)
    assert "1 agreement, 2 accounts, and the link from 12 sessions. What was learned of 1 car is gone, too." in said


def test_override_finds_a_session_by_number_a_station_and_a_transaction(api: Any, counterflow: Any) -> None:
    session = replace(EXAMPLES[SessionView], session_uid=7, station_id="CS 1", transaction_id="t/1", override="stop")
    api.will("GET", "/api/v1/sessions", [session])
    for path in ("/sessions/CS%201/t%2F1", "/stations/CS-1", "/sessions/CS-1/tx", "/stations/8"):
        api.will("PUT", f"/api/v1{path}/override", [session])
    assert "stop" in counterflow("override", "7", "stop").stdout
    counterflow("override", "CS-1", "depart", "2026-11-22T15:00+01:00")
    counterflow("override", "CS-1/tx", "clear")
    counterflow("override", "8", "stop")
    assert api.bodies == [{"say": "stop"}, {"say": "depart", "departure_s": 1_795_356_000.0}, {"say": "clear"}, {"say": "stop"}]
