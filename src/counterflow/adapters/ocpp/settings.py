"""What can be tuned about talking OCPP."""

import sys
from typing import Annotated

from msgspec import Meta, Struct

SUBPROTOCOLS = ("ocpp2.1", "ocpp2.0.1", "ocpp1.6")
"""What is served, newest first."""


AboveZero = Annotated[float, Meta(gt=0)]


class NegativeLimitModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model of station that discharges on a negative charging limit, and what it cannot tell by itself."""

    model: Annotated[
        str,
        Meta(description="Vendor and model as BootNotification says them, with a slash between: `Vendor/Model`.", extra={"unit": "-"}),
    ]
    max_discharge_power_w: Annotated[
        AboveZero | None, Meta(description="What an EVSE can discharge, where the station does not tell (OCPP 1.6).", extra={"unit": "W"})
    ] = None
    max_charge_power_w: Annotated[
        AboveZero | None,
        Meta(description="What it can charge, where the station does not tell; left out = as it discharges.", extra={"unit": "W"}),
    ] = None
    capacity_wh: Annotated[
        AboveZero | None,
        Meta(description="Capacity of the cars that come to it, where nobody tells; the smallest of them.", extra={"unit": "Wh"}),
    ] = None

    def is_of(self, vendor_name: str, model: str) -> bool:
        """Whether a station with these words is of this model (case does not matter)."""
        return self.model.strip().casefold() == f"{vendor_name}/{model}".casefold()


class OcppSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Time-outs, sampling and discovery. Stack levels and profile ids travel with each command."""

    call_timeout_s: Annotated[
        float,
        Meta(
            description="How long an answer of a station is awaited; after that its outcome is unknown.", extra={"unit": "s"}, gt=0, le=600
        ),
    ] = 30.0
    heartbeat_interval_s: Annotated[
        int,
        Meta(description="Heartbeat interval given in the answer to BootNotification.", extra={"unit": "s"}, ge=10, le=86_400),
    ] = 300
    sampling_interval_s: Annotated[
        int,
        Meta(description="How often a station is asked to send meter values during a transaction.", extra={"unit": "s"}, ge=1, le=3600),
    ] = 10
    idle_sampling_interval_s: Annotated[
        int,
        Meta(
            description="The same while no setpoint is in force, for stations that sample setpoints at a pace of their own; 0 = the same. "
            "A slower one saves messages, but a car that falls silent is noticed later.",
            extra={"unit": "s"},
            ge=0,
            le=3600,
        ),
    ] = 0
    aligned_interval_s: Annotated[
        int,
        Meta(
            description="How often a station is asked to send its energy registers by the clock, for settlement; 0 = leave that alone.",
            extra={"unit": "s"},
            ge=0,
            le=86_400,
        ),
    ] = 900
    measurands: Annotated[
        tuple[str, ...],
        Meta(description="Measurands that a station is asked to send, as OCPP spells them.", extra={"unit": "-"}, min_length=1),
    ] = (
        "Power.Active.Import",
        "Power.Active.Export",
        "SoC",
        "Energy.Active.Import.Register",
        "Energy.Active.Export.Register",
        "Power.Active.Setpoint",
    )
    discovery_parallel: Annotated[
        int,
        Meta(description="How many stations are asked for their capabilities at the same time.", extra={"unit": "-"}, ge=1, le=10_000),
    ] = 200
    discovery_per_s: Annotated[
        float,
        Meta(
            description="How many stations begin discovery per second; a quarter of that while more commands than discovery_parallel "
            "are under way.",
            extra={"unit": "1/s"},
            gt=0,
            le=10_000,
        ),
    ] = 100.0
    report_above_messages: Annotated[
        int,
        Meta(
            description="A station that takes so few items in a message that GetVariables would need more messages than this is asked for "
            "a report of everything (GetBaseReport) first.",
            extra={"unit": "-"},
            ge=1,
        ),
    ] = 12
    negative_limit_models: Annotated[
        tuple[NegativeLimitModel, ...],
        Meta(
            description="Models that discharge on a negative charging limit, which is no word of OCPP; each use is verified by the meter.",
            extra={"unit": "-"},
        ),
    ] = ()
    negative_limit_proof_s: Annotated[
        float,
        Meta(
            description="How long after its start such a discharge may take to show at the meter; a station where it does not is held out.",
            extra={"unit": "s"},
            gt=0,
            le=3600,
        ),
    ] = 90.0

    @property
    def idle_interval_s(self) -> int:
        """The sampling interval while no setpoint is in force, s."""
        return self.idle_sampling_interval_s or self.sampling_interval_s

    @property
    def sampling_asked(self) -> str:
        """What is asked of stations, as one text: when it changes, they are asked anew."""
        text = f"{self.sampling_interval_s} s, {self.idle_interval_s} s, {self.aligned_interval_s} s, {','.join(self.measurands)}"
        return sys.intern(text)  # every station's record holds it
