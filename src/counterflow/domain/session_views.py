"""Sessions as people and machines outside see them, and parts of their list. Discharge power is positive here; unknown is None."""

from enum import StrEnum

from msgspec import Struct


class SessionView(Struct, frozen=True, kw_only=True):
    """One session with everything we know, how old it is, and why it can or cannot be discharged."""

    session_uid: int
    station_id: str
    transaction_id: str
    site_id: str
    evse_id: int
    reason: str
    reason_text: str
    phase: str
    started_s: float | None
    soc_frac: float | None
    soc_age_s: float | None
    soc_floor_frac: float | None
    energy_above_floor_wh: float | None
    departure_s: float | None
    blackout_from_s: float | None = None
    cap_left_wh: float | None = None
    """None = no cap."""
    override: str = ""
    """What the driver said for this session, in words; empty = nothing."""
    energy_needed_wh: float | None
    """Carried forward from the last reports to now."""
    needs_age_s: float | None
    """Age of what the car said of its discharge power, its departure and its energy; None = it has said nothing."""
    laxity_s: float | None
    power_w: float | None
    """Discharge positive."""
    power_age_s: float | None
    available_power_w: float | None
    export_wh: float | None
    import_wh: float | None
    register_age_s: float | None
    setpoint_w: float | None
    """Discharge positive, a limit to charging negative; None = nothing of ours in force."""
    setpoint_age_s: float | None
    setpoint_state: str
    gain: float | None
    dispatch_id: str | None
    pausing: str
    """Whether its charging can be reduced for a relative order, a reason as for a discharge."""
    pausing_text: str
    reducible_power_w: float


class SessionOrder(StrEnum):
    """By what a page of sessions is sorted."""

    STATION = "station"
    SOC = "soc"
    DEPARTURE = "departure"
    SETPOINT = "setpoint"
    POWER = "power"
    ERROR = "error"
    """How far the power is from the setpoint."""
    HEARD = "heard"
    AVAILABLE = "available"


class SessionQuery(Struct, frozen=True, kw_only=True):
    """Which sessions a page shows. `search` is a part of the station or transaction id."""

    search: str = ""
    reason: str = ""
    site_id: str = ""
    sort: SessionOrder = SessionOrder.STATION
    descending: bool = False
    offset: int = 0
    limit: int = 50


class SessionPage(Struct, frozen=True, kw_only=True):
    """A part of the open sessions; only these were worked out in full."""

    at_s: float
    total: int
    """Open sessions."""
    matched: int
    """Those that the filters let through."""
    reasons: dict[str, int]
    """How many of all have which reason."""
    sessions: tuple[SessionView, ...]
    """The part that was asked for."""


class ExplanationView(Struct, frozen=True, kw_only=True):
    """Why a car was given what it was given at an instant, or nothing; discharge positive."""

    session_uid: int
    station_id: str
    transaction_id: str
    at_s: float
    dispatch_id: str | None
    setpoint_w: float | None
    """What was asked; None = nothing of ours."""
    setpoint_at_s: float | None
    reason: str
    sentences: tuple[str, ...]
    figures: dict[str, float | str | None]
