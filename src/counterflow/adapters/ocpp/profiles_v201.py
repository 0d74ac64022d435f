"""Commands as OCPP 2.0.1 requests: made as those of 2.1 and held against the older schemas, which know limits and no setpoints."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp import messages_v201, profiles
from counterflow.adapters.ocpp.profiles import Addressed, NotInVersionError


def to_request(command: Addressed, now_s: float) -> tuple[str, Struct]:
    """The action and its request. Raises `PlacementError`, `NotInVersionError` for what OCPP 2.0.1 cannot say."""
    action, request = profiles.to_request(command, now_s)
    if action not in messages_v201.REQUESTS:
        raise NotInVersionError(f"OCPP 2.0.1 has no {action}.")
    if isinstance(request, ocpp.SetChargingProfileRequest):
        _check_sayable(request.charging_profile)
    try:
        return action, in_its_words(action, request)
    except msgspec.ValidationError as error:
        raise NotInVersionError(f"OCPP 2.0.1 cannot say this {action}: {error}.") from error


def in_its_words(action: str, request: Struct) -> Struct:
    """A request of 2.1 as that of 2.0.1. Raises msgspec.ValidationError when the older schema refuses it."""
    spelt: Struct = older(request, messages_v201.REQUESTS[action])
    return spelt


def older(value: Struct, kind: type[Struct]) -> Any:
    """The same content in an older type; fields that it does not have are left out. Raises msgspec.ValidationError."""
    return msgspec.convert(msgspec.to_builtins(value, builtin_types=(datetime,)), kind)


def _check_sayable(profile: ocpp.ChargingProfileType) -> None:
    """A field that is left out must not have carried meaning: a limit alone is what charging only means in 2.0.1 (K01)."""
    for schedule in profile.charging_schedule:
        for period in schedule.charging_schedule_period:
            if period.operation_mode not in (msgspec.UNSET, "ChargingOnly"):
                raise NotInVersionError(f"OCPP 2.0.1 has no operation mode {period.operation_mode}.")
    if profile.max_offline_duration is not msgspec.UNSET:
        raise NotInVersionError("OCPP 2.0.1 has no maxOfflineDuration.")
