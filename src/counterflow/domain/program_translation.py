"""Between the words of a program (its own sign and unit) and ours (W, discharge positive), in both directions."""

from datetime import UTC, datetime

from counterflow.domain.dispatch_views import DispatchView
from counterflow.domain.grid import (
    WATTS,
    GridAnswer,
    GridOrder,
    GridOrderRecord,
    GridOutcome,
    GridStep,
    GridUnit,
    PoolTelemetry,
    Program,
    Sign,
    discharge_power_w_of,
    value_of,
)
from counterflow.domain.offers import Offer
from counterflow.domain.program_words import (
    AnswerWords,
    OfferLevelWords,
    OfferWords,
    OrderState,
    OrderWords,
    SetpointWords,
    StepWords,
    TelemetryWords,
)
from counterflow.domain.views import Refusal, RefusalKind

AHEAD_S = 10.0
"""So much may a sender's clock be ahead of ours."""
_LAST_S = 253_402_300_799.0
"""The last second of the year 9999: what has no end is written so."""


class Terms:
    """The sign and unit agreed for a program. Raises ValueError when one is not: they are never guessed."""

    def __init__(self, program: Program) -> None:
        if program.sign is None or program.unit is None:
            raise ValueError(f"the program '{program.name}' has no sign or no unit")
        self.program = program
        self.sign: Sign = program.sign
        self.unit: GridUnit = program.unit

    def value(self, discharge_power_w: float | None) -> float | None:
        """A discharge power as the program writes it."""
        return None if discharge_power_w is None else value_of(discharge_power_w, self.sign, self.unit)

    def magnitude(self, watts: float | None) -> float | None:
        """What has no direction: W (Wh, W/s) in the program's unit (times one hour, per second)."""
        return None if watts is None else watts / WATTS[self.unit]

    def order(self, words: OrderWords) -> GridOrder | Refusal:
        """What was ordered, or that its unit is another one."""
        if words.unit is not self.unit:
            return self._other_unit(words.unit)
        return GridOrder(
            program=self.program.name,
            key=words.key,
            steps=tuple(
                GridStep(from_s=step.from_.timestamp(), discharge_power_w=discharge_power_w_of(step.value, self.sign, self.unit))
                for step in words.steps
            ),
            end_s=words.end.timestamp(),
            mode=words.mode,
            priority=words.priority,
            note=words.note,
        )

    def setpoint_w(self, words: SetpointWords, now_s: float) -> float | Refusal:
        """What is asked now, W, discharge positive; or that its unit is another one, or that it is not of now."""
        if words.unit is not self.unit:
            return self._other_unit(words.unit)
        age_s = 0.0 if words.at is None else now_s - words.at.timestamp()
        if not -AHEAD_S <= age_s <= self.program.stream_timeout_s:
            return Refusal(
                kind=RefusalKind.INVALID,
                sentence=f"The set-point was made {age_s:.0f} s ago."
                if age_s > 0
                else f"The set-point is {-age_s:.0f} s ahead of our clock.",
                remedy=f"Send values of now (at most {self.program.stream_timeout_s:g} s old), and hold both clocks by NTP.",
            )
        return discharge_power_w_of(words.value, self.sign, self.unit)

    def answer(self, about: str, answer: GridAnswer, now_s: float, *, key: str | None = None, sequence: int | None = None) -> AnswerWords:
        """What became of what was said."""
        found, refusal = answer.feasibility, answer.refusal
        return AnswerWords(
            program=self.program.called,
            about=about,
            key=key,
            sequence=sequence,
            at=instant(now_s),
            outcome=answer.outcome.value,
            dispatch_id=answer.dispatch_id,
            sign=self.sign,
            unit=self.unit,
            promised_power=self.value(found.committed_power_w) if found else None,
            expected_power=self.value(found.expected_power_w) if found else None,
            shortfall_power=self.magnitude(found.shortfall_power_w) if found else None,
            problem=refusal.sentence if refusal else None,
            remedy=refusal.remedy if refusal else None,
        )

    def malformed(self, about: str, problem: str, remedy: str, now_s: float, key: str | None = None) -> AnswerWords:
        """What was said could not be read."""
        return AnswerWords(
            program=self.program.called,
            about=about,
            key=key,
            at=instant(now_s),
            outcome="malformed",
            sign=self.sign,
            unit=self.unit,
            problem=problem,
            remedy=remedy,
        )

    def telemetry(self, record: PoolTelemetry) -> TelemetryWords:
        """A record as the program reads it."""
        return TelemetryWords(
            program=self.program.called,
            pool=record.pool,
            sequence=record.sequence,
            at=instant(record.at_s),
            sign=self.sign,
            unit=self.unit,
            measured_power=self.value(record.measured_power_w),
            baseline_power=self.value(record.baseline_power_w),
            target_power=self.value(record.target_power_w),
            delivered_power=self.value(record.delivered_power_w),
            committed_power=self.value(record.committed_power_w),
            up_power=self.magnitude(record.up_power_w),
            up_energy=self.magnitude(record.up_energy_wh),
            down_power=self.magnitude(record.down_power_w),
            ramp_per_s=self.magnitude(record.ramp_w_per_s),
            sessions=record.sessions,
            sessions_ready=record.sessions_ready,
            unmeasured_sessions=record.unmeasured_sessions,
            meter_age_s=record.meter_age_s,
            quality=record.quality,
            available=record.available,
            following=record.following,
            fault=record.fault,
            storage_at=None if record.storage_at_s is None else instant(record.storage_at_s),
            stored_energy=self.magnitude(record.stored_energy_wh),
            storage_capacity=self.magnitude(record.storage_capacity_wh),
            usable_energy=self.magnitude(record.usable_energy_wh),
            max_discharge_power=self.magnitude(record.max_discharge_power_w),
            max_charge_power=self.magnitude(record.max_charge_power_w),
            storage_unknown_sessions=record.storage_unknown_sessions,
            storage_quality=record.storage_quality,
        )

    def offer(self, offer: Offer) -> OfferWords:
        """What can surely be given, as the program reads it."""
        per = WATTS[self.unit]
        return OfferWords(
            start=instant(offer.start_s),
            window_s=offer.window_s,
            confidence=offer.confidence,
            power=offer.power_w / per,
            energy=offer.energy_wh / per,
            mode=offer.mode,
            levels=tuple(
                OfferLevelWords(confidence=one.confidence, power=one.power_w / per, energy=one.energy_wh / per) for one in offer.levels
            ),
            scenarios=offer.scenarios,
            method=offer.method,
        )

    def standing(self, record: GridOrderRecord, view: DispatchView | None) -> OrderState:
        """An order as it stands; `view` = its dispatch, if it has one that is known."""
        order = record.order
        return OrderState(
            key=order.key,
            revision=record.revision,
            outcome=record.outcome.value,
            problem=record.sentence,
            dispatch_id=record.dispatch_id,
            state=view.instruction.state.value if view else None,
            state_reason=view.instruction.state_reason if view else "",
            steps=tuple(
                StepWords(from_=instant(step.from_s), value=value_of(step.discharge_power_w, self.sign, self.unit)) for step in order.steps
            ),
            end=instant(order.end_s),
        )

    def _other_unit(self, said: GridUnit) -> Refusal:
        return Refusal(
            kind=RefusalKind.INVALID,
            sentence=f"The message is in {said.value}, and program '{self.program.name}' is agreed in {self.unit.value}.",
            remedy=f'Send values in {self.unit.value} and "unit": "{self.unit.value}".',
        )


def refused(refusal: Refusal) -> GridAnswer:
    """The answer to what never came as far as the desk."""
    return GridAnswer(outcome=GridOutcome.REFUSED, refusal=refusal)


def instant(at_s: float) -> datetime:
    """Epoch seconds as the messages write them, to the millisecond; within 1970 and 9999."""
    return datetime.fromtimestamp(round(min(max(at_s, 0.0), _LAST_S), 3), UTC)
