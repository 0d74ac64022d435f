"""Request bodies of grid operators' systems: the messages of `domain.program_words`, in the sign and unit of their program."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from counterflow.adapters.web.models import Strict
from counterflow.adapters.web.patterns import ORDER_KEY_PATTERN
from counterflow.adapters.web.units import InstantText
from counterflow.domain.grid import GridUnit
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.program_translation import instant
from counterflow.domain.program_words import MOST_STEPS, OrderWords, SetpointWords, StepWords

Value = Annotated[
    float,
    Field(strict=True, allow_inf_nan=False, ge=-1e12, le=1e12, description="Power in the program's sign and the unit named beside it."),
]
Unit = Annotated[GridUnit, Field(description="Unit of the powers; must be the one agreed for the program.")]
OrderKey = Annotated[
    str,
    Field(strict=True, pattern=ORDER_KEY_PATTERN, description="The sender's own name of the order; the same key is the same order."),
]


class ProgramStepBody(BaseModel):
    """From an instant on, so much is asked, until the next step or the end."""

    model_config = ConfigDict(**Strict)

    at: Annotated[InstantText, Field(alias="from", description="Begin, in RFC 3339 with its time zone; in the past = now.")]
    value: Value


class ProgramChangeBody(BaseModel):
    """What is ordered: steps in the order of time, and where the last one ends."""

    model_config = ConfigDict(
        **Strict,
        json_schema_extra={
            "examples": [{"unit": "kW", "steps": [{"from": "2026-11-26T17:00:00Z", "value": 1500}], "end": "2026-11-26T18:00:00Z"}]
        },
    )

    unit: Unit
    steps: Annotated[tuple[ProgramStepBody, ...], Field(description="In the order of time.", min_length=1, max_length=MOST_STEPS)]
    end: Annotated[InstantText, Field(description="End, in RFC 3339 with its time zone.")]
    mode: Annotated[DispatchMode | None, Field(description="What counts as delivery; null = as agreed for the program.")] = None
    priority: Annotated[int | None, Field(strict=True, ge=-1000, le=1000, description="Larger wins; null = as agreed for the program.")] = (
        None
    )
    note: Annotated[str, Field(strict=True, max_length=500, description="What a person should know of it.")] = ""

    def words(self, key: str) -> OrderWords:
        """The same as a message."""
        return OrderWords(
            key=key,
            unit=self.unit,
            steps=tuple(StepWords(from_=instant(step.at), value=step.value) for step in self.steps),
            end=instant(self.end),
            mode=self.mode,
            priority=self.priority,
            note=self.note,
        )


class ProgramOrderBody(ProgramChangeBody):
    """The same, with the sender's own name of it."""

    model_config = ConfigDict(
        **Strict,
        json_schema_extra={
            "examples": [
                {"key": "o-17", "unit": "kW", "steps": [{"from": "2026-11-26T17:00:00Z", "value": 1500}], "end": "2026-11-26T18:00:00Z"}
            ]
        },
    )

    key: OrderKey


class SetpointBody(BaseModel):
    """One value of a stream of set-points. Numbered or dated, so that a late one is known for one."""

    model_config = ConfigDict(**Strict, json_schema_extra={"examples": [{"value": 1400, "unit": "kW", "sequence": 17}]})

    value: Value
    unit: Unit
    sequence: Annotated[
        int | None, Field(strict=True, ge=0, le=2**53, description="Grows with each value; one that is not larger is a double, or late.")
    ] = None
    at: Annotated[InstantText | None, Field(description="When the value was made, in RFC 3339 with its time zone.")] = None

    def words(self) -> SetpointWords:
        """The same as a message."""
        return SetpointWords(value=self.value, unit=self.unit, sequence=self.sequence, at=None if self.at is None else instant(self.at))
