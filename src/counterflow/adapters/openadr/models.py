"""The objects of OpenADR 3, in the words of 3.1.0; times in epoch seconds, durations in seconds.

`reading` makes them from what a VTN sends, tolerantly; `writing` turns them to what the API description says, strictly; `wire_v30`
turns 3.0.1 to 3.1.0 and back. An absent value, a null and an empty list are the same: the default.
"""

from enum import StrEnum
from typing import Literal

from msgspec import Struct

_SPELLED = {
    "created_s": "createdDateTime",
    "modified_s": "modificationDateTime",
    "start_s": "start",
    "duration_s": "duration",
    "randomize_start_s": "randomizeStart",
}


def wire_name(name: str) -> str:
    """How a field is called on the wire: created_s -> createdDateTime, program_id -> programID, bearer_token -> bearerToken."""
    if name in _SPELLED:
        return _SPELLED[name]
    first, *rest = name.split("_")
    return first + "".join("ID" if word == "id" else word.capitalize() for word in rest)


class Version(StrEnum):
    """Of the API that a VTN speaks; also the end of its base path."""

    V3_1_0 = "3.1.0"
    V3_0_1 = "3.0.1"


AGGREGATED = "AGGREGATED_REPORT"
"""The `resourceName` of a report's sum over resources."""
DATA_QUALITY = "DATA_QUALITY"
"""The payload type that tells how far the other values of an interval can be trusted."""

ObjectType = Literal["PROGRAM", "EVENT", "REPORT", "SUBSCRIPTION", "VEN", "RESOURCE"]
Operation = Literal["CREATE", "READ", "UPDATE", "DELETE"]


class Wired(Struct, frozen=True, kw_only=True, rename=wire_name):
    """Base of everything that is read and written: fields are renamed by `wire_name`."""


class Point(Wired, frozen=True, kw_only=True):
    """A pair of floats, such as a point of a curve."""

    x: float
    y: float


Value = float | int | str | bool | Point | None
"""What a payload may hold. None = the VTN sent null: unknown, and never zero."""


class ValuesMap(Wired, frozen=True, kw_only=True):
    """Values of a type: a payload, or an attribute."""

    type: str
    values: tuple[Value, ...] = ()


class IntervalPeriod(Wired, frozen=True, kw_only=True):
    """When. `start_s` may be `times.NOW_S`, `duration_s` `times.ENDLESS_S`."""

    start_s: float | None = None
    duration_s: float | None = None
    randomize_start_s: float | None = None
    """The start is shifted by up to this."""


class Interval(Wired, frozen=True, kw_only=True):
    """A window and its payloads; without a period of its own it follows the one before."""

    id: int
    interval_period: IntervalPeriod | None = None
    payloads: tuple[ValuesMap, ...]


class EventPayloadDescriptor(Wired, frozen=True, kw_only=True, tag_field="objectType", tag="EVENT_PAYLOAD_DESCRIPTOR"):
    """How the values of an event's payload type are meant."""

    payload_type: str
    units: str | None = None
    currency: str | None = None


class ReportPayloadDescriptor(Wired, frozen=True, kw_only=True, tag_field="objectType", tag="REPORT_PAYLOAD_DESCRIPTOR"):
    """How the values of a report's payload type are meant."""

    payload_type: str
    reading_type: str | None = None
    units: str | None = None
    accuracy: float | None = None
    """In the unit of the values."""
    confidence: int | None = None
    """0..100 %. In reports of ours: so likely the value is met or exceeded."""


class ReportDescriptor(Wired, frozen=True, kw_only=True):
    """A report that the operator asks for (User Guide §7.5-7.7)."""

    payload_type: str
    reading_type: str | None = None
    units: str | None = None
    targets: tuple[str, ...] = ()
    aggregate: bool = False
    start_interval: int = -1
    """Index of the interval at whose end it is made; -1 = after the last one."""
    num_intervals: int = -1
    """So many intervals are in it; -1 = all."""
    historical: bool = True
    """False = a forecast of the intervals that follow."""
    frequency: int = -1
    """A report each so many intervals; -1 = as `num_intervals`, 0 = when the VEN likes."""
    repeat: int = 1
    """So many reports; -1 = for ever."""
    report_intervals: Literal["INTERVALS", "SUB_INTERVALS", "OPEN_INTERVALS"] = "INTERVALS"


class Stored(Wired, frozen=True, kw_only=True):
    """What the VTN gives every object. Empty in what a client sends."""

    id: str = ""
    created_s: float | None = None
    modified_s: float | None = None


class Program(Stored, frozen=True, kw_only=True):
    """What an operator offers; defaults for its events."""

    object_type: Literal["PROGRAM"] = "PROGRAM"
    program_name: str
    interval_period: IntervalPeriod | None = None
    payload_descriptors: tuple[EventPayloadDescriptor | ReportPayloadDescriptor, ...] = ()
    attributes: tuple[ValuesMap, ...] = ()
    targets: tuple[str, ...] = ()


class Event(Stored, frozen=True, kw_only=True):
    """What an operator asks for."""

    object_type: Literal["EVENT"] = "EVENT"
    program_id: str
    event_name: str | None = None
    duration_s: float | None = None
    """Longer than its intervals: they loop; shorter: they are cut (User Guide §7)."""
    priority: int | None = None
    """0 is the highest; larger is lower."""
    targets: tuple[str, ...] = ()
    report_descriptors: tuple[ReportDescriptor, ...] = ()
    payload_descriptors: tuple[EventPayloadDescriptor, ...] = ()
    interval_period: IntervalPeriod | None = None
    intervals: tuple[Interval, ...] = ()


class ReportResource(Wired, frozen=True, kw_only=True):
    """The values of one resource, or of all together (`AGGREGATED`)."""

    resource_name: str
    interval_period: IntervalPeriod | None = None
    intervals: tuple[Interval, ...]


class Report(Stored, frozen=True, kw_only=True):
    """What a VEN says about an event."""

    object_type: Literal["REPORT"] = "REPORT"
    client_id: str | None = None
    event_id: str
    program_id: str | None = None
    """Only 3.0.1 has it, and demands it."""
    client_name: str
    report_name: str | None = None
    payload_descriptors: tuple[ReportPayloadDescriptor, ...] = ()
    resources: tuple[ReportResource, ...]


class ObjectOperations(Wired, frozen=True, kw_only=True):
    """What is told to which address."""

    objects: tuple[ObjectType, ...]
    operations: tuple[Operation, ...]
    callback_url: str
    bearer_token: str | None = None


class Subscription(Stored, frozen=True, kw_only=True):
    """A client's wish to be told."""

    object_type: Literal["SUBSCRIPTION"] = "SUBSCRIPTION"
    client_id: str | None = None
    client_name: str
    program_id: str | None = None
    object_operations: tuple[ObjectOperations, ...]
    targets: tuple[str, ...] = ()


class Ven(Stored, frozen=True, kw_only=True):
    """A client that follows events. The request's discriminator is that of a VEN by default; `VEN` is what a VTN answers."""

    object_type: Literal["VEN", "VEN_VEN_REQUEST", "BL_VEN_REQUEST"] = "VEN_VEN_REQUEST"
    client_id: str | None = None
    ven_name: str
    attributes: tuple[ValuesMap, ...] = ()
    targets: tuple[str, ...] = ()


class Resource(Stored, frozen=True, kw_only=True):
    """A device or group of devices of a VEN."""

    object_type: Literal["RESOURCE", "VEN_RESOURCE_REQUEST", "BL_RESOURCE_REQUEST"] = "VEN_RESOURCE_REQUEST"
    client_id: str | None = None
    resource_name: str
    ven_id: str = ""
    """3.0.1 has it in the path alone; 3.1.0 demands it."""
    attributes: tuple[ValuesMap, ...] = ()
    targets: tuple[str, ...] = ()


class Problem(Wired, frozen=True, kw_only=True):
    """A refusal (RFC 7807)."""

    type: str = "about:blank"
    title: str | None = None
    status: int | None = None
    detail: str | None = None
    instance: str | None = None


AnyObject = Program | Event | Report | Subscription | Ven | Resource


class Notification(Wired, frozen=True, kw_only=True):
    """What a VTN pushes when an object came, changed or went."""

    object_type: ObjectType
    operation: Operation
    object: AnyObject
    targets: tuple[str, ...] = ()
