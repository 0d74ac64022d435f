"""Every alarm has something that can be done about it, and no remedy is for an alarm that nobody raises."""

from pathlib import Path

import pytest

from counterflow.console.remedies import OTHERWISE, REMEDIES, remedy_of

SOURCES = Path(__file__).parent.parent.parent / "src" / "counterflow"


@pytest.mark.parametrize("part", [part for part, _ in REMEDIES])
def test_each_remedy_is_for_an_alarm_that_is_raised(part: str) -> None:
    rooms = (path for path in SOURCES.rglob("*.py") if "console" not in path.relative_to(SOURCES).parts)
    assert any(f'"{part}' in text or f"{part}{{" in text for text in (path.read_text("utf-8") for path in rooms))


def test_the_remedy_is_that_of_the_alarm() -> None:
    assert "top right" in remedy_of("The emergency stop is on.")
    assert "source still sends" in remedy_of("Dispatch d-1 holds its last value (source last heard 2026-11-22T17:00Z, target now 1 MW).")
    assert "NTP" in remedy_of("The machine's clock was set back; ours is 3 s ahead and runs slower until they agree.")
    assert remedy_of("Something new.") == OTHERWISE
