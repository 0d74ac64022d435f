"""Connections as TCP gives them: in order, late, cut, or open on one side only. What arrives is never changed."""

from random import Random
from typing import Any

import msgspec

from counterflow.app.simulation.seat import Seat

CALL, CALL_RESULT, CALL_ERROR = b"234"


class Link:
    """One connection of one station (or of something that uses its identity). Each side sees it open until it learns better."""

    def __init__(self, number: int, seat: Seat, random: Random, *, impostor: bool = False) -> None:
        self.number = number
        self.seat = seat
        self.impostor = impostor
        self.station_open = True
        self.server_open = True
        self.black_hole = False
        """Nothing passes any more and nobody has noticed."""
        self.stalled_until_s = 0.0
        self.unanswered: dict[str, float] = {}
        """Calls of the server that this connection carried, with the time of sending."""
        self._random = random
        self._last_up_s = self._last_down_s = 0.0

    def up_at_s(self, now_s: float) -> float:
        """When a frame that a station sends now arrives."""
        self._last_up_s = max(self._last_up_s, self.stalled_until_s, now_s + self._random.uniform(0.005, 0.08))
        return self._last_up_s

    def down_at_s(self, now_s: float) -> float:
        """When a frame that the server sends now arrives."""
        self._last_down_s = max(self._last_down_s, self.stalled_until_s, now_s + self._random.uniform(0.005, 0.08))
        return self._last_down_s


def words(text: bytes) -> str:
    """A frame in a few words."""
    frame: list[Any] = msgspec.json.decode(text)
    if frame[0] == 2:
        return f"{frame[2]}{_about(frame[2], frame[3])} #{frame[1][-6:]}"
    if frame[0] == 3:
        status = frame[2].get("status", "") if isinstance(frame[2], dict) else ""
        return f"answer {status} #{frame[1][-6:]}"
    return f"error {frame[2:4]} #{frame[1][-6:]}"


def _about(action: str, payload: dict[str, Any]) -> str:
    if action == "SetChargingProfile":
        profile = payload["chargingProfile"]
        schedule = profile["chargingSchedule"][0]
        parts = [str(period.get("setpoint", period.get("limit", "?"))) for period in schedule["chargingSchedulePeriod"]]
        return f" {profile['id']} level {profile['stackLevel']} W {'/'.join(parts)} for {schedule.get('duration', '-')} s"
    if action == "ClearChargingProfile":
        return f" {payload.get('chargingProfileId', payload)}"
    if action == "TransactionEvent":
        late = " offline" if payload.get("offline") else ""
        return f" {payload['eventType']} {payload['triggerReason']} {payload['seqNo']}{late}"
    return ""
