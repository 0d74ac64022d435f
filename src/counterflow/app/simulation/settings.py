"""How large a simulated world is, and how badly it is treated."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from counterflow.app.config import Settings
from counterflow.domain.ids import SiteId
from counterflow.sim.settings import MixSettings, PlantSettings, StationSettings


class SimulationSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run: faults and operators for `active_s`, then peace for `quiet_s`, then the reckoning."""

    stations: Annotated[int, Meta(description="Stations, one EVSE and one car each.", extra={"unit": "-"}, ge=2, le=1000)] = 10
    active_s: Annotated[float, Meta(description="Time with faults.", extra={"unit": "s"}, gt=0)] = 420.0
    quiet_s: Annotated[float, Meta(description="Time without, before ledger and stations are compared.", extra={"unit": "s"}, gt=0)] = 600.0
    fault_every_s: Annotated[float, Meta(description="Mean time between two faults.", extra={"unit": "s"}, gt=0)] = 9.0
    person_every_s: Annotated[float, Meta(description="Mean time between two acts of operators.", extra={"unit": "s"}, gt=0)] = 45.0


def sized(stations: int | None, active_s: float | None) -> SimulationSettings:
    """The usual size, but for what is given."""
    usual = SimulationSettings()
    return msgspec.structs.replace(
        usual,
        stations=usual.stations if stations is None else stations,
        active_s=usual.active_s if active_s is None else active_s,
    )


YARD, YARD_EVERY = SiteId("yard"), 2
"""Every second station stands in the yard, whose grid connection is small."""
YARD_EXPORT_W = 20_000.0
UNWILLING_EVERY = 7
"""Every seventh driver has not agreed to discharge."""

PLANT = PlantSettings(
    delay_min_s=0.5,
    delay_max_s=3.0,
    ramp_min_w_per_s=2_000.0,
    ramp_max_w_per_s=20_000.0,
    soc_error_sd=0.0,
    attrition_per_h=0.3,
)
STATION = StationSettings()
MIX = MixSettings(soc_min=0.32, soc_max=0.9, tight_share=0.15, departure_min_s=1_800.0, capacity_min_wh=12_000.0, capacity_max_wh=60_000.0)
"""Small batteries, some of them nearly at their floor, some cars in a hurry: what must not happen can happen within minutes."""


def server_settings(settings: SimulationSettings) -> Settings:
    """The server as it ships, in a town where most drivers have agreed."""
    unwilling = {f"DECFW{row + 1:09d}": {"consent": False} for row in range(0, settings.stations, UNWILLING_EVERY)}
    tree: dict[str, Any] = {
        "stations": {"accept_unknown": True},
        "feeders": [{"feeder_id": "line", "max_export_power_w": YARD_EXPORT_W}],
        "sites": [{"site_id": YARD, "feeder": "line"}],
        "drivers": {"default": {"consent": True}, "drivers": unwilling},
    }
    return msgspec.convert(tree, Settings)
