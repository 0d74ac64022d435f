"""What people look back on: a session's meter values and orders, and what became of each profile at a station. Discharge positive."""

from msgspec import Struct


class SamplePoint(Struct, frozen=True, kw_only=True):
    """A meter value; unknown is None."""

    at_s: float
    power_w: float | None
    soc_frac: float | None


class SetpointEntry(Struct, frozen=True, kw_only=True):
    """One order to a car: when, what, why, and what its station said to it."""

    at_s: float
    dispatch_id: str
    power_w: float | None
    """What was asked; a limit to charging is negative; None = it was taken back."""
    reason: str
    reason_text: str
    outcome: str
    """In words; empty = not known (any more)."""
    answered_at_s: float | None


class SessionHistory(Struct, frozen=True, kw_only=True):
    """Meter values and orders of one session, oldest first."""

    session_uid: int
    from_s: float
    at_s: float
    samples: tuple[SamplePoint, ...]
    setpoints: tuple[SetpointEntry, ...]


class ProfileEntry(Struct, frozen=True, kw_only=True):
    """What became of one charging profile at a station."""

    profile_id: int
    standing: str
    """`placing`, `accepted`, `unsure`, `rejected`, `cleared`, `orphan` (of ours, and no longer wanted) or `foreign` (not of ours)."""
    standing_text: str
    evse_id: int | None
    kind: str
    power_w: float | None
    placed_at_s: float | None
    answer: str
    """What the station said to its placing; empty = not known (any more)."""
    cleared_at_s: float | None
    clear_answer: str
    dispatch_id: str | None
