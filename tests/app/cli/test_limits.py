"""`counterflow limits`, and readings of other load."""

from typing import Any

import msgspec

from counterflow.adapters.web.examples import EXAMPLES
from counterflow.domain.views import LimitView


def test_limits_lists_what_feeders_sites_and_phases_may_carry(api: Any, counterflow: Any) -> None:
    api.will("GET", "/api/v1/limits", [EXAMPLES[LimitView]])
    shown = " ".join(counterflow("limits").stdout.split())
    for part in ("site depot", "98.4", "100.0*", "11.2..13.8", "17:00:20", "dso, event-7: pool north exports at most 100.0 kW"):
        assert part in shown, part
    api.will("GET", "/api/v1/limits", [EXAMPLES[LimitView]])
    assert msgspec.json.decode(counterflow("limits", "--json").stdout, type=list[LimitView]) == [EXAMPLES[LimitView]]


def test_a_reading_of_other_load_is_told_with_its_sign(api: Any, counterflow: Any) -> None:
    api.will("PUT", "/api/v1/limits/load", EXAMPLES[LimitView])
    said = counterflow("limits", "load", "site depot", "12.5kW").stdout
    assert said == "At site depot 11.2 kW to 13.8 kW count as other load.\n"
    api.will("PUT", "/api/v1/limits/load", EXAMPLES[LimitView])
    counterflow("limits", "load", "site depot", "--", "-3kW")
    assert api.bodies == [{"group": "site depot", "power_w": 12_500.0}, {"group": "site depot", "power_w": -3_000.0}]
    assert counterflow("limits", "load", "site depot", "much").exit_code == 2
