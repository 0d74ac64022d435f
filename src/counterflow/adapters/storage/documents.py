"""Documents and log entries as JSON, and back."""

import re
from functools import cache
from math import isfinite
from typing import Any, Final

import msgspec

from counterflow.domain.access import ApiToken, AuditEntry
from counterflow.domain.conflicts import HeldOut, KnownProfiles, SitePriority
from counterflow.domain.delivery import LogEntry
from counterflow.domain.drivers import AccountRecord, DriverRecord
from counterflow.domain.grid import GridOrderRecord, ProgramCapacity, WireNote
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.offers import Commitment, CoverageDay, LearnedAnswers, LearnedDepartures, OfferGuard
from counterflow.domain.records import (
    DiscoveryRecord,
    DocumentKind,
    Latch,
    LearnedResponse,
    PathRecord,
    ProfileRecord,
    SecurityRecord,
    SessionRecord,
    StationFaults,
    TransactionNumber,
)
from counterflow.domain.resources import StationRegistration
from counterflow.domain.station_settings import FormerSettings

_ENCODER = msgspec.json.Encoder()
_PACKER: Final = msgspec.msgpack.Encoder()
_ODD_NUMBER: Final = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")
"""A float in MessagePack whose exponent is all ones: NaN or infinity. Other bytes may look like one, which costs time only."""
encode_log = _ENCODER.encode
UNREADABLE = (msgspec.DecodeError, UnicodeError, TypeError)
"""What decoding a broken document or log line raises."""

decode_log = msgspec.json.Decoder(LogEntry).decode


DOCUMENT_TYPES: Final[dict[DocumentKind, type[msgspec.Struct]]] = {
    DocumentKind.STATION: StationRegistration,
    DocumentKind.DISCOVERY: DiscoveryRecord,
    DocumentKind.SESSION: SessionRecord,
    DocumentKind.DISPATCH: DispatchInstruction,
    DocumentKind.PROFILE: ProfileRecord,
    DocumentKind.LATCH: Latch,
    DocumentKind.DRIVER: DriverRecord,
    DocumentKind.ACCOUNT: AccountRecord,
    DocumentKind.PATH: PathRecord,
    DocumentKind.FORMER_SETTINGS: FormerSettings,
    DocumentKind.KNOWN_PROFILES: KnownProfiles,
    DocumentKind.SITE_PRIORITY: SitePriority,
    DocumentKind.HELD_OUT: HeldOut,
    DocumentKind.SECURITY: SecurityRecord,
    DocumentKind.API_TOKEN: ApiToken,
    DocumentKind.AUDIT: AuditEntry,
    DocumentKind.TRANSACTION_NUMBER: TransactionNumber,
    DocumentKind.STATION_FAULTS: StationFaults,
    DocumentKind.LEARNED_RESPONSE: LearnedResponse,
    DocumentKind.LEARNED_DEPARTURES: LearnedDepartures,
    DocumentKind.LEARNED_ANSWERS: LearnedAnswers,
    DocumentKind.COMMITMENT: Commitment,
    DocumentKind.COVERAGE_DAY: CoverageDay,
    DocumentKind.OFFER_GUARD: OfferGuard,
    DocumentKind.GRID_ORDER: GridOrderRecord,
    DocumentKind.WIRE_NOTE: WireNote,
    DocumentKind.CAPACITY: ProgramCapacity,
}
"""The Struct that each kind of document is; a test holds it complete."""


def encode_document(kind: DocumentKind, document: Any) -> str:
    """JSON of a document. Raises TypeError when it is not the Struct of its kind (a broken rule, not a fault of the data).

    JSON has no NaN and no infinity; where one occurs it is written as the text "nan", "inf" or "-inf", which the decoder takes back.
    """
    expected = DOCUMENT_TYPES[kind]
    if not isinstance(document, expected):
        raise TypeError(f"a document of kind {kind.value} is a {expected.__name__}, not {type(document).__name__}")
    body = _ENCODER.encode(document)
    # Most `null` are values that are not there; walking through a whole document for them took longer than all else of a boot.
    if b"null" in body and _may_hold_odd_number(document):
        body = _ENCODER.encode(_spell_out(msgspec.to_builtins(document)))
    return body.decode()


def decode_document(kind: DocumentKind, body: str | bytes) -> Any:
    """The Struct of a stored document; unknown fields are ignored. Raises msgspec.DecodeError (or its ValidationError)."""
    strict, lax = _decoders(kind)
    try:
        return strict.decode(body)
    except msgspec.ValidationError:
        return lax.decode(body)


@cache
def _decoders(kind: DocumentKind) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
    expected = DOCUMENT_TYPES[kind]
    return msgspec.json.Decoder(expected), msgspec.json.Decoder(expected, strict=False)


def _may_hold_odd_number(document: msgspec.Struct) -> bool:
    try:
        return _ODD_NUMBER.search(_PACKER.encode(document)) is not None
    except OverflowError:
        return True  # MessagePack ends at 64 bits, and JSON does not


def _spell_out(value: Any) -> Any:
    match value:
        case float() if not isfinite(value):
            return str(value)
        case dict():
            return {key: _spell_out(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_spell_out(inner) for inner in value]
        case _:
            return value
