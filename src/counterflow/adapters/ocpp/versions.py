"""The versions of OCPP that are served, and what differs between them: words, handlers, the spelling of commands, discovery.

Everything behind this file sees one kind of station: the same events, whatever the version.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from counterflow.adapters.ocpp import messages, messages_v16, messages_v201, profiles, profiles_v16, profiles_v201
from counterflow.adapters.ocpp.dialect import OCPP_1_6, OCPP_2_0_1, OCPP_2_1, Dialect
from counterflow.adapters.ocpp.discovery.configuration import change_configuration, read_configuration, read_connectors
from counterflow.adapters.ocpp.discovery.dialogue import DEVICE_MODEL, Manner
from counterflow.adapters.ocpp.handlers import v201
from counterflow.adapters.ocpp.handlers.authorization import response_to
from counterflow.adapters.ocpp.handlers.context import Handler
from counterflow.adapters.ocpp.handlers.v16 import core
from counterflow.adapters.ocpp.handlers.v16.routes import ROUTES_1_6
from counterflow.adapters.ocpp.policy import AuthorizationAnswer
from counterflow.adapters.ocpp.router import ROUTES


class Version(Struct, frozen=True, kw_only=True):
    """`in_its_words` turns a request of 2.1 that discovery makes into that of this version, where its own script does not."""

    dialect: Dialect
    routes: Mapping[str, Handler]
    to_request: Callable[[profiles.Addressed, float], tuple[str, Struct]]
    in_its_words: Callable[[str, Struct], Struct]
    manner: Manner
    authorized: Callable[[AuthorizationAnswer], Struct]
    """The answer to an Authorize that was deferred."""
    please_boot: Struct
    """TriggerMessage for a BootNotification."""


VERSIONS: Final[dict[str, Version]] = {
    version.dialect.subprotocol: version
    for version in (
        Version(
            dialect=OCPP_2_1,
            routes=ROUTES,
            to_request=profiles.to_request,
            in_its_words=lambda _action, request: request,
            manner=DEVICE_MODEL,
            authorized=response_to,
            please_boot=messages.TriggerMessageRequest(requested_message="BootNotification"),
        ),
        Version(
            dialect=OCPP_2_0_1,
            routes=v201.ROUTES_2_0_1,
            to_request=profiles_v201.to_request,
            in_its_words=profiles_v201.in_its_words,
            manner=DEVICE_MODEL._replace(no_setpoints="OCPP 2.0.1 has no setpoints: the car can be charged, not discharged"),
            authorized=v201.authorized,
            please_boot=messages_v201.TriggerMessageRequest(requested_message="BootNotification"),
        ),
        Version(
            dialect=OCPP_1_6,
            routes=ROUTES_1_6,
            to_request=profiles_v16.to_request,
            in_its_words=lambda _action, request: request,
            manner=Manner(
                read_configuration,
                read_connectors,
                change_configuration,
                no_setpoints="OCPP 1.6 has no setpoints: the car can be charged, not discharged",
                tells_needs=False,
            ),
            authorized=core.authorized,
            please_boot=messages_v16.TriggerMessageRequest(requested_message="BootNotification"),
        ),
    )
}
"""By subprotocol, newest first."""
