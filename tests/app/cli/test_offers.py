"""`counterflow offer`, `coverage` and `commitments`."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from counterflow.adapters.web.examples import EXAMPLES
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import Commitment, CoverageView, Offer

OFFER: Any = EXAMPLES[Offer]
HELD: Any = EXAMPLES[Commitment]


def test_an_offer_is_told_with_how_it_comes_about_and_for_other_windows(api: Any, counterflow: Any) -> None:
    grounds = replace(OFFER.grounds, against_power_w=1_500.0, given_up_power_w=4_000.0, limits=("limit 60.0 kW of site depot binds",))
    api.will("GET", "/api/v1/offer", replace(OFFER, grounds=grounds, reserved_power_w=2_000.0, mode=DispatchMode.RELATIVE))
    api.will("GET", "/api/v1/offer/horizons", [replace(OFFER, window_s=window_s) for window_s in (300.0, 86_400.0)])
    shown = " ".join(
        counterflow("offer", "--window", "60min", "--confidence", "90%", "--pool", "north", "--mode", "relative").stdout.split()
    )
    for part in (
        "Offer o-9b1d4e70: 12.6 kW for 60 min from",
        "90 % confidence",
        "14.8 kW of 2 cars",
        "mode relative",
        "4.0 kW of that by charging less than they would",
        "14.2 kW as they are known to respond",
        "learned from 212 departures",
        "13.2 kW if cars did not leave together",
        "0.990 of that",
        "of cars that must charge is taken off",
        "is held for commitments",
        "limit 60.0 kW of site depot binds",
        "counterflow commitments make o-9b1d4e70",
        "P50 kW P90 kW P95 kW P99 kW",
        "24 h",
    ):
        assert part in shown, (part, shown)
    asked = dict(api.requests[0].url.params)
    assert asked == {"pool": "north", "mode": "relative", "confidence": "0.9", "window_min": "60.0"}


def test_an_offer_as_json_is_what_the_api_says(api: Any, counterflow: Any) -> None:
    api.will("GET", "/api/v1/offer", OFFER)
    told = counterflow("offer", "--json", "--start", "2026-11-22T17:00Z", "--confidence", "0.95").stdout
    assert msgspec.json.decode(told, type=Offer) == OFFER
    assert dict(api.requests[0].url.params)["start"] == "2026-11-22T17:00Z"


@pytest.mark.parametrize("text", ["high", "20%", "100%"])
def test_a_confidence_that_is_none_is_refused(counterflow: Any, text: str) -> None:
    assert counterflow("offer", "--confidence", text).exit_code == 2


def test_coverage_is_a_table_and_says_when_there_is_none(api: Any, counterflow: Any) -> None:
    unknown = replace(EXAMPLES[CoverageView], reached_frac=None, reached_low_frac=None, reached_high_frac=None)
    api.will("GET", "/api/v1/coverage", [EXAMPLES[CoverageView], unknown])
    shown = counterflow("coverage", "--pool", "all").stdout
    assert "91.4" in shown
    assert "90.3..92.4" in shown
    assert "net_export" in shown
    assert dict(api.requests[-1].url.params) == {"pool": "all"}
    counterflow("coverage", "--mode", "relative")
    assert dict(api.requests[-1].url.params) == {"mode": "relative"}
    assert counterflow("coverage", "--json").stdout.startswith("[")
    api.answers.clear()
    api.will("GET", "/api/v1/coverage", [])
    assert counterflow("coverage").stdout == "No forecast was judged yet.\n"


def test_commitments_are_listed_made_and_withdrawn(api: Any, counterflow: Any) -> None:
    api.will("GET", "/api/v1/commitments", [HELD])
    shown = counterflow("commitments").stdout
    assert "o-9b1d4e70" in shown
    assert "committed" in shown
    assert counterflow("commitments", "--json").stdout.startswith("[")
    api.will("POST", "/api/v1/commitments", HELD, 201)
    made = counterflow("commitments", "make", "o-9b1d4e70", "--power", "12kW", "--holder", "grid:north").stdout
    assert "Committed: 12.0 kW from" in made
    assert "held for api:tso-north" in " ".join(made.split())
    assert api.bodies == [{"offer_id": "o-9b1d4e70", "power_w": 12_000.0, "holder": "grid:north"}]
    assert msgspec.json.decode(counterflow("commitments", "make", "o-9b1d4e70", "--json").stdout, type=Commitment) == HELD
    api.will("DELETE", "/api/v1/commitments/o-9b1d4e70", HELD)
    assert "is withdrawn" in counterflow("commitments", "withdraw", "o-9b1d4e70").stdout
    assert msgspec.json.decode(counterflow("commitments", "withdraw", "o-9b1d4e70", "--json").stdout, type=Commitment) == HELD
    assert counterflow("commitments", "--json", "make", "o-9b1d4e70").exit_code == 2
