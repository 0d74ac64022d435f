"""A report against the same one made again: whether it holds to the Wh, and else which part of it differs, in sentences."""

from collections.abc import Iterator
from math import isclose
from typing import Any

import msgspec

from counterflow.domain.delivery import DeliveryReport, SessionDelivery, Stored
from counterflow.domain.units import format_instant
from counterflow.engine.settlement.delivery import build_report
from counterflow.engine.settlement.settings import SettlementSettings

MOST_SENTENCES = 20

_CLOSE = 1e-9
"""Figures that are no whole Wh may differ by this share: another machine may add up in another order."""
_TOLD = frozenset({"sessions", "series", "evidence", "revision"})
"""Told part by part, or no figure of its own."""
_ENERGIES = ("delivered_wh", "exported_wh", "imported_wh", "baseline_wh", "flagged_wh", "recovery_wh")


class NoEvidenceError(ValueError):
    """The report does not say what it was made from; the text is a sentence."""


def remade(said: DeliveryReport, stored: Stored) -> DeliveryReport:
    """The report as it comes out of `stored`, under the settings and as of the time that it names. Raises NoEvidenceError."""
    if said.evidence is None:
        raise NoEvidenceError("The report does not name the settings and meter values that it was made from: it is of an older release.")
    try:
        settings = msgspec.convert(said.evidence.settings, SettlementSettings)
        return build_report(
            stored, said.generated_at_s, step_s=said.series_step_s, settings=settings, final=said.final, version=said.version
        )
    except (msgspec.ValidationError, ValueError) as error:
        raise NoEvidenceError(f"The report cannot be made again under the settings that it names: {error}.") from None


def differences(said: DeliveryReport, made: DeliveryReport) -> tuple[str, ...]:
    """What the report says otherwise than the one that was made again; nothing = it holds. The most telling come first."""
    found = [*_sources(said, made), *_sums(said), *_sessions(said, made), *_series(said, made), *_totals(said, made)]
    if len(found) <= MOST_SENTENCES:
        return tuple(found)
    return (*found[: MOST_SENTENCES - 1], f"... and {len(found) - MOST_SENTENCES + 1} more differences.")


def _sources(said: DeliveryReport, made: DeliveryReport) -> Iterator[str]:
    """Whether log and meter values are those that the report was made from."""
    before, now = said.evidence, made.evidence
    if before is None or now is None:
        return
    if before.log_sha256 != now.log_sha256:
        yield "The dispatch's log is not the one that the report was made from."
    if before.samples_sha256 != now.samples_sha256:
        yield (
            f"The meter values are not those that the report was made from ({before.samples:,} then, {now.samples:,} now); "
            "which sessions they are of is told below, where it is a member's own."
        )


def _sums(said: DeliveryReport) -> Iterator[str]:
    """Whether the report agrees with itself."""
    by_session = sum(session.delivered_wh for session in said.sessions)
    by_interval = sum(point.delivered_energy_wh for point in said.series)
    for name, total_wh in (("sessions", by_session), ("intervals", by_interval)):
        if total_wh != said.delivered_energy_wh:
            whole = _wh(said.delivered_energy_wh)
            yield f"The report contradicts itself: it says {whole} delivered, and its {name} add up to {_wh(total_wh)}."


def _sessions(said: DeliveryReport, made: DeliveryReport) -> Iterator[str]:
    again = {session.session_uid: session for session in made.sessions}
    named = {session.session_uid for session in said.sessions}
    for session in said.sessions:
        other = again.get(session.session_uid)
        if other is None:
            yield f"{_name(session)}: the log knows no such member."
        elif not _same(session, other):
            yield f"{_name(session)}: {_session_words(session, other)}"
    for session in made.sessions:
        if session.session_uid not in named:
            yield f"{_name(session)}: a member that the report leaves out ({_wh(session.delivered_wh)})."


def _session_words(said: SessionDelivery, made: SessionDelivery) -> str:
    figure = next((name for name in _ENERGIES if getattr(said, name) != getattr(made, name)), None)
    values = said.samples_sha256 != made.samples_sha256
    if figure is not None:
        words = f"the report says {_wh(getattr(said, figure))} {_words(figure)}, its meter values give {_wh(getattr(made, figure))}"
        return f"{words}; they are not those that it was made from ({said.samples} then, {made.samples} now)." if values else f"{words}."
    if values:
        return f"its meter values are not those that the report was made from ({said.samples} then, {made.samples} now)."
    name = next(name for name in said.__struct_fields__ if not _same(getattr(said, name), getattr(made, name)))
    return f"'{name}' is {getattr(said, name)} in the report and {getattr(made, name)} when made again."


def _series(said: DeliveryReport, made: DeliveryReport) -> Iterator[str]:
    if len(said.series) != len(made.series):
        yield f"The report has {len(said.series)} intervals, made again it has {len(made.series)}."
        return
    for point, other in zip(said.series, made.series, strict=True):
        if _same(point, other):
            continue
        at = format_instant(other.from_s)
        if point.delivered_energy_wh != other.delivered_energy_wh:
            yield (
                f"The interval from {at}: the report says {_wh(point.delivered_energy_wh)} delivered, "
                f"the meter values give {_wh(other.delivered_energy_wh)}."
            )
        else:
            name = next(name for name in point.__struct_fields__ if not _same(getattr(point, name), getattr(other, name)))
            yield f"The interval from {at}: '{name}' is {getattr(point, name)} in the report and {getattr(other, name)} when made again."


def _totals(said: DeliveryReport, made: DeliveryReport) -> Iterator[str]:
    for name in said.__struct_fields__:
        if name in _TOLD or _same(getattr(said, name), getattr(made, name)):
            continue
        if name == "delivered_energy_wh":
            then, now = _wh(said.delivered_energy_wh), _wh(made.delivered_energy_wh)
            yield f"Delivered in all: the report says {then}, the meter values give {now}."
        elif name == "instruction":
            yield f"The order is not the one on record: {', '.join(_fields(said.instruction, made.instruction))} differ."
        elif isinstance(getattr(said, name), int | float | str):
            yield f"'{name}' is {getattr(said, name)} in the report and {getattr(made, name)} when made again."
        else:
            yield f"'{name}' is not what it is when made again."


def _fields(one: Any, other: Any) -> list[str]:
    return [name for name in one.__struct_fields__ if not _same(getattr(one, name), getattr(other, name))]


def _same(one: Any, other: Any) -> bool:
    """Equal, but for the last bits of a float that is no whole number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or (not float(one).is_integer() and isclose(one, other, rel_tol=_CLOSE))
    if isinstance(one, msgspec.Struct):
        return type(one) is type(other) and all(_same(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _name(session: SessionDelivery) -> str:
    return f"Session {session.transaction_id or session.session_uid} at {session.station_id or 'an unnamed station'}"


def _words(field: str) -> str:
    return {"baseline_wh": "of baseline", "flagged_wh": "flagged", "recovery_wh": "recovered"}.get(field, field.removesuffix("_wh"))


def _wh(energy_wh: float) -> str:
    return f"{energy_wh:,.0f} Wh"
