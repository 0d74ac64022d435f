"""Offers, commitments and coverage over HTTP: what is asked reaches the port, roles hold, and every commitment is in the audit log."""

from hashlib import sha256
from typing import Any

import pytest

from counterflow.domain.access import ApiToken
from counterflow.domain.views import RefusalKind


def test_an_offer_is_asked_with_window_confidence_start_and_mode(client: Any, operations: Any) -> None:
    told = client.ask("GET", "/offer?pool=north&window_min=15&confidence=0.95&start=2026-11-22T17:00:00Z")
    assert told.status_code == 200
    assert told.json()["levels"][1]["confidence"] == 0.9
    assert operations.calls[-1] == ("offer", "north", 900.0, 0.95, 1_795_366_800.0, "net_export")
    client.ask("GET", "/offer?mode=relative")
    assert operations.calls[-1] == ("offer", "all", 3600.0, None, None, "relative")
    assert len(client.ask("GET", "/offer/horizons?mode=gross_export").json()) == 1
    assert operations.calls[-1] == ("horizons", "all", None, None, "gross_export")
    assert len(client.ask("GET", "/offer/day?pool=north").json()) == 1
    assert operations.calls[-1] == ("day", "north", "net_export")
    client.ask("GET", "/offer/day?mode=relative")
    assert operations.calls[-1] == ("day", "all", "relative")


@pytest.mark.parametrize(
    "query", ["window_min=4", "window_min=1441", "confidence=0.4", "confidence=nan", "start=tomorrow", "mode=sideways"]
)
def test_a_question_that_cannot_be_answered_is_refused(client: Any, query: str) -> None:
    assert client.ask("GET", f"/offer?{query}").status_code == 422


def test_a_commitment_is_for_the_token_unless_it_says_for_whom(client: Any, operations: Any) -> None:
    made = client.ask("POST", "/commitments", json={"offer_id": "o-1", "power_w": "400kW"})
    assert made.status_code == 201
    name, offer_id, power_w, holder = operations.calls[-1]
    assert (name, offer_id, power_w) == ("commit", "o-1", 400_000.0)
    assert holder.startswith("api:")
    client.ask("POST", "/commitments", json={"offer_id": "o-1", "holder": "grid:north"})
    assert operations.calls[-1] == ("commit", "o-1", None, "grid:north")
    assert client.ask("DELETE", "/commitments/o-1").status_code == 200
    assert [entry.action for entry in operations.recorded][-3:] == [
        "POST /api/v1/commitments",
        "POST /api/v1/commitments",
        "DELETE /api/v1/commitments/o-1",
    ]
    assert client.ask("POST", "/commitments", json={"offer_id": "o-1", "power_w": -1}).status_code == 422


def test_refusals_are_problems(client: Any, refuse: Any) -> None:
    refusal = refuse(RefusalKind.NOT_FOUND)
    for told in (
        client.ask("GET", "/offer"),
        client.ask("GET", "/offer/horizons"),
        client.ask("GET", "/offer/day"),
        client.ask("POST", "/commitments", json={"offer_id": "o"}),
        client.ask("DELETE", "/commitments/o"),
    ):
        assert told.status_code == 404
        assert told.json()["detail"] == refusal.sentence


def test_commitments_and_coverage_are_listed(client: Any) -> None:
    [one] = client.ask("GET", "/commitments").json()
    assert one["state"] == "committed"
    assert client.ask("GET", "/coverage").json()[0]["reached_frac"] == 0.914
    assert client.ask("GET", "/coverage").json()[0]["mode"] == "net_export"
    assert client.ask("GET", "/coverage?pool=south").json() == []
    assert client.ask("GET", "/coverage?mode=relative").json() == []
    assert client.ask("GET", "/coverage?mode=sideways").status_code == 422


def test_a_grid_token_commits_for_itself_and_withdraws_only_what_it_holds(client: Any, operations: Any) -> None:
    token = "a-token-of-the-grid-0123456789"
    operations.named = [
        ApiToken(name="south", role="grid", digest=sha256(token.encode()).hexdigest(), added_at_s=0.0, added_by="x"),
    ]
    assert client.ask("POST", "/commitments", token=token, json={"offer_id": "o", "holder": "api:tso-north"}).status_code == 403
    assert client.ask("POST", "/commitments", token=token, json={"offer_id": "o", "holder": "api:south"}).status_code == 201
    assert client.ask("DELETE", "/commitments/o-9b1d4e70", token=token).status_code == 403, "another holds it"
    assert client.ask("DELETE", "/commitments/o-unknown", token=token).status_code == 200, "the port says what is wrong with it"
