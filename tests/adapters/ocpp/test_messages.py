"""The generated types judge as the official schemas judge, save for the differences that are meant.

Meant: unknown fields are ignored; integers are 32-bit; `1.0` is no integer at first reading; a space may stand between date and
time; what is inside customData is the vendor's business.
"""

import copy
import gc
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from counterflow.adapters.ocpp import messages

Admits = Callable[[str, Any], bool]
Example = Callable[[str, random.Random], dict[str, Any]]
Place = tuple[Any, Any]  # a container and the key in it

EXAMPLES_PER_MESSAGE = 6
MUTATIONS_PER_EXAMPLE = 8


def accepts(name: str, payload: Any) -> bool:
    try:
        msgspec.json.decode(json.dumps(payload), type=getattr(messages, name))
    except msgspec.ValidationError:
        return False
    return True


def places(node: Any) -> Iterator[Place]:
    """Every value inside a payload, customData and free-form values left out."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if key not in ("customData", "data") or isinstance(value, list):
            yield node, key
            yield from places(value)


def mutate(payload: dict[str, Any], rng: random.Random) -> bool:
    """Change one thing in place; False if there is nothing to change."""
    found = list(places(payload))
    if not found:
        return False
    container, key = rng.choice(found)
    value = container[key]
    options: list[Any] = [None, True, 7, -1, 3.25, "", "Surely Unlisted", {}, [], [1], {"a": 1}, "2026-11-22T10:00:00", 101, "y" * 60]
    if isinstance(value, str):
        options += [value * 500, value.swapcase(), value + "\u00e9"]
    if isinstance(value, list):
        options += [value * 400, [*value, None]]
    if isinstance(container, dict) and rng.random() < 0.2:
        del container[key]
    else:
        container[key] = copy.deepcopy(rng.choice(options))
    return True


def test_every_message_of_the_schemas_has_a_type(official_schemas: dict[str, Any]) -> None:
    assert len(official_schemas) == 181
    for name, schema in official_schemas.items():
        wire_names = {field.encode_name for field in msgspec.structs.fields(getattr(messages, name))}
        assert wire_names == set(schema.get("properties", {}))


def test_examples_of_every_message_are_accepted_by_both_and_survive_a_round_trip(
    official_schemas: dict[str, Any], example_of: Example, schema_admits: Admits
) -> None:
    rng = random.Random(21)
    for name in official_schemas:
        for _ in range(EXAMPLES_PER_MESSAGE):
            payload = example_of(name, rng)
            assert schema_admits(name, payload), (name, payload)
            kind = getattr(messages, name)
            value = msgspec.json.decode(json.dumps(payload), type=kind)
            again = msgspec.json.encode(value)
            assert schema_admits(name, json.loads(again)), (name, payload)
            assert msgspec.json.decode(again, type=kind) == value


def test_mutated_payloads_get_the_verdict_of_the_official_schema(
    official_schemas: dict[str, Any], example_of: Example, schema_admits: Admits
) -> None:
    rng = random.Random(22)
    verdicts = {True: 0, False: 0}
    for name in official_schemas:
        for _ in range(EXAMPLES_PER_MESSAGE):
            example = example_of(name, rng)
            for _ in range(MUTATIONS_PER_EXAMPLE):
                payload = copy.deepcopy(example)
                if not mutate(payload, rng):
                    break
                verdict = schema_admits(name, without_unknown_fields(payload, official_schemas[name]))
                assert accepts(name, payload) == verdict, (name, payload)
                verdicts[verdict] += 1
    assert verdicts[True] > 500
    assert verdicts[False] > 2000


def without_unknown_fields(payload: Any, root: dict[str, Any]) -> Any:
    def clean(node: Any, schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
        if isinstance(node, dict) and schema.get("additionalProperties") is False:
            fields = schema.get("properties", {})
            return {key: clean(value, fields[key]) for key, value in node.items() if key in fields}
        return [clean(item, schema.get("items", {})) for item in node] if isinstance(node, list) else node

    return clean(payload, root)


def test_unknown_fields_are_ignored_where_the_schema_refuses_them(schema_admits: Admits) -> None:
    payload = {"status": "Accepted", "somethingNew": 1}
    assert not schema_admits("ResetResponse", payload)
    assert accepts("ResetResponse", payload)


def test_integers_are_32_bit_as_the_specification_says_and_the_schema_does_not(schema_admits: Admits) -> None:
    for value, verdict in ((2**31 - 1, True), (2**31, False)):
        payload = {"requestId": value, "reportBase": "FullInventory"}
        assert schema_admits("GetBaseReportRequest", payload)
        assert accepts("GetBaseReportRequest", payload) is verdict


def test_a_decimal_for_an_integer_is_left_to_the_second_reading(schema_admits: Admits) -> None:
    payload = {"requestId": 1.0, "reportBase": "FullInventory"}
    assert schema_admits("GetBaseReportRequest", payload)
    assert not accepts("GetBaseReportRequest", payload)


@pytest.mark.parametrize(("text", "verdict"), [("2026-11-22T10:00:00Z", True), ("2026-11-22T10:00:00", False), ("yesterday", False)])
def test_timestamps_need_a_zone(text: str, verdict: bool, schema_admits: Admits) -> None:
    payload = {"interval": 60, "status": "Accepted", "currentTime": text}
    assert schema_admits("BootNotificationResponse", payload) is verdict
    assert accepts("BootNotificationResponse", payload) is verdict


def test_null_is_refused_for_an_optional_field(schema_admits: Admits) -> None:
    payload = {"status": "Accepted", "statusInfo": None}
    assert not schema_admits("ResetResponse", payload)
    assert not accepts("ResetResponse", payload)


def test_an_absent_optional_field_is_unset_and_stays_off_the_wire() -> None:
    value = messages.ResetResponse(status="Accepted")
    assert value.status_info is UNSET
    assert msgspec.json.encode(value) == b'{"status":"Accepted"}'


def test_fields_that_another_library_misspells_keep_their_wire_names() -> None:
    period = messages.ChargingSchedulePeriodType(start_period=0, setpoint_l2=-1.0, discharge_limit_l3=-2.0)
    assert json.loads(msgspec.json.encode(period)) == {"startPeriod": 0, "setpoint_L2": -1.0, "dischargeLimit_L3": -2.0}
    assert json.loads(msgspec.json.encode(messages.LimitAtSoCType(soc=80, limit=11.0))) == {"soc": 80, "limit": 11.0}
    assert b'"soC":' in msgspec.json.encode(messages.BatteryDataType(evse_id=1, serial_number="b", soc=80.0, soh=99.0))


def test_the_tables_of_actions_are_complete_and_consistent(official_schemas: dict[str, Any]) -> None:
    requests = {name.removesuffix("Request") for name in official_schemas if name.endswith("Request")}
    assert set(messages.ACTIONS) == requests
    assert len(messages.ACTIONS) == 90
    assert requests == messages.FROM_STATION | messages.TO_STATION
    assert {"DataTransfer"} == messages.FROM_STATION & messages.TO_STATION
    assert len(messages.FROM_STATION) == 36
    for action, (request, response) in messages.ACTIONS.items():
        assert request.__name__ == f"{action}Request"
        assert response.__name__ == f"{action}Response"
    assert {"NotifyPeriodicEventStream": messages.NotifyPeriodicEventStream} == messages.SENDS


def test_defaults_name_real_fields_and_valid_values() -> None:
    for kind, values in messages.DEFAULTS.items():
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for attribute, value in values.items():
            assert msgspec.convert(value, fields[attribute].type) == value


def test_messages_are_immutable_and_outside_the_garbage_collector() -> None:
    value = msgspec.json.decode(b'{"status":"Accepted"}', type=messages.ResetResponse)
    assert not gc.is_tracked(value)
    with pytest.raises(AttributeError):
        value.status = "Rejected"
