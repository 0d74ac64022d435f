"""Request bodies about drivers."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from counterflow.adapters.web.glossary import words
from counterflow.adapters.web.models import Strict
from counterflow.adapters.web.units import InstantNumber, InstantText
from counterflow.domain.drivers import Scope, SessionOverride

Identifier = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, strict=True),
    Field(description="The id token, EVCCID or contract in clear, or its pseudonym.", examples=["DECFW000000001"]),
]
Share = Annotated[float, Field(ge=0.0, le=1.0, strict=True, allow_inf_nan=False)]
Energy = Annotated[float, Field(ge=0.0, strict=True, allow_inf_nan=False)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=64, strict=True)]


def _said(name: str) -> str:
    return words("PartialTerms", name)


class TermsBody(BaseModel):
    """The fields that are to change; null = as the wider scope."""

    model_config = ConfigDict(**Strict)

    consent: Annotated[bool | None, Field(strict=True, description=_said("consent"))] = None
    pausing: Annotated[bool | None, Field(strict=True, description=_said("pausing"))] = None
    max_pause_s: Annotated[Annotated[float, Field(ge=0.0, le=604_800.0, strict=True)] | None, Field(description=_said("max_pause_s"))] = (
        None
    )
    min_soc_frac: Annotated[Share | None, Field(description=_said("min_soc_frac"))] = None
    target_soc_frac: Annotated[Share | None, Field(description=_said("target_soc_frac"))] = None
    departure_after_s: Annotated[
        Annotated[float, Field(gt=0.0, le=604_800.0, strict=True)] | None, Field(description=_said("departure_after_s"))
    ] = None
    transfer_by_evse_alone: Annotated[bool | None, Field(strict=True, description=_said("transfer_by_evse_alone"))] = None
    blackouts: Annotated[
        Annotated[list[ShortText], Field(max_length=32)] | None,
        Field(description=_said("blackouts"), examples=[["mon-fri 06:30-09:00"]]),
    ] = None
    timezone: Annotated[ShortText | None, Field(description=_said("timezone"), examples=["Europe/Berlin"])] = None
    max_session_discharge_wh: Annotated[Energy | None, Field(description=_said("max_session_discharge_wh"))] = None
    max_day_discharge_wh: Annotated[Energy | None, Field(description=_said("max_day_discharge_wh"))] = None
    max_year_discharge_wh: Annotated[Energy | None, Field(description=_said("max_year_discharge_wh"))] = None
    max_year_cycles: Annotated[Energy | None, Field(description=_said("max_year_cycles"))] = None
    wear_cost_per_kwh: Annotated[Energy | None, Field(description=_said("wear_cost_per_kwh"))] = None
    vehicle_model: Annotated[ShortText | None, Field(description=_said("vehicle_model"), examples=["Make Model 2025"])] = None
    contract: Annotated[ShortText | None, Field(description=_said("contract"))] = None


class AgreementBody(BaseModel):
    """What is to be agreed, and with whom."""

    model_config = ConfigDict(
        **Strict,
        json_schema_extra={
            "examples": [
                {"id": "DECFW000000001", "label": "van 7", "terms": {"consent": True, "min_soc_frac": 0.4, "max_day_discharge_wh": 20000}}
            ]
        },
    )

    scope: Annotated[Scope, Field(description="Whom it is about.")] = Scope.DRIVER
    id: Identifier
    label: Annotated[
        Annotated[str, StringConstraints(max_length=100, strict=True)] | None,
        Field(description="A name of your own, shown in lists; do not write a person's name here unless you may."),
    ] = None
    terms: Annotated[TermsBody, Field(description="The fields that are to change.")]


class WhoBody(BaseModel):
    """A person, car or contract."""

    model_config = ConfigDict(**Strict, json_schema_extra={"examples": [{"id": "DECFW000000001"}]})

    id: Identifier


class ImportBody(BaseModel):
    """A CSV file of agreements."""

    model_config = ConfigDict(**Strict, json_schema_extra={"examples": [{"csv": "id,consent,min_soc\nDECFW1,yes,40%\n", "dry_run": True}]})

    csv: Annotated[str, Field(strict=True, min_length=1, description="The whole file; its first line names the columns.")]
    dry_run: Annotated[bool, Field(strict=True, description="Look at every row, and take none.")] = False


class OverrideBody(BaseModel):
    """What a driver says for a session: `stop` now, `depart` at an instant, `keep` at least so much, or `clear` what was said before."""

    model_config = ConfigDict(
        **Strict,
        json_schema_extra={
            "examples": [{"say": "stop"}, {"say": "depart", "departure": "2026-11-22T15:00:00Z"}, {"say": "keep", "min_soc_frac": 0.6}]
        },
    )

    say: Annotated[Literal["stop", "depart", "keep", "clear"], Field(description="What the driver says.")]
    departure: InstantText | None = None
    departure_s: InstantNumber | None = None
    min_soc_frac: Annotated[
        Share | None, Field(description="With keep: the state of charge that is left at least; it never lowers what is agreed [0..1].")
    ] = None

    @model_validator(mode="after")
    def _one_departure(self) -> Self:
        given = (self.departure is not None) + (self.departure_s is not None)
        if given != (self.say == "depart"):
            raise ValueError("'depart' needs departure (or departure_s), the others take none.")
        if (self.min_soc_frac is not None) != (self.say == "keep"):
            raise ValueError("'keep' needs min_soc_frac, the others take none.")
        return self

    def said(self, by: str) -> SessionOverride:
        """The driver's word; its time comes from the server."""
        return SessionOverride(
            stop=self.say == "stop",
            departure_s=self.departure if self.departure is not None else self.departure_s,
            min_soc_frac=self.min_soc_frac,
            by=by,
        )
