"""What the stations of a bench say: texts made by filling in a template, so that the load costs little beside the server."""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

PASSWORD: Final = "bench-password-of-24-chr"
MESSAGE_ID: Final = b"0b9c1de2-5f7a-4f0e-9b1d-%012d"
TRANSACTION_ID: Final = "f2b1c9d4-11aa-4c1f-9d55-%012d"
POWER_W: Final = 11_000
CAPACITY_WH: Final = 77_000
SOC_PERCENT: Final = 80
FLOOR_FRAC: Final = 0.3
STAY_S: Final = 8 * 3600.0

_SAMPLE: Final = (
    b'[2,"%b","TransactionEvent",{"eventType":"Updated","timestamp":"%b","triggerReason":"MeterValuePeriodic","seqNo":%d,'
    b'"transactionInfo":{"transactionId":"%b","chargingState":"Charging"},"evse":{"id":1,"connectorId":1},'
    b'"meterValue":[{"timestamp":"%b","sampledValue":['
    b'{"value":%d.5,"measurand":"Power.Active.Import","context":"Sample.Periodic","location":"Outlet","unitOfMeasure":{"unit":"W"}},'
    b'{"value":%d.25,"measurand":"Energy.Active.Export.Register","context":"Sample.Periodic","location":"Outlet",'
    b'"unitOfMeasure":{"unit":"Wh"}},'
    b'{"value":%d,"measurand":"SoC","context":"Sample.Periodic","location":"EV","unitOfMeasure":{"unit":"Percent"}}]}]}]'
)


def station_id(number: int) -> str:
    """Identity of a station."""
    return f"BENCH-{number:05d}"


def stamp(now_s: float) -> bytes:
    """A timestamp to the millisecond, as stations write it."""
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.").encode() + b"%03dZ" % (int(now_s * 1000.0) % 1000)


def sample(message: int, at: bytes, sequence: int, transaction_id: bytes, power_w: int, export_wh: int) -> bytes:
    """TransactionEvent(Updated) with three sampled values, about 760 bytes; `power_w` is discharge."""
    return _SAMPLE % (MESSAGE_ID % message, at, sequence, transaction_id, at, -power_w, export_wh, SOC_PERCENT)


def call(message: int, action: str, payload: dict[str, Any]) -> bytes:
    """Any other request."""
    return msgspec.json.encode((2, (MESSAGE_ID % message).decode(), action, payload))


def boot() -> dict[str, Any]:
    """BootNotification."""
    return {"reason": "PowerUp", "chargingStation": {"vendorName": "Bench", "model": "Light", "firmwareVersion": "1.0"}}


def started(now_s: float, number: int, transaction_id: str) -> dict[str, Any]:
    """TransactionEvent(Started) with the driver's token."""
    return {
        "eventType": "Started",
        "timestamp": stamp(now_s).decode(),
        "triggerReason": "Authorized",
        "seqNo": 0,
        "transactionInfo": {"transactionId": transaction_id, "chargingState": "EVConnected"},
        "evse": {"id": 1, "connectorId": 1},
        "idToken": {"idToken": f"DRIVER{number:06d}", "type": "eMAID"},
    }


def ended(now_s: float, sequence: int, transaction_id: str) -> dict[str, Any]:
    """TransactionEvent(Ended)."""
    return {
        "eventType": "Ended",
        "timestamp": stamp(now_s).decode(),
        "triggerReason": "EVDeparted",
        "seqNo": sequence,
        "transactionInfo": {"transactionId": transaction_id, "stoppedReason": "EVDisconnected"},
    }


def needs(now_s: float) -> dict[str, Any]:
    """NotifyEVChargingNeeds of a car that can discharge, with energy to spare and hours to stay."""
    missing_wh = CAPACITY_WH * (100 - SOC_PERCENT) / 100.0
    return {
        "evseId": 1,
        "timestamp": stamp(now_s).decode(),
        "chargingNeeds": {
            "requestedEnergyTransfer": "AC_BPT",
            "controlMode": "DynamicControl",
            "departureTime": stamp(now_s + STAY_S).decode(),
            "v2xChargingParameters": {
                "minChargePower": 1400.0,
                "maxChargePower": float(POWER_W),
                "minDischargePower": 1400.0,
                "maxDischargePower": float(POWER_W),
                "evTargetEnergyRequest": missing_wh / 2.0,
                "evMaxEnergyRequest": missing_wh,
                "evMinV2XEnergyRequest": CAPACITY_WH * (FLOOR_FRAC - SOC_PERCENT / 100.0),
                "evMaxV2XEnergyRequest": missing_wh,
            },
        },
    }


_VARIABLES: Final = {
    ("devicedatactrlr", "itemspermessage"): "20",
    ("smartchargingctrlr", "enabled"): "true",
    ("smartchargingctrlr", "available"): "true",
    ("smartchargingctrlr", "rateunit"): "W,A",
    ("smartchargingctrlr", "profilestacklevel"): "20",
    ("v2xchargingctrlr", "enabled"): "true",
    ("v2xchargingctrlr", "supportedoperationmodes"): "ChargingOnly,CentralSetpoint",
    ("evse", "dischargepower"): str(POWER_W),
    ("sampleddatactrlr", "txupdatedinterval"): "60",
}


def answer(text: bytes) -> bytes:
    """The answer of a willing station to any request of the CSMS."""
    _, message_id, action, payload = msgspec.json.decode(text)
    match action:
        case "GetVariables":
            response: dict[str, Any] = {"getVariableResult": [_variable(asked) for asked in payload["getVariableData"]]}
        case "SetVariables":
            response = {
                "setVariableResult": [
                    {"attributeStatus": "Accepted", "component": asked["component"], "variable": asked["variable"]}
                    for asked in payload["setVariableData"]
                ]
            }
        case "SetChargingProfile" | "ClearChargingProfile" | "TriggerMessage":
            response = {"status": "Accepted"}
        case _:
            return msgspec.json.encode((4, message_id, "NotSupported", "", {}))
    return msgspec.json.encode((3, message_id, response))


def _variable(asked: dict[str, Any]) -> dict[str, Any]:
    value = _VARIABLES.get((asked["component"]["name"].lower(), asked["variable"]["name"].lower()))
    found: dict[str, Any] = {"component": asked["component"], "variable": asked["variable"]}
    if "attributeType" in asked:
        found["attributeType"] = asked["attributeType"]
    return found | ({"attributeStatus": "UnknownVariable"} if value is None else {"attributeStatus": "Accepted", "attributeValue": value})
