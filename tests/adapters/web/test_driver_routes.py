"""Drivers over HTTP: identifiers travel in bodies, changes are partial, and what a driver says is unmistakable."""

import pytest

from counterflow.domain.drivers import Scope, SessionOverride


def test_a_change_carries_only_what_was_given(client, operations):
    body = {"id": "DECFW1", "terms": {"consent": True, "min_soc_frac": None}}
    assert client.ask("PATCH", "/drivers", json=body).status_code == 200
    ((_, scope, identifier, label, changes, by),) = operations.calls
    assert (scope, identifier, label, changes) == (Scope.DRIVER, "DECFW1", None, {"consent": True, "min_soc_frac": None})
    assert by.startswith("api:")


@pytest.mark.parametrize(
    "terms",
    [{"min_soc": 0.4}, {"min_soc_frac": 1.4}, {"consent": "yes"}, {"max_day_discharge_wh": -1}, {"blackouts": "mon 8-9"}, {"timezone": ""}],
)
def test_terms_that_are_none_are_refused(client, operations, terms):
    assert client.ask("PATCH", "/drivers", json={"id": "DECFW1", "terms": terms}).status_code == 422
    assert operations.calls == []


def test_looking_removing_erasing_and_importing(client, operations):
    assert client.ask("GET", "/drivers").json()[0]["label"] == "van 7"
    assert client.ask("GET", "/drivers/vehicle/4f0c").status_code == 200
    assert client.ask("DELETE", "/drivers/driver/4f0c").status_code == 200
    assert client.ask("POST", "/drivers/lookup", json={"id": "DECFW1"}).status_code == 200
    assert client.ask("POST", "/drivers/erase", json={"id": "DECFW1"}).json() == {
        "agreements": 1,
        "accounts": 1,
        "sessions": 12,
        "learned": 1,
    }
    answer = client.ask("POST", "/drivers/import", json={"csv": "id\nA\n", "dry_run": True}).json()
    assert answer["bad_rows"][0]["line"] == 3
    assert [call[0] for call in operations.calls] == ["driver", "remove_driver", "find_driver", "erase_driver", "import_drivers"]
    assert client.ask("GET", "/drivers/person/4f0c").status_code == 422


def test_what_a_driver_says_reaches_the_engine(client, operations):
    assert client.ask("PUT", "/stations/CS-1/override", json={"say": "stop"}).status_code == 200
    client.ask("PUT", "/sessions/CS-1/tx/override", json={"say": "depart", "departure": "2026-11-22T15:00:00+01:00"})
    client.ask("PUT", "/sessions/CS-1/tx/override", json={"say": "clear"})
    stop, depart, clear = ((call[1], call[2], call[3]) for call in operations.calls)
    by = stop[2].by
    assert stop == ("CS-1", None, SessionOverride(stop=True, by=by))
    assert depart == ("CS-1", "tx", SessionOverride(departure_s=1_795_356_000.0, by=by))
    assert clear == ("CS-1", "tx", SessionOverride(by=by))


@pytest.mark.parametrize(
    "body", [{"say": "depart"}, {"say": "stop", "departure": "2026-11-22T15:00:00Z"}, {"say": "go"}, {"say": "depart", "departure_s": 7}]
)
def test_an_unclear_word_is_refused(client, operations, body):
    assert client.ask("PUT", "/stations/CS-1/override", json=body).status_code == 422
    assert operations.calls == []
