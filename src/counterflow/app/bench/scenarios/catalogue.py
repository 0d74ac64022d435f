"""All scenarios by number, and the rows of the reference that other parts of the project measure."""

from counterflow.app.bench.scenarios.promises import PROMISES
from counterflow.app.bench.scenarios.scenario import Elsewhere, Scenario
from counterflow.app.bench.scenarios.steps import STEPS
from counterflow.app.bench.scenarios.streams import STREAMS
from counterflow.app.bench.scenarios.sums import SUMS


class UnknownScenarioError(ValueError):
    """There is no scenario of that number; the text is a sentence."""


def _place(number: str) -> tuple[int, str]:
    digits = number.rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(digits), number[len(digits) :]


SCENARIOS: dict[str, Scenario] = {
    scenario.number: scenario for scenario in sorted((*STEPS, *STREAMS, *PROMISES, *SUMS), key=lambda scenario: _place(scenario.number))
}
"""In the order of their numbers."""

ELSEWHERE = (
    Elsewhere(number="5", title="messages for a tenth lost", where="with 4"),
    Elsewhere(number="22", title="AGC value to last update", where="counterflow bench fan_out"),
    Elsewhere(number="23", title="coverage of the forecast", where="counterflow bench offers"),
    Elsewhere(number="24", title="quantile error and time", where="counterflow bench offers"),
    Elsewhere(number="25", title="settlement, aligned registers", where="counterflow bench settlement"),
    Elsewhere(number="26", title="settlement with faulty registers", where="counterflow bench settlement"),
    Elsewhere(number="27", title="server killed in mid-window", where="tests/crash"),
)


def chosen(only: str) -> list[Scenario]:
    """The scenarios of a list such as `4,8`, where `8` names its letters, too; all for an empty one. Raises `UnknownScenarioError`."""
    wanted = [part.strip() for part in only.split(",") if part.strip()]
    elsewhere = {row.number: row for row in ELSEWHERE}
    for part in wanted:
        if part in elsewhere:
            raise UnknownScenarioError(f"Scenario {part}, {elsewhere[part].title}, is measured elsewhere: {elsewhere[part].where}.")
        if not any(part in (number, str(_place(number)[0])) for number in SCENARIOS):
            raise UnknownScenarioError(f"There is no scenario '{part}'; there are {', '.join(SCENARIOS)}.")
    return [one for number, one in SCENARIOS.items() if not wanted or number in wanted or str(_place(number)[0]) in wanted]
