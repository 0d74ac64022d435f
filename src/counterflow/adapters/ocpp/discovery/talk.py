"""What the scripts of one discovery share: what to ask next, and what has been learned.

A script is a generator: it yields what to ask and is sent what came of it. It knows no clock and no connection.
"""

from collections.abc import Callable, Generator
from typing import Final, NamedTuple, TypeVar

from msgspec import Struct

from counterflow.adapters.ocpp.discovery.batches import MessageLimit
from counterflow.adapters.ocpp.discovery.values import DeviceModel
from counterflow.adapters.ocpp.discovery.variables import BYTES, ITEMS, LIMITED
from counterflow.adapters.ocpp.events import CallOutcome
from counterflow.adapters.ocpp.settings import OcppSettings
from counterflow.domain.station_settings import ChangedSetting, StationVariable

NO_ANSWER: Final = "the station did not answer"
"""How the reasons begin that a later connection may cure."""
HOPELESS: Final = frozenset({"NotSupported", "NotImplemented", "SecurityError"})
"""CALLERRORs after which asking again is of no use."""

Result = TypeVar("Result")


class Ask(NamedTuple):
    """A call to make; the script is sent its `CallOutcome`."""

    action: str
    request: Struct


class AwaitReport(NamedTuple):
    """Wait for the NotifyReport messages of this request; the script is sent None once they are in, or late."""

    request_id: int


Script = Generator[Ask | AwaitReport, CallOutcome | None, Result]


class GivenUpError(Exception):
    """The station cannot be asked; the text says why."""


class Talk:
    """Mutable, one per discovery."""

    __slots__ = ("after_reboot", "announced", "given_back", "limits", "model", "new_request_id", "now_s", "refused", "remarks", "reported",
                 "settings")  # fmt: skip

    def __init__(self, settings: OcppSettings, new_request_id: Callable[[], int]) -> None:
        self.settings = settings
        self.new_request_id = new_request_id
        self.now_s = 0.0
        """When the last answer came in."""
        self.model = DeviceModel()
        self.limits = dict.fromkeys(LIMITED, MessageLimit())
        self.announced: list[ChangedSetting] = []
        """Changes that are about to be sent; handed out before the call that makes them."""
        self.refused: list[StationVariable] = []
        """What the station surely did not set."""
        self.given_back: list[StationVariable] = []
        self.after_reboot: list[StationVariable] = []
        """What is set once the station has booted again."""
        self.remarks: list[str] = []
        """What it refused, and what else is to be known, in sentences."""
        self.reported = False
        """A whole report is in: asking one by one would tell nothing new."""

    def learn_limits(self, most_items: int) -> None:
        """The sizes that the station names hold from now on; for an action that it names none for, it takes no more than for reading."""
        untold = self.limits["GetVariables"].items
        for action in LIMITED:
            items, max_bytes = self.model.whole(ITEMS[action]), self.model.whole(BYTES[action])
            told = min(untold, self.limits[action].items) if not items else min(most_items, items)
            self.limits[action] = MessageLimit(told, max_bytes or None)
            if action == "GetVariables":
                untold = told
