"""Request bodies. A field that is not known is refused, so that a typing error is never an order."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from counterflow.adapters.web.patterns import ACTION_PATTERN, SERIAL_PATTERN, STATION_ID_PATTERN
from counterflow.adapters.web.units import AskedPower, DischargePower, Duration, InstantNumber, InstantText, Ramp
from counterflow.domain.conflicts import Leader
from counterflow.domain.ids import ALL_SITES, PoolId
from counterflow.domain.instructions import (
    AllocationPolicy,
    Amendment,
    ControlPath,
    DispatchMode,
    DispatchOrder,
    Headroom,
    OrderStep,
    StreamTerms,
    StreamValue,
)
from counterflow.domain.settlement import BaselineMethod

ReportFormat = Literal["json", "csv", "parquet", "png", "pdf"]

StationIdText = Annotated[str, StringConstraints(pattern=STATION_ID_PATTERN, strict=True)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64, strict=True)]
Strict = ConfigDict(extra="forbid", frozen=True)


class StepBody(BaseModel):
    """Another power from an instant on: `after_s` the start of the order, or at `from` (or `from_s`)."""

    model_config = ConfigDict(**Strict, json_schema_extra={"examples": [{"after_s": "15min", "discharge_power_w": "2MW"}]})

    discharge_power_w: AskedPower
    after_s: Duration | None = None
    at: Annotated[InstantText | None, Field(alias="from")] = None
    from_s: InstantNumber | None = None

    @model_validator(mode="after")
    def _one_instant(self) -> Self:
        if sum(each is not None for each in (self.after_s, self.at, self.from_s)) != 1:
            raise ValueError("give exactly one of after_s, from and from_s.")
        return self

    def step(self) -> OrderStep:
        """The step in the words of the domain."""
        return OrderStep(
            discharge_power_w=self.discharge_power_w, after_s=self.after_s, from_s=self.at if self.at is not None else self.from_s
        )


class StreamBody(BaseModel):
    """A target that comes value by value, and what becomes of it when no value comes: it holds, then goes down to zero."""

    model_config = ConfigDict(**Strict, json_schema_extra={"examples": [{"timeout_s": 30, "hold_s": 60, "ramp_down_s": 300}]})

    timeout_s: Annotated[Duration, Field(description="So long after the last value its source counts as silent [s].")] = 30.0
    hold_s: Annotated[Duration, Field(description="The last value holds for so long after that [s].")] = 60.0
    ramp_down_s: Annotated[Duration, Field(description="Then the target goes down to zero within this time [s].")] = 300.0


class OrderBody(BaseModel):
    """An order to discharge. Start now, unless `start` or `start_s` says when."""

    model_config = ConfigDict(
        **Strict,
        json_schema_extra={
            "examples": [
                {"discharge_power_w": "2.5MW", "duration_s": "15min", "start": "2026-11-22T17:00:00Z"},
                {"discharge_power_w": 1_400_000, "duration_s": 240, "policy": "hybrid", "mode": "net_export", "dry_run": True},
                {"discharge_power_w": "1MW", "duration_s": "1h", "steps": [{"after_s": "15min", "discharge_power_w": "2MW"}]},
                {"discharge_power_w": "2MW", "duration_s": "1h", "stream": {"timeout_s": 30}, "full_activation_s": "5min"},
            ]
        },
    )

    discharge_power_w: DischargePower
    duration_s: Duration
    start: InstantText | None = None
    start_s: InstantNumber | None = None
    pool: Annotated[Name, Field(description="Named group of sites; `all` is every site.", examples=["all"])] = ALL_SITES
    policy: Annotated[AllocationPolicy, Field(description="How the target is split over the cars.")] = AllocationPolicy.HYBRID
    mode: Annotated[DispatchMode, Field(description="What counts as delivery.")] = DispatchMode.NET_EXPORT
    priority: Annotated[
        int, Field(strict=True, ge=-1000, le=1000, description="A later order of higher priority displaces an earlier one.", examples=[0])
    ] = 0
    require_full: Annotated[
        bool, Field(strict=True, description="Refuse the order unless all of its power can be committed; otherwise the shortfall is told.")
    ] = False
    control_path: Annotated[
        ControlPath,
        Field(description="Who moves the cars: `central` = setpoints; `afrr` = one signal for all; `local_frequency` = each station."),
    ] = ControlPath.CENTRAL
    steps: Annotated[
        tuple[StepBody, ...], Field(description="Powers after the first, in the order of time: a stepped profile.", max_length=10_000)
    ] = ()
    stream: Annotated[
        StreamBody | None, Field(description="The target comes value by value; discharge_power_w is the most that will be asked.")
    ] = None
    ramp_w_per_s: Ramp | None = None
    full_activation_s: Annotated[
        Duration | None, Field(description="The same as a ramp: time from zero to discharge_power_w; a number in s, or a text.")
    ] = None
    ramp_out_s: Annotated[
        Duration | None, Field(description="The target goes down to zero over this last part of the window; a number in s, or a text.")
    ] = None
    headroom_frac: Annotated[
        float | None,
        Field(strict=True, ge=0, lt=1, description="Share of what the pool can give that stands by [0..1]; default: as the server is set."),
    ] = None
    headroom_power_w: AskedPower | None = None
    baseline: Annotated[
        BaselineMethod | None, Field(description="What a relative order is settled against; default: as the server is set.")
    ] = None
    dry_run: Annotated[bool, Field(strict=True, description="Answer what is feasible, and start nothing.")] = False

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Self:
        if self.start is not None and self.start_s is not None:
            raise ValueError("give either start or start_s, not both.")
        if self.ramp_w_per_s is not None and self.full_activation_s is not None:
            raise ValueError("give either ramp_w_per_s or full_activation_s, not both.")
        if self.headroom_frac is not None and self.headroom_power_w is not None:
            raise ValueError("give either headroom_frac or headroom_power_w, not both.")
        return self

    def order(self, by: str) -> DispatchOrder:
        """The order in the words of the domain."""
        named = self.headroom_power_w if self.headroom_frac is None else self.headroom_frac
        return DispatchOrder(
            discharge_power_w=self.discharge_power_w,
            duration_s=self.duration_s,
            start_s=self.start if self.start is not None else self.start_s,
            pool=PoolId(self.pool),
            policy=self.policy,
            mode=self.mode,
            priority=self.priority,
            control_path=self.control_path,
            ordered_by=by,
            require_full=self.require_full,
            steps=tuple(step.step() for step in self.steps),
            stream=None if self.stream is None else StreamTerms(**self.stream.model_dump()),
            ramp_w_per_s=self.discharge_power_w / self.full_activation_s if self.full_activation_s is not None else self.ramp_w_per_s,
            ramp_out_s=self.ramp_out_s or 0.0,
            headroom=None if named is None else Headroom(share_frac=self.headroom_frac, power_w=self.headroom_power_w),
            baseline=self.baseline,
        )


class ValueBody(BaseModel):
    """One value of a streamed target. Its number or its time keeps a late or doubled one from winning; give one of them, or both."""

    model_config = ConfigDict(**Strict, json_schema_extra={"examples": [{"discharge_power_w": "1.2MW", "sequence": 4711}]})

    discharge_power_w: AskedPower
    sequence: Annotated[
        int | None, Field(strict=True, ge=0, le=2**53, description="Number of the value at its source, ascending.", examples=[4711])
    ] = None
    at: InstantText | None = None
    at_s: InstantNumber | None = None

    @model_validator(mode="after")
    def _one_instant(self) -> Self:
        if self.at is not None and self.at_s is not None:
            raise ValueError("give either at or at_s, not both.")
        return self

    def value(self) -> StreamValue:
        """The value in the words of the domain."""
        return StreamValue(
            discharge_power_w=self.discharge_power_w,
            sequence=self.sequence,
            said_at_s=self.at if self.at is not None else self.at_s,
        )


class NoteBody(BaseModel):
    """What a person notes of a dispatch."""

    model_config = ConfigDict(**Strict, json_schema_extra={"examples": [{"text": "The grid operator asked for 200 kW less by telephone."}]})

    text: Annotated[str, StringConstraints(min_length=1, max_length=500, strict=True), Field(description="What is noted.")]


class AmendBody(BaseModel):
    """A change of power, of the end, or of both."""

    model_config = ConfigDict(**Strict, json_schema_extra={"examples": [{"discharge_power_w": "2MW"}, {"end": "2026-11-22T17:20:00Z"}]})

    discharge_power_w: DischargePower | None = None
    end: InstantText | None = None
    end_s: InstantNumber | None = None

    @model_validator(mode="after")
    def _something_to_change(self) -> Self:
        if self.end is not None and self.end_s is not None:
            raise ValueError("give either end or end_s, not both.")
        if self.discharge_power_w is None and self.end is None and self.end_s is None:
            raise ValueError("say what to change: discharge_power_w, or end (or end_s).")
        return self

    def amendment(self) -> Amendment:
        """The change in the words of the domain."""
        return Amendment(discharge_power_w=self.discharge_power_w, end_s=self.end if self.end is not None else self.end_s)


class StationBody(BaseModel):
    """A station that may connect."""

    model_config = ConfigDict(**Strict, json_schema_extra={"examples": [{"station_id": "CS-1", "site_id": "depot", "password": None}]})

    station_id: Annotated[StationIdText, Field(description="Identity, as in its OCPP address.", examples=["CS-1"])]
    site_id: Annotated[
        Name | None,
        Field(
            description="Site it stands at; without it, a known station keeps its site, a new one gets the server's default.",
            examples=["depot"],
        ),
    ] = None
    security_profile: Annotated[
        int,
        Field(strict=True, ge=1, le=3, description="Lowest OCPP security profile that it may come in by.", examples=[1]),
    ] = 1
    serial_number: Annotated[
        Annotated[str, StringConstraints(strict=True, min_length=1, max_length=25)] | None,
        Field(description="Serial number that its certificate names in place of its identity (profile 3).", examples=["SN-0815"]),
    ] = None
    password: Annotated[
        Annotated[str, StringConstraints(strict=True, max_length=200)] | None,
        Field(description="Password for HTTP Basic authentication; null = none is asked (trusted network only). Stored as a salted hash."),
    ] = None


By = Annotated[Name, Field(description="The person who says so; it is kept.", examples=["M. Rivera, site operator"])]
Note = Annotated[Annotated[str, StringConstraints(max_length=500, strict=True)], Field(description="Why, or on what ground; it is kept.")]


class LoadBody(BaseModel):
    """A reading of other load."""

    model_config = ConfigDict(**Strict, json_schema_extra={"examples": [{"group": "site depot", "power_w": 12_500}]})

    group: Annotated[Name, Field(description="The feeder or site, as `GET /api/v1/limits` names it.", examples=["site depot"])]
    power_w: Annotated[float, Field(strict=True, ge=-1e10, le=1e10, description="Drawn from the grid; negative = something generates [W].")]


class CommitmentBody(BaseModel):
    """A commitment to an offer, or to a part of it."""

    model_config = ConfigDict(**Strict, json_schema_extra={"examples": [{"offer_id": "o-9b1d4e70", "power_w": "400kW"}]})

    offer_id: Annotated[Name, Field(description="The offer, as `GET /api/v1/offer` named it.", examples=["o-9b1d4e70"])]
    power_w: Annotated[DischargePower | None, Field(description="How much of it; null = all.")] = None
    holder: Annotated[
        Name | None,
        Field(
            description="Whose orders call it, as `ordered_by` of a dispatch tells; null = those of this token.", examples=["api:tso-north"]
        ),
    ] = None


class PriorityBody(BaseModel):
    """The word of a site's operator: who has priority there over other systems."""

    model_config = ConfigDict(
        **Strict, json_schema_extra={"examples": [{"leader": "us", "by": "M. Rivera, site operator", "note": "contract of May 2026"}]}
    )

    leader: Annotated[Leader, Field(description="`us`: our profiles go above theirs; `them`: their EVSEs are not dispatched.")]
    by: By
    note: Note = ""


class ReleaseBody(BaseModel):
    """A person lets a station take part again."""

    model_config = ConfigDict(**Strict, json_schema_extra={"examples": [{"by": "M. Rivera", "note": "meter rewired"}]})

    by: By
    note: Note = ""


class AuthorityBody(BaseModel):
    """A root certificate for a station."""

    model_config = ConfigDict(**Strict, json_schema_extra={"examples": [{"use": "CSMSRootCertificate", "certificate": None}]})

    use: Annotated[
        Literal["V2GRootCertificate", "MORootCertificate", "ManufacturerRootCertificate", "CSMSRootCertificate", "OEMRootCertificate"],
        Field(description="What the station shall trust it for, as OCPP spells it.", examples=["CSMSRootCertificate"]),
    ] = "CSMSRootCertificate"
    certificate: Annotated[
        Annotated[str, StringConstraints(strict=True, min_length=1, max_length=10_000)] | None,
        Field(description="PEM; null = the root of the built-in authority."),
    ] = None


class RevocationBody(BaseModel):
    """Certificates of the built-in authority to be revoked for ever: all of a station, or one."""

    model_config = ConfigDict(
        **Strict, json_schema_extra={"examples": [{"station_id": "CS-1", "reason": "keyCompromise"}, {"serial": "4f1d02a96c3e"}]}
    )

    station_id: Annotated[StationIdText | None, Field(description="All that are in force for this station.", examples=["CS-1"])] = None
    serial: Annotated[
        Annotated[str, StringConstraints(strict=True, pattern=SERIAL_PATTERN)] | None,
        Field(description="Serial number, hexadecimal; also of one that is not in the book.", examples=["4f1d02a96c3e"]),
    ] = None
    reason: Annotated[
        Literal["unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation", "privilegeWithdrawn"],
        Field(description="Why, as RFC 5280 spells it; it is in the revocation list."),
    ] = "unspecified"

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.station_id is None) == (self.serial is None):
            raise ValueError("give either station_id or serial.")
        return self


class CallBody(BaseModel):
    """Any OCPP request."""

    model_config = ConfigDict(
        **Strict, json_schema_extra={"examples": [{"action": "TriggerMessage", "payload": {"requestedMessage": "Heartbeat"}}]}
    )

    action: Annotated[
        Annotated[str, StringConstraints(pattern=ACTION_PATTERN, strict=True)],
        Field(description="OCPP action, such as GetVariables.", examples=["GetVariables"]),
    ]
    payload: Annotated[dict[str, Any], Field(description="The request, as OCPP spells it.")]
