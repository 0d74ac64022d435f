"""What is sent fits the API description; what would not fit is refused here. `test_conformance` judges the same with the official one."""

import json
import math
from typing import Any

import pytest

from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.models import (
    AGGREGATED,
    Event,
    EventPayloadDescriptor,
    Interval,
    IntervalPeriod,
    Point,
    Report,
    ReportPayloadDescriptor,
    ReportResource,
    Resource,
    Subscription,
    ValuesMap,
    Ven,
    Version,
)
from counterflow.adapters.openadr.reading import read_object
from counterflow.adapters.openadr.times import ENDLESS_S, NOW_S, read_instant
from counterflow.adapters.openadr.writing import write_body, write_object, write_resource_request, write_ven_request

START_S = read_instant("2026-11-22T17:00:00Z")


def report(**changes: Any) -> Report:
    values: dict[str, Any] = {
        "event_id": "e-17",
        "client_name": "v2g-dispatcher",
        "report_name": "disp-1/0",
        "payload_descriptors": (
            ReportPayloadDescriptor(payload_type="DEMAND", reading_type="MEAN", units="KW", accuracy=0.5, confidence=95),
            ReportPayloadDescriptor(payload_type="DATA_QUALITY"),
        ),
        "resources": (
            ReportResource(
                resource_name=AGGREGATED,
                interval_period=IntervalPeriod(start_s=START_S, duration_s=60.0),
                intervals=(
                    Interval(
                        id=0,
                        payloads=(ValuesMap(type="DEMAND", values=(-1840.2,)), ValuesMap(type="DATA_QUALITY", values=("OK",))),
                    ),
                ),
            ),
        ),
        **changes,
    }
    return Report(**values)


def test_a_report_is_written_word_for_word() -> None:
    assert write_object(report()) == {
        "objectType": "REPORT",
        "eventID": "e-17",
        "clientName": "v2g-dispatcher",
        "reportName": "disp-1/0",
        "payloadDescriptors": [
            {"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": "DEMAND", "readingType": "MEAN", "units": "KW", "accuracy": 0.5,
             "confidence": 95},
            {"objectType": "REPORT_PAYLOAD_DESCRIPTOR", "payloadType": "DATA_QUALITY"},
        ],
        "resources": [
            {
                "resourceName": "AGGREGATED_REPORT",
                "intervalPeriod": {"start": "2026-11-22T17:00:00Z", "duration": "PT1M"},
                "intervals": [
                    {"id": 0, "payloads": [{"type": "DEMAND", "values": [-1840.2]}, {"type": "DATA_QUALITY", "values": ["OK"]}]}
                ],
            }
        ],
    }  # fmt: skip


def test_what_is_written_reads_the_same_in_both_versions() -> None:
    event = Event(
        program_id="p",
        priority=0,
        targets=("vpp-north",),
        payload_descriptors=(EventPayloadDescriptor(payload_type="DISPATCH_SETPOINT", units="KW"),),
        interval_period=IntervalPeriod(start_s=NOW_S, duration_s=ENDLESS_S, randomize_start_s=30.0),
        intervals=(Interval(id=0, payloads=(ValuesMap(type="CURVE", values=(Point(x=1.0, y=2.0), 1, "on", True)),)),),
    )
    for version in Version:
        assert read_object(Event, write_object(event, version)) == event
        assert read_object(Report, write_body_and_back(report(program_id="p"), version)) == report(program_id="p")


def write_body_and_back(thing: models.Wired, version: Version) -> Any:
    return json.loads(write_body(thing, version))


def test_the_words_of_3_0_1() -> None:
    subscription = Subscription(
        client_name="v2g",
        program_id="p",
        targets=("vpp-north", "vpp-south"),
        object_operations=(
            models.ObjectOperations(objects=("EVENT",), operations=("CREATE", "UPDATE", "DELETE"), callback_url="https://vpp.example/oadr"),
        ),
    )
    lowered = write_object(subscription, Version.V3_0_1)
    assert lowered["objectOperations"][0]["operations"] == ["CREATE", "UPDATE", "DELETE"]
    assert lowered["targets"] == [{"type": "GROUP", "values": ["vpp-north", "vpp-south"]}]
    assert write_object(subscription)["objectOperations"][0]["operations"] == ["CREATE", "UPDATE", "DELETE"]
    event = Event(program_id="p", interval_period=IntervalPeriod(start_s=NOW_S))
    assert write_object(event, Version.V3_0_1)["intervalPeriod"] == {"start": "0000-00-00"}
    assert write_object(event)["intervalPeriod"] == {"start": "0001-01-01T00:00:00Z"}
    assert write_ven_request(Ven(ven_name="v"), Version.V3_0_1) == {"objectType": "VEN", "venName": "v"}
    with pytest.raises(ValueError, match="needs the id of its program"):
        write_object(report(), Version.V3_0_1)


def test_a_ven_says_of_itself_only_what_it_may() -> None:
    granted = Ven(ven_name="v", client_id="c", targets=("vpp-north",), object_type="VEN")
    assert write_ven_request(granted) == {"objectType": "VEN_VEN_REQUEST", "venName": "v"}
    resource = Resource(
        resource_name="r", ven_id="ven-1", targets=("t",), attributes=(ValuesMap(type="MAX_POWER_EXPORT", values=(250.0,)),)
    )
    assert write_resource_request(resource) == {
        "objectType": "VEN_RESOURCE_REQUEST",
        "resourceName": "r",
        "venID": "ven-1",
        "attributes": [{"type": "MAX_POWER_EXPORT", "values": [250.0]}],
    }
    with pytest.raises(ValueError, match="needs the id of its ven"):
        write_resource_request(Resource(resource_name="r"))


@pytest.mark.parametrize(
    ("thing", "match"),
    [
        (report(event_id="e 17"), "is no id"),
        (report(event_id=""), "is no id"),
        (report(client_name=""), "has 0 characters"),
        (report(client_name="x" * 129), "has 129 characters"),
        (report(payload_descriptors=(ReportPayloadDescriptor(payload_type="DEMAND", confidence=101),)), "not within 0 .. 100"),
        (report(payload_descriptors=(ReportPayloadDescriptor(payload_type="DEMAND", accuracy=math.nan),)), "unknown"),
        (ValuesMap(type="DEMAND", values=(math.nan,)), "unknown"),
        (ValuesMap(type="DEMAND", values=(None,)), "left out"),
        (ValuesMap(type="DEMAND", values=(Point(x=math.inf, y=0.0),)), "unknown"),
        (Event(program_id="p", priority=-1), "not within"),
        (Event(program_id="p", targets=("",)), "has 0 characters"),
        (Event(program_id="p", duration_s=-5.0), "no duration"),
        (models.ObjectOperations(objects=("EVENT",), operations=("CREATE",), callback_url="vpp.example"), "no http"),
    ],
)
def test_what_the_api_description_would_not_allow_is_refused_in_a_sentence(thing: models.Wired, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        write_object(thing)
