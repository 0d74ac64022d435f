"""Where things are, and how targets are asked for, in 3.0.1 and 3.1.0."""

from counterflow.adapters.openadr.models import Version
from counterflow.adapters.openadr.wire_v30 import lowered, resource_path, resources_path, target_query


def test_resources_lie_under_their_ven_in_3_0_1() -> None:
    assert resources_path(Version.V3_1_0, "ven-1") == "/resources"
    assert resources_path(Version.V3_0_1, "ven-1") == "/vens/ven-1/resources"
    assert resource_path(Version.V3_1_0, "ven-1", "r-1") == "/resources/r-1"
    assert resource_path(Version.V3_0_1, "ven-1", "r-1") == "/vens/ven-1/resources/r-1"


def test_targets_are_asked_for_by_type_in_3_0_1() -> None:
    assert target_query(Version.V3_1_0, ["a", "b"]) == [("targets", "a"), ("targets", "b")]
    assert target_query(Version.V3_0_1, ["a", "b"]) == [("targetType", "GROUP"), ("targetValues", "a"), ("targetValues", "b")]
    assert target_query(Version.V3_0_1, []) == target_query(Version.V3_1_0, []) == []


def test_what_3_0_1_does_not_know_is_left_out_and_values_are_left_alone() -> None:
    raw = {
        "clientID": "c",
        "reportDescriptors": [{"payloadType": "DEMAND", "reportIntervals": "SUB_INTERVALS", "targets": ["t"]}],
        "intervals": [{"id": 0, "payloads": [{"type": "X", "values": [{"x": 1.0, "y": 2.0}, "CREATE"]}]}],
        "operation": "UPDATE",
    }
    assert lowered(raw, "RESOURCE_NAME") == {
        "reportDescriptors": [{"payloadType": "DEMAND", "targets": [{"type": "RESOURCE_NAME", "values": ["t"]}]}],
        "intervals": [{"id": 0, "payloads": [{"type": "X", "values": [{"x": 1.0, "y": 2.0}, "CREATE"]}]}],
        "operation": "PUT",
    }
