"""Answers of stations that tell something by themselves, as events."""

from typing import Any, Final

from msgspec import UNSET

from counterflow.adapters.ocpp.foreign_limits import composite_told
from counterflow.domain.commands import Command, ReadComposite, ReadTransaction
from counterflow.domain.telemetry import StationEvent, TransactionTold

TELLING: Final = (ReadComposite, ReadTransaction)
"""Commands whose answers tell something besides how they ended."""


def told_by(command: Command, response: Any, now_s: float) -> list[StationEvent]:
    """What an answer to `command` tells besides how it ended."""
    if isinstance(command, ReadComposite):
        return composite_told(command, response, now_s)
    if isinstance(command, ReadTransaction):
        ongoing = None if response.ongoing_indicator is UNSET else bool(response.ongoing_indicator)
        told = TransactionTold(
            station_id=command.station_id,
            transaction_id=command.transaction_id,
            at_s=now_s,
            ongoing=ongoing,
            queued=bool(response.messages_in_queue),
        )
        return [told]
    return []
