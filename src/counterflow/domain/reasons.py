"""Why a session can or cannot be discharged now: a code for arrays, a sentence for people."""

from enum import IntEnum, unique


@unique
class Reason(IntEnum):
    """READY is the only one that allows discharge, or, of charge reduction, that. The first that applies, in the order of these lines,
    is the one shown."""

    READY = 0
    NO_SESSION = 1
    EMERGENCY_STOP = 2
    STATION_OFFLINE = 3
    EVSE_FAULTED = 4
    NO_CONSENT = 5
    NO_PAUSE_CONSENT = 34
    DRIVER_STOP = 22
    BLACKOUT = 23
    CAPABILITY_UNKNOWN = 6
    NO_V2X_CONTROL = 7
    NO_CHARGING_CONTROL = 35
    NO_CHARGING_NEEDS = 32
    NOT_ISO15118_20 = 33
    NO_BIDIRECTIONAL_TRANSFER = 8
    PROFILES_UNSEEN = 25
    NOT_TELLING = 26
    FOREIGN_PROFILE = 9
    OTHERS_LEAD = 27
    PRIORITY_UNCLEAR = 28
    NO_LEVEL_ABOVE = 29
    EXTERNAL_SETPOINT = 30
    CONTRADICTS_ITSELF = 31
    PRIORITY_CHARGING = 10
    EXTERNAL_LIMIT = 11
    GRID_FAULT = 12
    EV_NOT_READY = 13
    CLOCK_OFF = 39
    SILENT = 14
    SOC_UNKNOWN = 15
    POWER_UNKNOWN = 16
    BELOW_FLOOR = 17
    DISCHARGE_CAP = 24
    MUST_CHARGE = 18
    NEED_UNKNOWN = 36
    PAUSED_ENOUGH = 37
    MUST_CHARGE_TOGETHER = 38
    BELOW_MIN_POWER = 19
    GUARDED = 40
    COOLING_DOWN = 20
    NOT_RESPONDING = 21
    NO_LOCAL_FREQUENCY = 41


REASON_WORDS: dict[Reason, str] = {
    Reason.READY: "can be discharged",
    Reason.NO_SESSION: "no car is plugged in",
    Reason.EMERGENCY_STOP: "the emergency stop is on",
    Reason.STATION_OFFLINE: "the station is not connected",
    Reason.EVSE_FAULTED: "the EVSE reports a fault or is unavailable",
    Reason.NO_CONSENT: "the driver has not agreed to discharge",
    Reason.NO_PAUSE_CONSENT: "the driver has not agreed that charging is paused (pausing)",
    Reason.DRIVER_STOP: "the driver stopped the discharge of this session",
    Reason.BLACKOUT: "the driver wants no discharge at this time of the week",
    Reason.CAPABILITY_UNKNOWN: "discovery of the station is not finished",
    Reason.NO_V2X_CONTROL: "the station does not offer CentralSetpoint",
    Reason.NO_CHARGING_CONTROL: "the station takes no charging limit of ours",
    Reason.NO_CHARGING_NEEDS: "the car has not told its charging needs, and nobody said that this EVSE discharges without them",
    Reason.NOT_ISO15118_20: "the car does not speak ISO 15118-20, so no discharge can be agreed with it",
    Reason.NO_BIDIRECTIONAL_TRANSFER: "car and station have not agreed on a bidirectional transfer",
    Reason.PROFILES_UNSEEN: "the station has not told yet who else steers this EVSE",
    Reason.NOT_TELLING: "the station cannot tell who else steers this EVSE (conflicts.discharge_untold)",
    Reason.FOREIGN_PROFILE: "another system's transaction profile is on this EVSE, and nobody has confirmed who has priority at this site",
    Reason.OTHERS_LEAD: "another system steers this EVSE, and the site's operator confirmed that it has priority",
    Reason.PRIORITY_UNCLEAR: "a local energy system can set this EVSE's power, and it is not known whose setpoint wins",
    Reason.NO_LEVEL_ABOVE: "another system's profile leaves no stack level above it for ours",
    Reason.EXTERNAL_SETPOINT: "a local energy system sets the power of this EVSE",
    Reason.CONTRADICTS_ITSELF: "the station's meter contradicts itself; a person must release it",
    Reason.PRIORITY_CHARGING: "the driver asked for priority charging",
    Reason.EXTERNAL_LIMIT: "a local energy system allows no discharge",
    Reason.GRID_FAULT: "the inverter reports a grid fault",
    Reason.EV_NOT_READY: "the car has suspended or ended the energy transfer",
    Reason.CLOCK_OFF: "the station's clock is wrong, or its values come late: it would begin and end an order at the wrong time",
    Reason.SILENT: "no meter value for too long",
    Reason.SOC_UNKNOWN: "the energy above the driver's floor is unknown: no state of charge with a capacity, and no energy request",
    Reason.POWER_UNKNOWN: "the discharge power of car and EVSE is unknown",
    Reason.BELOW_FLOOR: "the state of charge is at the driver's floor",
    Reason.DISCHARGE_CAP: "a cap on discharged energy or cycles is used up, or cannot be counted",
    Reason.MUST_CHARGE: "the car must charge to be ready at departure",
    Reason.NEED_UNKNOWN: "it is not known how much the car needs by when, and nobody said how long it may be paused (max_pause)",
    Reason.PAUSED_ENOUGH: "the car was slowed or paused as long as its driver allows in one session (max_pause)",
    Reason.MUST_CHARGE_TOGETHER: "the car must charge now, since all cars behind its connection must be ready at departure",
    Reason.BELOW_MIN_POWER: "what is left is below the car's minimum discharge power",
    Reason.GUARDED: "a guarantee was broken for this session (event session.guarded): it is not discharged until it is plugged in anew",
    Reason.COOLING_DOWN: "the station refused a profile, or a person cleared it; it is tried again later",
    Reason.NOT_RESPONDING: "the car does not follow its setpoint; it is probed again later",
    Reason.NO_LOCAL_FREQUENCY: "the EVSE does not offer the operation mode LocalFrequency, or has refused its curve",
}


class ChangeReason(IntEnum):
    """Why a setpoint was changed; kept in the log and shown."""

    START = 1
    TARGET_CHANGED = 2
    GAP_UP = 3
    GAP_DOWN = 4
    DROP_OUT = 5
    RESERVE = 6
    RE_ARM = 7
    FLOOR_OR_DEPARTURE = 8
    SITE_LIMIT = 9
    NOT_RESPONDING = 10
    WINDOW_END = 11
    CANCELLED = 12
    EMERGENCY_STOP = 13
    REFUSED_RETRY = 14
    WITHDRAWN = 15


CHANGE_WORDS: dict[ChangeReason, str] = {
    ChangeReason.START: "the dispatch began",
    ChangeReason.TARGET_CHANGED: "the target moved",
    ChangeReason.GAP_UP: "the fleet was expected to give less than the target",
    ChangeReason.GAP_DOWN: "the fleet was expected to give more than the target",
    ChangeReason.DROP_OUT: "other cars were lost and had to be replaced",
    ChangeReason.RESERVE: "it was not needed, and what it charges would count against the others",
    ChangeReason.RE_ARM: "the order before was about to end, and the car may go on",
    ChangeReason.FLOOR_OR_DEPARTURE: "what the car may be asked became less",
    ChangeReason.SITE_LIMIT: "its site, feeder or phase had no more room",
    ChangeReason.NOT_RESPONDING: "it did not follow its setpoint",
    ChangeReason.WINDOW_END: "the window ended",
    ChangeReason.CANCELLED: "the dispatch was cancelled",
    ChangeReason.EMERGENCY_STOP: "the emergency stop was set",
    ChangeReason.REFUSED_RETRY: "it was unknown what became of the order before, so that it was sent again",
    ChangeReason.WITHDRAWN: "it may not be dispatched any more",
}


class Bound(IntEnum):
    """What set the size of an order."""

    NOTHING = 0
    TARGET = 1
    OWN_POWER = 2
    LEAST_POWER = 3
    SITE = 4
    CAR = 5
    CHARGING = 6


BOUND_WORDS: dict[Bound, str] = {
    Bound.NOTHING: "",
    Bound.TARGET: "as much as was still missing of the target",
    Bound.OWN_POWER: "all that car and EVSE can give",
    Bound.LEAST_POWER: "the least that the car can give",
    Bound.SITE: "what its site, feeder or phase had room for",
    Bound.CAR: "what floor, departure, or a limit of the car still allowed",
    Bound.CHARGING: "it gives by charging less",
}


class EndedBy(IntEnum):
    """What sets the end that an order carries."""

    WINDOW = 1
    ENERGY = 2
    BLACKOUT = 3
    DEPARTURE = 4


END_WORDS: dict[EndedBy, str] = {
    EndedBy.WINDOW: "the end of the window",
    EndedBy.ENERGY: "when its floor with the buffer, or a cap of its driver, is reached",
    EndedBy.BLACKOUT: "when its driver's blackout begins",
    EndedBy.DEPARTURE: "when it must charge to be ready at its departure",
}


class DropOutKind(IntEnum):
    """How a session was lost to a dispatch."""

    ENDED = 1
    EV_GONE = 2
    SUSPENDED = 3
    FAULTED = 4
    REFUSED = 5
    SILENT = 6
    OFFLINE = 7
    NOT_RESPONDING = 8
    MUST_CHARGE = 9
    WITHDRAWN = 10


DROP_OUT_WORDS: dict[DropOutKind, str] = {
    DropOutKind.ENDED: "its transaction has ended",
    DropOutKind.EV_GONE: "the car was unplugged",
    DropOutKind.SUSPENDED: "the car suspended the transfer",
    DropOutKind.FAULTED: "its EVSE reports a fault",
    DropOutKind.REFUSED: "its station did not take an order, or was cleared by a person",
    DropOutKind.SILENT: "no meter value came for too long",
    DropOutKind.OFFLINE: "its station is not connected any more",
    DropOutKind.NOT_RESPONDING: "it does not follow its setpoint",
    DropOutKind.MUST_CHARGE: "it must charge, or has reached its floor",
    DropOutKind.WITHDRAWN: "it may not be dispatched any more",
}
