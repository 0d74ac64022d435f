"""What stations really send is read as far as it is safe, and no further."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from counterflow.adapters.ocpp import messages
from counterflow.adapters.ocpp.salvage import Repaired, Unusable, salvage

Tree = dict[str, Any]


def repaired(tree: object, kind: type[msgspec.Struct]) -> Repaired:
    result = salvage(copy.deepcopy(tree), kind)
    assert isinstance(result, Repaired), result
    msgspec.convert(result.tree, kind)
    return result


def unusable(tree: object, kind: type[msgspec.Struct]) -> Unusable:
    result = salvage(copy.deepcopy(tree), kind)
    assert isinstance(result, Unusable), result
    return result


def sample(**changes: Any) -> Tree:
    return {"value": 7000, "measurand": "Power.Active.Export", **changes}


def event(**changes: Any) -> Tree:
    return {
        "eventType": "Updated",
        "timestamp": "2026-11-22T10:00:00Z",
        "triggerReason": "MeterValuePeriodic",
        "seqNo": 3,
        "transactionInfo": {"transactionId": "tx"},
        "meterValue": [{"timestamp": "2026-11-22T10:00:00Z", "sampledValue": [sample(), sample(measurand="SoC", value=60)]}],
        **changes,
    }


def with_sample(**changes: Any) -> Tree:
    tree = event()
    tree["meterValue"][0]["sampledValue"][0].update(changes)
    return tree


EVENT = messages.TransactionEventRequest


def test_what_is_valid_is_left_alone() -> None:
    result = repaired(event(), EVENT)
    assert result.tree == event()
    assert result.repairs == ()


def test_a_fraction_of_a_second_in_a_schedule_is_rounded() -> None:
    period = {"startPeriod": 297.671, "limit": 33120.0}
    tree = {
        "status": "Accepted",
        "schedule": {
            "evseId": 1,
            "duration": 600,
            "scheduleStart": "2026-11-22T10:00:00Z",
            "chargingRateUnit": "W",
            "chargingSchedulePeriod": [period],
        },
    }
    result = repaired(tree, messages.GetCompositeScheduleResponse)
    assert result.tree["schedule"]["chargingSchedulePeriod"] == [{"startPeriod": 298, "limit": 33120.0}]
    assert result.repairs == ("schedule.chargingSchedulePeriod[].startPeriod: rounded",)


def test_no_limit_written_as_minus_one_loses_only_the_impossible_field() -> None:
    period = {"startPeriod": 0, "limit": -1, "numberPhases": -1}
    tree = {
        "status": "Accepted",
        "schedule": {
            "evseId": 1,
            "duration": 600,
            "scheduleStart": "2026-11-22T10:00:00Z",
            "chargingRateUnit": "W",
            "chargingSchedulePeriod": [period],
        },
    }
    result = repaired(tree, messages.GetCompositeScheduleResponse)
    assert result.tree["schedule"]["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": -1}]


def test_a_reason_code_one_character_too_long_is_cut() -> None:
    tree = {"status": "Rejected", "statusInfo": {"reasonCode": "TransactionInProgress"}}
    result = repaired(tree, messages.ResetResponse)
    assert result.tree["statusInfo"]["reasonCode"] == "TransactionInProgres"
    assert result.repairs == ("statusInfo.reasonCode: cut to 20 characters",)


def test_a_plain_no_is_a_rejection() -> None:
    result = repaired({"status": "NotSupported"}, messages.NotifyAllowedEnergyTransferResponse)
    assert result.tree["status"] == "Rejected"


@pytest.mark.parametrize("status", ["Fine", "", "AcceptedWithChanges"])
def test_a_status_that_may_mean_anything_is_not_guessed(status: str) -> None:
    fault = unusable({"status": status}, messages.SetChargingProfileResponse)
    assert (fault.path, fault.code) == ("status", "PropertyConstraintViolation")


def test_listed_values_are_found_in_other_letter_case() -> None:
    assert repaired({"status": "ACCEPTED"}, messages.ResetResponse).tree == {"status": "Accepted"}


@pytest.mark.parametrize(
    ("field", "sent", "read"),
    [("seqNo", 3.0, 3), ("seqNo", "3", 3), ("offline", "true", True), ("timestamp", "2026-11-22T10:00:00", "2026-11-22T10:00:00Z")],
)
def test_unambiguous_spellings_are_read(field: str, sent: object, read: object) -> None:
    result = repaired(event(**{field: sent}), EVENT)
    assert result.tree[field] == read
    assert len(result.repairs) == 1
    assert result.first_code == "TypeConstraintViolation"


def test_a_number_where_text_belongs_is_written_as_text() -> None:
    results = [{"attributeStatus": "Accepted", "attributeValue": 30, "component": {"name": "C"}, "variable": {"name": "V"}}]
    result = repaired({"getVariableResult": results}, messages.GetVariablesResponse)
    assert result.tree["getVariableResult"][0]["attributeValue"] == "30"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("seqNo", 3.4, "TypeConstraintViolation"),
        ("seqNo", -1, "PropertyConstraintViolation"),
        ("seqNo", 2**31, "PropertyConstraintViolation"),
        ("seqNo", True, "TypeConstraintViolation"),
        ("seqNo", None, "TypeConstraintViolation"),
        ("timestamp", "yesterday", "TypeConstraintViolation"),
        ("timestamp", 1763805600, "TypeConstraintViolation"),
        ("eventType", "Paused", "PropertyConstraintViolation"),
        ("transactionInfo", {"transactionId": "x" * 37}, "PropertyConstraintViolation"),
        ("transactionInfo", {"transactionId": 17}, "TypeConstraintViolation"),
        ("transactionInfo", {}, "OccurrenceConstraintViolation"),
        ("transactionInfo", [], "TypeConstraintViolation"),
    ],
)
def test_unusable_essentials_are_refused_with_the_code_of_the_fault(field: str, value: object, code: str) -> None:
    fault = unusable(event(**{field: value}), EVENT)
    assert fault.path.startswith(field)
    assert fault.code == code


def test_a_missing_essential_is_an_occurrence_violation() -> None:
    tree = event()
    del tree["seqNo"]
    fault = unusable(tree, EVENT)
    assert (fault.path, fault.code, fault.description) == ("seqNo", "OccurrenceConstraintViolation", "seqNo: missing.")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("numberOfPhasesUsed", 7),
        ("preconditioningStatus", "Warm"),
        ("evse", {"id": "left"}),
        ("evse", None),
        ("idToken", {"idToken": "x" * 256, "type": "Central"}),
        ("customData", "x"),
    ],
)
def test_an_unusable_optional_field_is_dropped_and_named(field: str, value: object) -> None:
    result = repaired(event(**{field: value}), EVENT)
    assert field not in result.tree
    assert len(result.repairs) == 1
    assert result.repairs[0].startswith(f"{field}: dropped")


def test_a_number_beyond_all_floats_is_dropped() -> None:
    assert repaired({"totalCost": 10**400}, messages.TransactionEventResponse).tree == {}


def test_unknown_fields_vanish_without_a_word() -> None:
    result = repaired(event(brandNew=1), EVENT)
    assert msgspec.convert(result.tree, EVENT) == msgspec.convert(event(), EVENT)
    assert result.repairs == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"measurand": "Power.Vendor"},
        {"phase": "L4"},
        {"location": "Garage"},
        {"context": "Whenever"},
        {"unitOfMeasure": {"unit": "W", "multiplier": "kilo"}},
        {"unitOfMeasure": {"unit": "W" * 21}},
        {"value": "NaN"},
        {"value": None},
    ],
)
def test_a_reading_never_loses_the_words_that_say_what_it_measures(changes: Tree) -> None:
    """Without its measurand a power of 7000 W would be taken as an energy register of 7000 Wh."""
    result = repaired(with_sample(**changes), EVENT)
    assert result.tree["meterValue"][0]["sampledValue"] == [sample(measurand="SoC", value=60)]
    assert len(result.repairs) == 1


def test_null_beside_a_reading_is_absence() -> None:
    result = repaired(with_sample(phase=None), EVENT)
    assert result.tree["meterValue"][0]["sampledValue"][0] == sample()


def test_a_meter_value_without_any_usable_reading_is_dropped_with_its_list() -> None:
    tree = event(meterValue=[{"timestamp": "2026-11-22T10:00:00Z", "sampledValue": [sample(measurand="Power.Vendor")]}])
    result = repaired(tree, EVENT)
    assert "meterValue" not in result.tree


def test_an_invalid_default_is_not_taken_as_the_default() -> None:
    """`offline` absent means false; what 'offline' = 7 means nobody knows."""
    assert unusable(event(offline=7), EVENT).path == "offline"


def test_a_schedule_never_loses_single_periods() -> None:
    periods = [{"startPeriod": 0, "limit": 5.0}, {"startPeriod": "soon", "limit": 0.0}]
    tree = {
        "status": "Accepted",
        "schedule": {
            "evseId": 1,
            "duration": 600,
            "scheduleStart": "2026-11-22T10:00:00Z",
            "chargingRateUnit": "W",
            "chargingSchedulePeriod": periods,
        },
    }
    result = repaired(tree, messages.GetCompositeScheduleResponse)
    assert "schedule" not in result.tree


def test_a_period_never_loses_its_operation_mode() -> None:
    period = {"startPeriod": 0, "operationMode": "Sideways", "setpoint": -7000}
    schedule = {"id": 1, "chargingRateUnit": "W", "chargingSchedulePeriod": [period]}
    profile = {
        "id": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [schedule],
    }
    fault = unusable({"evseId": 1, "chargingProfile": profile}, messages.SetChargingProfileRequest)
    assert fault.path == "chargingProfile.chargingSchedule[].chargingSchedulePeriod[].operationMode"


def test_one_object_is_a_list_of_one_and_an_empty_list_is_absence() -> None:
    one = event(meterValue=event()["meterValue"][0])
    assert repaired(one, EVENT).tree == event()
    assert "meterValue" not in repaired(event(meterValue=[]), EVENT).tree
    assert unusable({"evseId": 1, "meterValue": []}, messages.MeterValuesRequest).code == "OccurrenceConstraintViolation"


def test_a_list_that_is_too_long_is_not_cut() -> None:
    tree = {"evseId": 1, "chargingProfile": [], "requestId": 1, "chargingLimitSource": "EMS"}
    assert unusable(tree, messages.ReportChargingProfilesRequest).path == "chargingProfile"
    attributes = [{"value": "1"}] * 5
    report = [{"component": {"name": "C"}, "variable": {"name": "V"}, "variableAttribute": attributes}]
    tree = {"requestId": 1, "generatedAt": "2026-11-22T10:00:00Z", "seqNo": 0, "reportData": report}
    assert "reportData" not in repaired(tree, messages.NotifyReportRequest).tree


def test_repairs_are_bounded_and_free_of_the_peers_text() -> None:
    tree = event(meterValue=[{"timestamp": "2026-11-22T10:00:00Z", "sampledValue": [sample(), *[sample(phase="<b>")] * 500]}])
    assert repaired(tree, EVENT).repairs == ("meterValue[].sampledValue[].phase: entry dropped (unknown value)",)
    optional = dict.fromkeys(("a",)) | {f.encode_name: None for f in msgspec.structs.fields(messages.V2XChargingParametersType)}
    needs = {"requestedEnergyTransfer": "DC_BPT", "v2xChargingParameters": optional}
    assert len(repaired({"evseId": 1, "chargingNeeds": needs}, messages.NotifyEVChargingNeedsRequest).repairs) == 16


def test_whatever_is_salvaged_is_valid_by_the_official_schema(
    official_schemas: dict[str, Any],
    example_of: Callable[[str, random.Random], Tree],
    schema_admits: Callable[[str, Any], bool],
) -> None:
    """Mutate one or two values anywhere: the second reading either refuses, or yields what the schema admits."""
    rng = random.Random(23)
    odd: list[Any] = [
        None,
        True,
        7,
        -1,
        3.25,
        1e300,
        2**40,
        "",
        "12",
        "Unlisted",
        "y" * 3000,
        {},
        [],
        [1],
        {"a": 1},
        "2026-11-22T10:00:00",
        "\U0001f600",
    ]
    counts = {"repaired": 0, "refused": 0}

    def containers(node: Any) -> list[Any]:
        inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
        return [node, *(found for value in inside for found in containers(value))] if isinstance(node, dict | list) and node else []

    for name in official_schemas:
        kind = getattr(messages, name)
        for _ in range(25):
            tree = example_of(name, rng)
            for _ in range(rng.randint(1, 2)):
                holders = [node for node in containers(tree) if not (isinstance(node, dict) and "vendorId" in node)]
                if holders:
                    holder = rng.choice(holders)
                    keys = [k for k in (holder if isinstance(holder, dict) else range(len(holder))) if k not in ("customData", "data")]
                    if keys:
                        holder[rng.choice(keys)] = copy.deepcopy(rng.choice(odd))
            result = salvage(tree, kind)
            if isinstance(result, Unusable):
                counts["refused"] += 1
                continue
            counts["repaired"] += bool(result.repairs)
            read = msgspec.convert(result.tree, kind)
            assert schema_admits(name, json.loads(msgspec.json.encode(read))), (name, tree, result)
    assert counts["repaired"] > 300
    assert counts["refused"] > 300
