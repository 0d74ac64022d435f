"""Orders, answers, states and telemetry over a real broker, against a served process."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

PROGRAM = """
[[programs]]
name = "north"
wire = "mqtt"
sign = "load"
unit = "kW"
max_discharge_power_w = 2_000_000
max_orders_per_min = 600
[[programs]]
name = "south"
wire = "mqtt"
sign = "generator"
unit = "MW"
max_discharge_power_w = 2_000_000
[mqtt.programs.south]
topics = "tso/area-7/vpp"
"""


def soon(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def order(key: str, value: float, *, end_s: float = 600.0, **more: Any) -> dict[str, Any]:
    return {"key": key, "unit": "kW", "steps": [{"from": soon(-1.0), "value": value}], "end": soon(end_s)} | more


@pytest.fixture(scope="module")
def broker(brokers: Any) -> Any:
    return brokers()


@pytest.fixture(scope="module")
def served(broker: Any, settings_at: Any, serve_all: Any) -> Any:
    return serve_all(settings_at(broker.port) + PROGRAM)


@pytest.fixture
def talk(broker: Any, served: Any, peer: Any, until: Any) -> Callable[[Callable[[Any], Coroutine[Any, Any, None]]], None]:
    def run(test: Callable[[Any], Coroutine[Any, Any, None]]) -> None:
        async def life() -> None:
            async with peer(broker.port) as one:
                await until(lambda: one.heard_anywhere("counterflow/status", online=True))
                await test(one)

        asyncio.run(life())

    return run


def test_an_order_is_placed_changed_and_withdrawn_in_the_words_of_its_program(talk: Any, until: Any) -> None:
    async def test(peer: Any) -> None:
        await peer.say("order", order("o-1", -500.0))
        answer = await peer.answer(1)
        assert (answer["about"], answer["key"], answer["outcome"]) == ("order", "o-1", "accepted")
        assert (answer["sign"], answer["unit"], answer["shortfall_power"], answer["promised_power"]) == ("load", "kW", 500.0, 0.0)
        state = await until(lambda: [one for words in peer.on("orders") for one in words["orders"] if one["state"] == "running"])
        assert (state[-1]["key"], state[-1]["steps"][0]["value"]) == ("o-1", -500.0)
        telemetry = await until(lambda: [words for words in peer.on("telemetry") if words["target_power"] is not None])
        assert (telemetry[-1]["target_power"], telemetry[-1]["unit"], telemetry[-1]["measured_power"]) == (-500.0, "kW", 0.0)
        await peer.say("order", order("o-1", -300.0))
        assert (await peer.answer(2))["outcome"] == "changed"
        await peer.say("withdraw", {"key": "o-1", "why": "weather"})
        assert (await peer.answer(3))["outcome"] == "withdrawn"
        ended = await until(lambda: [one for one in peer.on("orders") if one["orders"] and one["orders"][0]["outcome"] == "withdrawn"])
        assert ended[-1]["orders"][0]["key"] == "o-1"

    talk(test)


NONSENSE: list[tuple[str, Any, str]] = [
    ("order", b"{", "Input data was truncated"),
    ("order", b"\xff\xfe", "malformed"),
    ("order", [1], "Expected `object`, got `array`"),
    ("order", order("o-9", -1.0) | {"unit": "horsepower"}, "Invalid enum value 'horsepower'"),
    ("order", order("o-9", -1.0) | {"surprise": 1}, "contains unknown field `surprise`"),
    ("order", {"key": "o-9", "unit": "kW", "steps": [], "end": soon(9.0)}, "Expected `array` of length >= 1"),
    ("order", order("o/9", -1.0), "Expected `str` matching regex"),
    ("order", {"key": "o-9", "unit": "kW", "steps": [{"from": "2026-11-26T17:00:00", "value": -1}], "end": soon(9.0)}, "timezone"),
    ("order", b'{"key":"o-9","unit":"kW","steps":[{"from":"2026-11-26T17:00:00Z","value":NaN}],"end":"2026-11-26T18:00:00Z"}', "malformed"),
    ("order", b'{"key":"o-9","unit":"kW","steps":[{"from":"2026-11-26T17:00:00Z","value":1e999}],"end":"2026-11-26T18:00:00Z"}', "range"),
    ("withdraw", {}, "missing required field `key`"),
    ("setpoint", {"value": "5", "unit": "kW"}, "Expected `float`, got `str`"),
    ("setpoint", b"[" * 100_000, "malformed"),
    ("order", b'{"key":' + b"[" * 100_000, "malformed"),
]


def test_what_cannot_be_read_gets_an_answer_that_says_where(talk: Any) -> None:
    async def test(peer: Any) -> None:
        for number, (name, words, problem) in enumerate(NONSENSE, start=1):
            await peer.say(name, words)
            answer = await peer.answer(number)
            assert (answer["about"], answer["outcome"]) == (name, "malformed"), words
            assert problem.lower() in answer["problem"].lower() or problem == "malformed", answer
            assert answer["key"] == (words["key"] if isinstance(words, dict) and "key" in words else None)
            assert answer["remedy"] == f"docs/mqtt.md has the schema of '{name}'."

    talk(test)


def test_a_program_may_have_its_topics_elsewhere_in_its_own_sign_and_unit(broker: Any, served: Any, peer: Any, until: Any) -> None:
    async def life() -> None:
        async with peer(broker.port, "tso/area-7/vpp/", hears="tso/#") as operator:
            await until(lambda: operator.on("telemetry"))
            await operator.say("order", order("o-1", 1.5) | {"unit": "MW"})
            answer = await operator.answer(1)
            assert (answer["program"], answer["outcome"], answer["unit"], answer["shortfall_power"]) == ("south", "accepted", "MW", 1.5)
            await operator.say("withdraw", {"key": "o-1"})
            assert (await operator.answer(2))["outcome"] == "withdrawn"

    asyncio.run(life())


def test_what_can_be_read_and_not_be_done_is_refused_with_a_sentence(talk: Any) -> None:
    async def test(peer: Any) -> None:
        for number, (name, words, problem) in enumerate(
            [
                ("order", order("o-2", 500.0), "asks for 500.0 kW of consumption"),
                ("order", order("o-2", -3_000.0), "may order at most 2.000 MW"),
                ("order", order("o-2", -1.0) | {"unit": "MW"}, "The message is in MW, and program 'north' is agreed in kW."),
                ("withdraw", {"key": "nobody"}, "Program 'north' has no order 'nobody'."),
                ("setpoint", {"value": -0.5, "unit": "MW"}, "agreed in kW"),
            ],
            start=1,
        ):
            await peer.say(name, words)
            answer = await peer.answer(number)
            assert (answer["outcome"], answer["key"]) == ("refused", words.get("key")), answer
            assert problem in answer["problem"], answer
            assert answer["remedy"]

    talk(test)


def test_a_stream_of_set_points_moves_the_target_and_a_double_changes_nothing(talk: Any, until: Any) -> None:
    async def test(peer: Any) -> None:
        for number, (sequence, value) in enumerate([(1, -200.0), (2, -250.0), (2, -900.0), (1, -900.0)], start=1):
            await peer.say("setpoint", {"value": value, "unit": "kW", "sequence": sequence})
            answer = await peer.answer(number)
            assert (answer["about"], answer["sequence"]) == ("setpoint", sequence)
            assert answer["outcome"] == ("accepted" if number <= 2 else "unchanged"), answer
        await until(lambda: [one for one in peer.on("telemetry") if one["target_power"] == -250.0])
        await peer.say("setpoint", {"value": 0, "unit": "kW", "sequence": 3})
        await until(lambda: peer.on("telemetry") and peer.on("telemetry")[-1]["target_power"] == 0.0)

    talk(test)


def test_a_set_point_of_before_is_not_followed(talk: Any, broker: Any, peer: Any) -> None:
    async def test(operator: Any) -> None:
        for number, (seconds, problem) in enumerate([(-31.0, "was made 31 s ago"), (20.0, "ahead of our clock")], start=1):
            await operator.say("setpoint", {"value": -100.0, "unit": "kW", "at": soon(seconds)})
            answer = await operator.answer(number)
            assert answer["outcome"] == "refused"
            assert problem in answer["problem"]
        # Of an order the broker keeps what comes while nobody listens, of set-points nothing.
        kept = [line for line in broker.log.splitlines() if "counterflow/north/" in line and " (QoS " in line]
        assert [line.rsplit("/", 1)[1] for line in kept[:3]] == ["order (QoS 1)", "withdraw (QoS 1)", "setpoint (QoS 0)"]

    talk(test)


def test_a_flood_of_nonsense_gets_a_minutes_answers_and_the_server_stays_at_hand(talk: Any, served: Any, until: Any) -> None:
    async def test(peer: Any) -> None:
        async def pour() -> None:
            for _ in range(10):
                await asyncio.gather(*(peer.say("order", b"nonsense") for _ in range(100)))

        poured_s = asyncio.get_running_loop().time()
        pouring = asyncio.create_task(pour())
        async with served.api() as api:
            worst_s = 0.0
            while not pouring.done():
                began_s = asyncio.get_running_loop().time()
                assert (await api.get("/api/v1/fleet")).status_code == 200
                worst_s = max(worst_s, asyncio.get_running_loop().time() - began_s)
            await pouring
            assert worst_s < 3.0  # the machine has others to serve, too
        await peer.say("withdraw", {"key": "after-the-flood"})
        await until(lambda: [one for one in peer.on("answer") if one["key"] == "after-the-flood"])
        # A minute's worth of answers, and not one for each.
        minutes = (asyncio.get_running_loop().time() - poured_s) / 60.0
        assert 30 <= len([one for one in peer.on("answer") if one["outcome"] == "malformed"]) <= 60.0 * (1.0 + minutes) + 1.0

    talk(test)
