"""The words of one version of OCPP-J: which requests there are, and the type of each in either direction. Data, no behaviour.

Of 2.0.1 a station's messages are read with the types of 2.1, which admit all of them, and ours are held against its own schemas.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from counterflow.adapters.ocpp import messages, messages_v16, messages_v201

Types = Mapping[str, tuple[type[Struct], type[Struct]]]
"""Request and response by action."""


class Dialect(Struct, frozen=True, kw_only=True):
    """`served` = what a station may ask of a CSMS, and the answers; `asked` = what a CSMS may ask of a station, and the answers."""

    subprotocol: str
    name: str
    served: Types
    asked: Types
    from_station: frozenset[str]
    to_station: frozenset[str]
    sends: Mapping[str, type[Struct]] = {}
    error_codes: Mapping[str, str] = {}
    """How this version spells an error code of 2.1, where it does otherwise."""

    def goes_both_ways(self, action: str) -> bool:
        """Either side may ask this (DataTransfer)."""
        return action in self.from_station and action in self.to_station


OCPP_2_1: Final = Dialect(
    subprotocol="ocpp2.1",
    name="OCPP 2.1",
    served=messages.ACTIONS,
    asked=messages.ACTIONS,
    from_station=messages.FROM_STATION,
    to_station=messages.TO_STATION,
    sends=messages.SENDS,
)

OCPP_2_0_1: Final = Dialect(
    subprotocol="ocpp2.0.1",
    name="OCPP 2.0.1",
    served={action: (messages.ACTIONS[action][0], answer) for action, answer in messages_v201.RESPONSES.items()},
    asked={action: (request, messages.ACTIONS[action][1]) for action, request in messages_v201.REQUESTS.items()},
    from_station=frozenset(messages_v201.RESPONSES),
    to_station=frozenset(messages_v201.REQUESTS),
)

OCPP_1_6: Final = Dialect(
    subprotocol="ocpp1.6",
    name="OCPP 1.6",
    served={action: messages_v16.ACTIONS[action] for action in messages_v16.FROM_STATION},
    asked={action: messages_v16.ACTIONS[action] for action in messages_v16.TO_STATION},
    from_station=messages_v16.FROM_STATION,
    to_station=messages_v16.TO_STATION,
    error_codes={
        "FormatViolation": "FormationViolation",
        "OccurrenceConstraintViolation": "OccurenceConstraintViolation",  # as its text misspells it
        "RpcFrameworkError": "GenericError",
        "MessageTypeNotSupported": "ProtocolError",
    },
)
