"""The HTTP half of a station's connection: which station it claims to be, whether it may come in, and what is agreed on the way."""

import urllib.parse
from collections.abc import Iterable, Sequence
from http import HTTPStatus

from picows import WSUpgradeRequest

from counterflow.adapters.ocpp.credentials import Credentials, parse_basic
from counterflow.adapters.ocpp.deflate import DeflateAgreement, agree
from counterflow.adapters.ocpp.transport import Refused
from counterflow.domain.ids import StationId

LONGEST_IDENTITY = 48
_IDENTITY_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-_=+|@.")
"""identifierString without the colon, which would break HTTP Basic (OCPP-J 3.1.1)."""
_HEX = frozenset(b"0123456789abcdefABCDEF")

CHALLENGE = {"WWW-Authenticate": 'Basic realm="OCPP", charset="UTF-8"'}


def station_id_of(target: bytes, prefix: str) -> StationId | None:
    """The identity in a request target `<prefix>/<percent-encoded identity>`; None for anything that is not exactly that.

    Decoded once and checked after decoding, so that an encoded slash, `..`, a query or a doubly encoded byte finds no way in.
    """
    head = prefix.encode() + b"/"
    if not target.startswith(head):
        return None
    encoded = target[len(head) :]
    if not encoded or len(encoded) > 3 * LONGEST_IDENTITY or not encoded.isascii():
        return None
    for escape in encoded.split(b"%")[1:]:
        if len(escape) < 2 or escape[0] not in _HEX or escape[1] not in _HEX:
            return None
    identity = urllib.parse.unquote_to_bytes(encoded).decode("latin-1")
    if len(identity) > LONGEST_IDENTITY or identity in (".", "..") or not _IDENTITY_CHARACTERS.issuperset(identity):
        return None
    return StationId(identity)


def authorization_of(request: WSUpgradeRequest, station_id: StationId) -> Credentials | Refused | None:
    """The credentials shown, if they are readable and speak of this station; None when none were shown."""
    shown = request.headers.getall("Authorization", [])
    if not shown:
        return None
    credentials = parse_basic(shown[0]) if len(shown) == 1 else None
    if credentials is None:
        return Refused(HTTPStatus.UNAUTHORIZED, "unreadable credentials")
    if credentials.user != station_id:
        return Refused(HTTPStatus.UNAUTHORIZED, "credentials of another station")
    return credentials


def offered_subprotocols(request: WSUpgradeRequest) -> Sequence[str]:
    """What the station offers, in its order of preference."""
    return [name for name in _listed(request.headers.getall("Sec-WebSocket-Protocol", [])) if name]


def offered_compression(request: WSUpgradeRequest) -> tuple[DeflateAgreement, str] | None:
    """What we agree to of the compression offered, and the header value that says so."""
    offers = request.headers.getall("Sec-WebSocket-Extensions", [])
    return agree(offers) if offers else None


def is_upgrade(request: WSUpgradeRequest) -> bool:
    """Whether this asks for a WebSocket at all. `Connection: keep-alive, Upgrade` is put into the form that picows takes."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return False
    shown = request.headers.getall("Connection", [])
    if shown != ["Upgrade"] and "upgrade" in (token.lower() for token in _listed(shown)):
        request.headers["Connection"] = "Upgrade"
    return True


def _listed(values: Iterable[str]) -> Iterable[str]:
    return (token.strip() for token in ",".join(values).split(","))
