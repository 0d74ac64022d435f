"""Commands about other actors."""

from typing import Any

import msgspec
import pytest

from counterflow.adapters.web.examples import EXAMPLES
from counterflow.domain.conflicts import SitePriority
from counterflow.domain.station_views import ConflictView, StationView


def test_conflicts_lists_who_else_steers_and_what_was_confirmed(api: Any, counterflow: Any) -> None:
    api.will("GET", "/api/v1/conflicts", [EXAMPLES[ConflictView]])
    api.will("GET", "/api/v1/conflicts/priorities", [EXAMPLES[SitePriority]])
    shown = " ".join(counterflow("conflicts").stdout.split())
    assert "CS-2" in shown
    assert "TxProfile 17 at level 3 on EVSE 1, from CSO" in shown
    assert "1 of 1 EVSE kept out of dispatch." in shown
    assert "contract of May 2026" in shown
    assert msgspec.json.decode(counterflow("conflicts", "--json").stdout, type=list[ConflictView]) == [EXAMPLES[ConflictView]]


def test_no_conflicts_is_said(api: Any, counterflow: Any) -> None:
    api.will("GET", "/api/v1/conflicts", [])
    api.will("GET", "/api/v1/conflicts/priorities", [])
    assert counterflow("conflicts").stdout == "Nobody else steers a station, as far as the stations have told.\n"


def test_a_confirmation_names_who_and_is_repeated_in_words(api: Any, counterflow: Any) -> None:
    api.will("PUT", "/api/v1/conflicts/priorities/depot", EXAMPLES[SitePriority])
    result = counterflow("conflicts", "confirm", "depot", "--priority", "us", "--by", "M. Rivera", "--note", "contract")
    assert api.bodies == [{"leader": "us", "by": "M. Rivera", "note": "contract"}]
    assert "our profiles go above others'; confirmed by M. Rivera" in " ".join(result.stdout.split())


@pytest.mark.parametrize("args", [("--priority", "us"), ("--by", "A"), ("--priority", "we", "--by", "A")])
def test_a_confirmation_needs_a_name_and_a_side(api: Any, counterflow: Any, args: tuple[str, ...]) -> None:
    assert counterflow("conflicts", "confirm", "depot", *args).exit_code == 2
    assert api.requests == []


def test_a_confirmation_is_revoked_and_a_station_released(api: Any, counterflow: Any) -> None:
    api.will("DELETE", "/api/v1/conflicts/priorities/depot", EXAMPLES[SitePriority])
    api.will("POST", "/api/v1/stations/CS-1/release", EXAMPLES[StationView])
    assert "nobody has priority any more" in counterflow("conflicts", "revoke", "depot", "--by", "A").stdout
    assert "may be dispatched again" in counterflow("stations", "release", "CS-1", "--by", "A").stdout
    assert dict(api.requests[0].url.params) == {"by": "A", "note": ""}
    assert api.bodies == [{"by": "A", "note": ""}]


def test_options_before_the_subcommand_are_refused(api: Any, counterflow: Any) -> None:
    result = counterflow("conflicts", "--api", "http://elsewhere:8000", "confirm", "depot", "--priority", "us", "--by", "A")
    assert (result.exit_code, api.requests) == (2, [])


def test_a_station_shows_what_is_not_ours(api: Any, counterflow: Any) -> None:
    view = msgspec.structs.replace(
        EXAMPLES[StationView], other_profiles=EXAMPLES[ConflictView].other_profiles, held_out="the registers say otherwise"
    )
    api.will("GET", "/api/v1/stations/CS-1", view)
    shown = " ".join(counterflow("stations", "show", "CS-1").stdout.split())
    assert "TxProfile 17 at level 3" in shown
    assert "the registers say otherwise (counterflow stations release CS-1)" in shown
