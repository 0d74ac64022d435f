"""What VTNs were seen to send is read, and what is unsafe to guess is refused alone."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.models import Event, Point, Program, Report, Resource, Subscription, ValuesMap, Ven
from counterflow.adapters.openadr.reading import (
    UnreadableError,
    read_notification,
    read_object,
    read_page,
    read_problem,
)
from counterflow.adapters.openadr.times import ENDLESS_S, NOW_S, read_instant

EVENT: dict[str, Any] = {
    "id": "e-17",
    "objectType": "EVENT",
    "createdDateTime": "2026-11-22T16:00:00Z",
    "modificationDateTime": "2026-11-22T16:05:00Z",
    "programID": "p-v2g",
    "eventName": "disp-1",
    "priority": 1,
    "targets": ["vpp-north"],
    "payloadDescriptors": [{"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "DISPATCH_SETPOINT", "units": "KW"}],
    "reportDescriptors": [
        {"payloadType": "DEMAND", "readingType": "MEAN", "units": "KW", "aggregate": True, "frequency": 1, "repeat": -1,
         "reportIntervals": "SUB_INTERVALS"},
    ],
    "intervalPeriod": {"start": "2026-11-22T17:00:00Z", "duration": "PT15M", "randomizeStart": "PT30S"},
    "intervals": [
        {"id": 0, "payloads": [{"type": "DISPATCH_SETPOINT", "values": [-2000.0]}]},
        {"id": 1, "intervalPeriod": {"duration": "PT5M"}, "payloads": [{"type": "DISPATCH_SETPOINT", "values": [-1500]}]},
    ],
}  # fmt: skip


def changed(**fields: Any) -> dict[str, Any]:
    return {**EVENT, **fields}


def test_an_event_is_read_field_by_field() -> None:
    event = read_object(Event, EVENT)
    assert (event.id, event.program_id, event.event_name, event.priority, event.targets) == ("e-17", "p-v2g", "disp-1", 1, ("vpp-north",))
    assert event.modified_s == read_instant("2026-11-22T16:05:00Z")
    assert event.interval_period == models.IntervalPeriod(
        start_s=read_instant("2026-11-22T17:00:00Z"), duration_s=900.0, randomize_start_s=30.0
    )
    assert event.payload_descriptors == (models.EventPayloadDescriptor(payload_type="DISPATCH_SETPOINT", units="KW"),)
    wish = event.report_descriptors[0]
    assert (wish.payload_type, wish.aggregate, wish.frequency, wish.repeat) == ("DEMAND", True, 1, -1)
    assert (wish.start_interval, wish.historical, wish.report_intervals) == (-1, True, "SUB_INTERVALS")
    first, second = event.intervals
    assert first.payloads == (ValuesMap(type="DISPATCH_SETPOINT", values=(-2000.0,)),)
    assert second.interval_period == models.IntervalPeriod(duration_s=300.0)
    assert event.duration_s is None


def test_nulls_and_unknown_fields_are_as_if_absent() -> None:
    plain = read_object(Event, EVENT)
    noisy = changed(targets=["vpp-north"], duration=None, x_private={"start": 1}, newField=[1, 2])
    noisy.pop("x_private")
    assert read_object(Event, noisy) == plain
    bare = read_object(Event, {"programID": "p", "eventName": None, "intervals": None, "reportDescriptors": None, "priority": None})
    assert bare == Event(program_id="p")


def test_snake_case_keys_are_read() -> None:
    def snaked(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                "".join("_" + c.lower() if c.isupper() else c for c in key.replace("ID", "Id")): snaked(one) for key, one in value.items()
            }
        return [snaked(one) for one in value] if isinstance(value, list) else value

    raw = snaked(EVENT)
    assert {"program_id", "created_date_time", "interval_period", "report_descriptors"} <= raw.keys()
    assert read_object(Event, raw) == read_object(Event, EVENT)


def test_a_body_that_is_a_json_string_of_json_is_read() -> None:
    notification = {"objectType": "EVENT", "operation": "UPDATE", "object": EVENT}
    for body in (json.dumps(notification), json.dumps(json.dumps(notification)), json.dumps(json.dumps(json.dumps(notification)))):
        assert read_notification(body).object == read_object(Event, EVENT)


def test_a_notification_in_snake_case_and_in_the_words_of_3_0_is_read() -> None:
    for operation, read in (("POST", "CREATE"), ("PUT", "UPDATE"), ("DELETE", "DELETE"), ("GET", "READ"), ("create", "CREATE")):
        told = read_notification(json.dumps({"object_type": "event", "operation": operation, "object": EVENT, "targets": None}))
        assert (told.object_type, told.operation, told.targets) == ("EVENT", read, ())
    untyped = read_notification(json.dumps({"operation": "CREATE", "object": {**EVENT, "objectType": None, "object_type": "EVENT"}}))
    assert untyped.object_type == "EVENT"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '"x"',
        '{"objectType":"EVENT","operation":"CREATE"}',
        '{"objectType":"EVENT","operation":"BURN","object":{}}',
        b"\xff",
    ],
)
def test_what_is_no_notification_is_refused_in_a_sentence(body: str | bytes) -> None:
    with pytest.raises(UnreadableError) as refused:
        read_notification(body)
    assert len(str(refused.value)) > 15


@pytest.mark.parametrize(
    ("targets", "read"),
    [
        ([[], []], ()),  # the reference VTN's vens
        (["a", "b", "a"], ("a", "b")),
        ([{"type": "GROUP", "values": ["a", "b"]}, {"type": "VEN_NAME", "values": ["v"]}], ("a", "b", "v")),
        ([["a"], "b"], ("a", "b")),
        ("a", ("a",)),
        (None, ()),
        (7, ()),
    ],
)
def test_targets_are_read_in_every_shape(targets: Any, read: tuple[str, ...]) -> None:
    ven = read_object(Ven, {"objectType": "VEN", "venName": "v2g", "targets": targets})
    assert ven.targets == read


def test_now_and_endless_are_read() -> None:
    for start in ("0001-01-01", "0000-00-00", "0001-01-01T00:00:00Z"):
        period = read_object(Event, changed(intervalPeriod={"start": start, "duration": "P9999Y0M0DT0H0M0S"})).interval_period
        assert period == models.IntervalPeriod(start_s=NOW_S, duration_s=ENDLESS_S)


def test_a_told_time_that_cannot_be_read_spoils_nothing_but_a_start_does() -> None:
    assert read_object(Event, changed(createdDateTime="yesterday", modificationDateTime=5)).created_s is None
    with pytest.raises(UnreadableError, match=r"event e-17 cannot be read: .*start.*'soon'") as refused:
        read_object(Event, changed(intervalPeriod={"start": "soon"}))
    assert refused.value.object_id == "e-17"
    with pytest.raises(UnreadableError, match="no fixed length"):
        read_object(Event, changed(duration="P1M"))
    with pytest.raises(UnreadableError, match="programID"):
        read_object(Event, {"id": "e-1", "intervals": []})


def test_one_bad_object_does_not_spoil_its_page() -> None:
    page = read_page(Event, json.dumps([EVENT, changed(id="e-18", intervalPeriod={"start": 17}), 5, changed(id="e-19")]))
    assert [event.id for event in page.items] == ["e-17", "e-19"]
    assert [fault.object_id for fault in page.unreadable] == ["e-18", ""]
    assert page.length == 4
    with pytest.raises(UnreadableError):
        read_page(Event, '{"title": "no listing"}')


def test_values_are_kept_as_they_are_and_what_is_none_is_unknown() -> None:
    raw = changed(
        intervals=[{"id": 0.0, "payloads": [{"type": "X", "values": [1, 2.5, "on", True, None, {"x": 1, "y": 2}, {"z": 1}, [3]]}]}]
    )
    interval = read_object(Event, raw).intervals[0]
    assert interval.id == 0
    assert interval.payloads[0].values == (1, 2.5, "on", True, None, Point(x=1.0, y=2.0), None, None)
    single = read_object(Event, changed(intervals=[{"id": "4", "payloads": [{"type": "X", "values": 7}]}])).intervals[0]
    assert (single.id, single.payloads[0].values) == (4, (7,))


def test_a_wish_for_a_report_that_cannot_be_read_does_not_stand_in_the_way_of_the_order() -> None:
    raw = changed(
        reportDescriptors=[{"payloadType": "USAGE", "reportIntervals": "WHENEVER"}, "x", {}, {"payloadType": "DEMAND", "repeat": "3"}]
    )
    assert read_object(Event, raw).report_descriptors == (models.ReportDescriptor(payload_type="DEMAND", repeat=3),)


def test_descriptors_without_a_discriminator_are_read_where_they_stand() -> None:
    event = read_object(Event, changed(payloadDescriptors=[{"payloadType": "SIMPLE"}]))
    assert event.payload_descriptors == (models.EventPayloadDescriptor(payload_type="SIMPLE"),)
    report = read_object(Report, {"eventID": "e", "clientName": "c", "resources": [], "payloadDescriptors": [{"payloadType": "USAGE"}]})
    assert report.payload_descriptors == (models.ReportPayloadDescriptor(payload_type="USAGE"),)
    program = read_object(
        Program, {"programName": "p", "payloadDescriptors": [{"payloadType": "SIMPLE"}, {"payloadType": "USAGE", "confidence": 90}]}
    )
    assert [type(one).__name__ for one in program.payload_descriptors] == ["EventPayloadDescriptor", "ReportPayloadDescriptor"]


def test_the_type_of_a_ven_is_that_of_the_path_whatever_it_says() -> None:
    assert read_object(Ven, {"objectType": "BL_VEN_REQUEST", "clientID": "c", "venName": "v"}).object_type == "BL_VEN_REQUEST"
    assert read_object(Ven, {"objectType": "whatever", "venName": "v"}).object_type == "VEN"
    of_v30 = read_object(Resource, {"objectType": "RESOURCE", "resourceName": "r", "attributes": [{"type": "A", "values": [1]}, 7]})
    assert (of_v30.object_type, of_v30.ven_id, len(of_v30.attributes)) == ("RESOURCE", "", 1)


def test_subscriptions_of_both_versions_read_the_same() -> None:
    def of(*operations: str) -> Subscription:
        told = {"objects": ["EVENT"], "operations": list(operations), "callbackUrl": "https://vpp.example/oadr"}
        return read_object(Subscription, {"clientName": "c", "objectOperations": [told]})

    assert of("POST", "PUT", "DELETE") == of("CREATE", "UPDATE", "DELETE")


def test_a_problem_is_read_in_any_form() -> None:
    assert read_problem('{"title":"Conflict","status":"409","detail":"venName exists"}').status == 409
    assert read_problem("<html>Bad gateway</html>").detail == "<html>Bad gateway</html>"
    assert read_problem(b"\xff\xfe").detail
    assert read_problem("[1]").detail == "[1]"
    assert read_problem("") == models.Problem()


@pytest.mark.parametrize("depth", [300, 600, 3000, 100_000])
def test_what_is_nested_too_deeply_is_refused_in_a_sentence(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    event = '{"programID":"p",' + f'"targets":{deep}' + "}"
    for body in (deep, f"[{event}]", f"[{event}]".replace("targets", "x")):
        with suppress(UnreadableError):
            read_page(Event, body)
    for body in (event, event.replace("targets", "object")):
        with suppress(UnreadableError):
            read_notification('{"objectType":"EVENT","operation":"CREATE","object":{"programID":"p"},' + body[1:])
    assert read_problem(deep).detail
    if depth > 1000:
        with pytest.raises(UnreadableError):
            read_page(Event, event)


KEYS = [*EVENT, "start", "values", "type", "id"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


@given(JSON)
def test_nothing_that_a_vtn_sends_raises_anything_but_a_sentence(raw: Any) -> None:
    for kind in (Event, Program, Report, Subscription, Ven, Resource):
        with suppress(UnreadableError):
            read_page(kind, json.dumps(raw))
        with suppress(UnreadableError):
            read_object(kind, {**EVENT, "intervals": raw, "targets": raw, "reportDescriptors": raw})
    with suppress(UnreadableError):
        read_notification(json.dumps({"objectType": "EVENT", "operation": "CREATE", "object": raw, "targets": raw}))
    read_problem(json.dumps(raw))
