"""What is taken from a line, without one: faults of ours, floods, and topics that mean nothing any more."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiomqtt
import msgspec
import pytest

from counterflow.adapters.mqtt.inbox import Inbox
from counterflow.adapters.mqtt.settings import MqttSettings
from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.domain.grid import Wire
from counterflow.sim.settings import WorldSettings

BACK = b'{"key": "o-1"}'


class FakeLine:
    """Has some messages, and writes down what happened in which order."""

    def __init__(self, *messages: tuple[str, bytes]) -> None:
        self.done: list[tuple[str, Any]] = []
        self._messages = [aiomqtt.Message(topic, body, 1, False, number, None) for number, (topic, body) in enumerate(messages)]

    @property
    def messages(self) -> AsyncIterator[aiomqtt.Message]:
        async def each() -> AsyncIterator[aiomqtt.Message]:
            for message in self._messages:
                yield message

        return each()

    def acknowledge(self, message: aiomqtt.Message) -> None:
        self.done.append(("acknowledged", message.mid))

    async def say(self, topic: str, words: Any, *, retain: bool = False) -> int:
        self.done.append((topic, words.outcome))
        return 1


@pytest.fixture
def place(program: dict[str, Any]) -> Replay:
    settings = msgspec.convert({"programs": [program]}, Settings)
    return Replay(settings, msgspec.convert({"stations": 1}, WorldSettings), 1, journal=MemoryJournal())


def inbox(place: Replay, **settings: Any) -> Inbox:
    return Inbox(place.grid, list(place.grid.programs(Wire.MQTT)), MqttSettings(host="x", **settings))


def test_a_message_is_acknowledged_once_it_is_answered_and_what_means_nothing_at_once(place: Replay) -> None:
    line: Any = FakeLine(("counterflow/north/withdraw", BACK), ("other/order", BACK), ("counterflow/gone/order", BACK), ("order", BACK))
    asyncio.run(inbox(place).listen(line))
    assert line.done == [("counterflow/north/answer", "refused"), *(("acknowledged", number) for number in range(4))]


def test_a_line_that_breaks_before_the_answer_leaves_the_message_at_the_broker(place: Replay) -> None:
    line: Any = FakeLine(("counterflow/north/withdraw", BACK))

    async def broken(topic: str, words: Any) -> int:
        raise aiomqtt.MqttError("gone")

    line.say = broken
    with pytest.raises(aiomqtt.MqttError):
        asyncio.run(inbox(place).listen(line))
    assert line.done == []


def test_a_fault_of_ours_is_answered_and_the_message_does_not_come_again(place: Replay, monkeypatch: Any) -> None:
    async def fails(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(place.grid, "withdraw", fails)
    box, line = inbox(place), FakeLine(("counterflow/north/withdraw", BACK))
    asyncio.run(box.listen(line))  # type: ignore[arg-type]
    assert line.done == [("counterflow/north/answer", "refused"), ("acknowledged", 0)]


def test_nonsense_is_answered_as_often_as_the_settings_say(place: Replay) -> None:
    box = inbox(place, malformed_per_min=3.0)
    line: Any = FakeLine(*[("counterflow/north/order", b"{")] * 5)
    asyncio.run(box.listen(line))
    assert [what for what, _ in line.done].count("counterflow/north/answer") == 3
    assert [what for what, _ in line.done].count("acknowledged") == 5
    assert (box.outcomes["malformed"], box.outcomes["unanswered"]) == (5, 2)
    place.run(20.0)
    asyncio.run(box.listen(line))
    assert box.outcomes["unanswered"] == 6


def test_what_the_wire_refuses_by_its_own_rules_is_audited_and_leaves_what_runs(place: Replay) -> None:
    box, grid = inbox(place), place.grid
    (terms,) = box._terms.values()

    def order(unit: str, key: str = "o-1") -> bytes:
        steps = [{"from": _instant(place.now_s), "value": -1.0}]
        return msgspec.json.encode({"key": key, "unit": unit, "steps": steps, "end": _instant(place.now_s + 600.0)})

    def said(name: str, payload: bytes) -> str:
        answer = asyncio.run(box.take(terms, name, payload))
        assert answer is not None
        return answer.outcome

    assert said("order", order("kW")) == "accepted"
    assert said("order", order("MW")) == "refused"
    assert said("order", b'{"key": "o-7"}') == "malformed"
    assert said("setpoint", b'{"value": -1.0, "unit": "W"}') == "refused"
    old = msgspec.json.encode({"value": -1.0, "unit": "kW", "at": _instant(place.now_s - 3600.0)})
    assert said("setpoint", old) == "refused"
    assert said("setpoint", old) == "refused"
    told = [(entry.action, entry.status) for entry in reversed(place.operations.audit(0.0, 20))]
    refused = [("order o-1", 422), ("order o-7", 422), ("set-point (stream)", 422), ("set-point (stream)", 422)]
    assert told == [("order o-1", 200), *refused], "the same again is no news"
    assert [record.outcome for record in grid.standing("north")] == ["accepted"]


def _instant(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()
