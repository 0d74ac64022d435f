"""What tests of `counterflow serve` behind a VTN have in common: settings of a server that acts within seconds, and its stations."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from counterflow.adapters.openadr.models import Version
from counterflow.sim.client import FleetClient
from counterflow.sim.settings import FleetClientSettings, MixSettings, PlantSettings, StationSettings
from counterflow.sim.vtn.serving import VEN, Vtn

_SETTINGS = """
[ocpp]
sampling_interval_s = 1
[control]
tick_interval_s = 1.0
dwell_s = 4.0
hold_min_s = 2.0
hold_max_s = 4.0
[response]
prior_gain = 1.0
settle_base_s = 3.0
[resume]
resume_over_s = 4.0
[capability]
silence_min_s = 6.0
[orders]
min_duration_s = 5.0

[[programs]]
name = "north"
wire = "openadr"
external_id = "v2g"
sign = "load"
unit = "kW"
max_discharge_power_w = 100000.0
mode = "gross_export"

[[openadr.vtns]]
name = "dso"
url = "{url}"
version = "{version}"
client_id = "{client_id}"
client_secret_file = "{secret}"
poll_s = 0.5
{more}
"""


def settings_of(vtn: Vtn, folder: Path, more: str, version: Version = Version.V3_1_0) -> str:
    """A server that follows the program `v2g` of `vtn`; `more` goes on in the entry of the VTN, its programs among it."""
    secret = folder / "secret"
    secret.write_text(VEN.secret)
    return _SETTINGS.format(url=vtn.url(version), version=version, client_id=VEN.client_id, secret=secret, more=more)


@contextlib.asynccontextmanager
async def stations(served: Any, count: int) -> AsyncIterator[None]:
    """So many stations with a car of 11 kW each that can be discharged for long, all connected."""
    fleet = FleetClient(
        FleetClientSettings(
            url=served.ocpp_url,
            stations=count,
            plant=PlantSettings.ideal(),
            station=StationSettings(meter_interval_s=1),
            mix=MixSettings(
                sizes_w=(11_000.0,), size_shares=(1.0,), soc_min=0.6, soc_max=0.75, target_soc_min=0.9, target_soc_max=0.9,
                departure_min_s=36_000.0, tight_share=0.0,
            ),
            back_off_min_s=0.2,
            back_off_max_s=1.0,
        )
    )  # fmt: skip
    await fleet.start()
    try:
        await fleet.wait_ready(60.0)
        yield
    finally:
        await fleet.stop()
