"""What people and machines outside are shown of the server and the fleet as a whole, and how they are refused.

Discharge power is positive here; unknown is None.
"""

from enum import StrEnum

from msgspec import Struct

from counterflow.domain.settlement import Quality


class RefusalKind(StrEnum):
    """Why something was not done; the HTTP edge gives each a status."""

    NOT_FOUND = "not-found"
    INVALID = "invalid"
    CONFLICT = "conflict"
    STOPPED = "emergency-stop"
    OFFLINE = "station-offline"
    TIMED_OUT = "timed-out"
    OVERLOADED = "overloaded"
    TOO_LITTLE = "too-little-power"
    TOO_OFTEN = "too-often"


class Refusal(Struct, frozen=True, kw_only=True):
    """A sentence about what is wrong, and one about what to do."""

    kind: RefusalKind
    sentence: str
    remedy: str
    conflicting: str | None = None


class HealthView(Struct, frozen=True, kw_only=True):
    """Liveness and readiness; `alarms` in words. The emergency stop is among the alarms, and leaves the server ready."""

    ready: bool
    alarms: tuple[str, ...]
    started_at_s: float
    version: str


class StoreView(Struct, frozen=True, kw_only=True):
    """A class of data on the disk."""

    what: str
    size_bytes: int
    kept: str
    """For how long, in words."""


class StorageView(Struct, frozen=True, kw_only=True):
    """What lies on the disk of the server."""

    stores: tuple[StoreView, ...]
    free_bytes: int


class FleetView(Struct, frozen=True, kw_only=True):
    """The fleet at one instant."""

    at_s: float
    stations_known: int
    stations_connected: int
    sessions: int
    sessions_ready: int
    reasons: dict[str, int]
    measured_power_w: float | None
    """Sum over the sessions with known power, discharge positive."""
    unmeasured_sessions: int
    available_power_w: float
    available_energy_wh: float
    target_power_w: float | None
    headroom_power_w: float | None
    running_dispatches: tuple[str, ...]
    profiles_placed: int
    messages_sent: int
    drop_outs: int
    emergency_stop: bool
    quality: Quality
    """Of the measured power."""


class LimitView(Struct, frozen=True, kw_only=True):
    """A feeder, a site or a phase of a site: what it may carry, and what flows there now."""

    group: str
    above: str | None
    max_export_power_w: float | None
    max_import_power_w: float | None
    held_export_power_w: float | None
    """What a grid operator allows for the time being, and for how long `held` says; None = as always."""
    held_import_power_w: float | None
    held: tuple[str, ...]
    """Limits of grid operators on a pool of the site, in force or to come, in words."""
    load_least_w: float
    load_most_w: float
    load_read_at_s: float | None
    """None = no reading counts now; what is configured does."""
    export_power_w: float
    """Of our cars, by their meters as they stand; a car that charges counts under import."""
    import_power_w: float


class Notice(Struct, frozen=True, kw_only=True):
    """One thing that happened, for the event stream; the kinds are in `domain.notices`."""

    at_s: float
    kind: str
    subject: str
    text: str
    values: dict[str, float | int | str | bool | None]
    id: str = ""
    """Its place in the stream, from which a reader can go on after a break; "" = it has none."""
