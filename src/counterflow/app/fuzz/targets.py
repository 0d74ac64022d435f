"""What is fuzzed: each target takes any bytes and raises only for a fault of ours. The errors that a reader promises are part of its job.

The first byte of an input often chooses (a version, a form); the rest is what a stranger would send.
"""

import base64
import contextlib
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from multidict import CIMultiDict
from picows import WSUpgradeRequest

from counterflow.adapters.certificates.authority import Authority, open_authority
from counterflow.adapters.certificates.requests import RequestRefusedError, check_names, common_name, read_request
from counterflow.adapters.certificates.revocation import RevocationListError, Revocations, parsed_lists
from counterflow.adapters.ocpp import handshake
from counterflow.adapters.ocpp.assembly import MessageAssembly, ProtocolViolationError
from counterflow.adapters.ocpp.credentials import parse_basic, verify
from counterflow.adapters.ocpp.deflate import Inflater, agree
from counterflow.adapters.ocpp.redaction import hide_secrets
from counterflow.adapters.ocpp.settings import SUBPROTOCOLS
from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.reading import UnreadableError, read_notification, read_page
from counterflow.adapters.openadr.report_plan import cut_short, reports_due, slots_of
from counterflow.adapters.openadr.timeline import UnclearError, lay_out
from counterflow.adapters.storage.concealing import conceal
from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.config import Settings, SettingsError, load
from counterflow.app.control_room import ControlRoom
from counterflow.app.drivers.driver_file import FileError, read_file
from counterflow.domain.grid import GridOrderRecord, GridOutcome, GridUnit, Program, Sign, Wire
from counterflow.domain.ids import StationId
from counterflow.domain.instructions import DispatchOrder
from counterflow.domain.program_notices import orders_words
from counterflow.domain.program_translation import Terms
from counterflow.domain.program_words import OrdersWords, OrderWords, SetpointWords, WithdrawWords
from counterflow.domain.units import UnitError, parse_discharge_power_w, parse_duration_s, parse_energy_wh, parse_instant_s, parse_share
from counterflow.domain.views import Refusal
from counterflow.engine.grid.bounds import bounded

NOON_S: Final = 1_795_348_800.0
STATION: Final = StationId("CS1")
LIMIT_BYTES: Final = 16_384
BOOT_1_6: Final = b'[2,"boot","BootNotification",{"chargePointModel":"M","chargePointVendor":"V"}]'
BOOT: Final = b'[2,"boot","BootNotification",{"reason":"PowerUp","chargingStation":{"model":"M","vendorName":"V"}}]'

_TERMS: Final = tuple(
    Terms(Program(name="p", wire=Wire.HTTP, sign=sign, unit=unit, max_discharge_power_w=1e6)) for sign in Sign for unit in GridUnit
)
_SAID: Final[tuple[type[OrderWords | WithdrawWords | SetpointWords], ...]] = (OrderWords, WithdrawWords, SetpointWords)

KNOWN_KEY: Final = ec.derive_private_key(0xC0FFEE, ec.SECP256R1())
_ECDSA_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")
_OPEN_HOUSE: Final = msgspec.convert({"stations": {"accept_unknown": True}, "drivers": {"default": {"consent": True}}}, Settings)


def station(data: bytes) -> None:
    """A station that says one thing after another, line by line: the decoder, session and router of its version, and all that is behind
    them up to the fleet's state. What we ask it is answered with the ids `m0`, `m1` and so on.

    Each CALL that can be read gets exactly one answer, all that we send is JSON, and time may jump.
    """
    ids = iter(range(1_000_000))
    room = ControlRoom(_OPEN_HOUSE, MemoryJournal(), new_message_id=lambda: f"m{next(ids)}", notify=lambda _notice: None)
    now_s, subprotocol = NOON_S, SUBPROTOCOLS[data[0] % len(SUBPROTOCOLS) if data else 0]
    room.opened(STATION, subprotocol, now_s)
    room.received(STATION, BOOT_1_6 if subprotocol == "ocpp1.6" else BOOT, now_s)
    _sent(room)
    for text in data[1:].split(b"\n"):
        now_s += 1.0 if text[:1] != b" " else 60.0
        room.received(STATION, text, now_s)
        room.advance(now_s)
        calls, answers = _asked(text), _sent(room)
        assert len(answers) <= 1, "two answers"
        assert calls is None or answers == [calls], "a call without its answer"
    room.closed(STATION, now_s, "gone")
    room.advance(now_s + 3600.0)
    room.fleet.snapshot(now_s + 3600.0)
    assert room.dispatcher.faults.count == 0, room.dispatcher.faults.alarms(now_s + 3600.0)


def _asked(text: bytes) -> str | None:
    """The id of a CALL whose answer comes at once, when the text is one that anybody must take for a CALL."""
    try:
        frame = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    whole = isinstance(frame, list) and len(frame) == 4 and frame[0] == 2 and isinstance(frame[0], int) and not isinstance(frame[0], bool)
    return frame[1] if whole and isinstance(frame[1], str) and isinstance(frame[2], str) and isinstance(frame[3], dict) else None


def _sent(room: ControlRoom) -> list[str]:
    """Ids of the answers that leave."""
    frames = [msgspec.json.decode(departing.text) for departing in room.take_departing()]
    room.take_expelled()
    return [frame[1] for frame in frames if frame[0] in (3, 4)]


def frames(data: bytes) -> None:
    """WebSocket frames of one connection: joining, inflating, and their bounds. A byte a frame says what it is, the next one how long."""
    agreed = agree(["permessage-deflate; client_max_window_bits"]) if data[:1] >= b"\x80" else None
    inflater = None if agreed is None else Inflater(agreed[0].client_window_bits, agreed[0].client_keeps_context, LIMIT_BYTES)
    assembly, rest = MessageAssembly(LIMIT_BYTES, 16, inflater), data[1:]
    with contextlib.suppress(ProtocolViolationError):
        while len(rest) >= 2:
            kind, size = rest[0], rest[1] * (64 if rest[0] & 0x20 else 1)
            opcode, payload, rest = kind & 0x3, rest[2 : 2 + size], rest[2 + size :]
            message = assembly.take(opcode, final=bool(kind & 0x80), compressed=bool(kind & 0x40), payload=payload)
            assert message is None or len(message) <= LIMIT_BYTES, "a message over the bound"


def upgrade(data: bytes) -> None:
    """The HTTP request of a station: the first line is the path, each other one a header."""
    path, *lines = data.split(b"\n")
    request = WSUpgradeRequest()
    request.method, request.path, request.version = b"GET", path, b"HTTP/1.1"
    request.headers = _headers(lines)
    identity = handshake.station_id_of(path, "/ocpp")
    assert identity is None or 0 < len(identity) <= handshake.LONGEST_IDENTITY, identity
    handshake.is_upgrade(request)
    handshake.offered_subprotocols(request)
    handshake.offered_compression(request)
    handshake.authorization_of(request, identity or STATION)
    for text in (line.decode("latin-1") for line in lines):
        credentials = parse_basic(text)
        if credentials is not None:
            assert len(repr(credentials)) == len(repr(credentials.user)) + len("Credentials(user=, password=...)")
            assert not verify("hmac-sha256$AAAA$AAAA", credentials.password)


def signing_request(data: bytes) -> None:
    """A certificate signing request: PEM, DER (first byte 1), or what is to be signed of one (2), which is then signed with a key that the
    corpus knows. One that may be signed is signed by the authority."""
    content = data[:1] + _resigned(data[1:]) if data[:1] == b"\x02" else data
    text = _pem(content, "CERTIFICATE REQUEST").decode("latin-1")
    with contextlib.suppress(RequestRefusedError):
        request = read_request(text)
        name = common_name(request)
        _authority().issue_for_vehicles(request, days=1.0, now_s=NOON_S)
        check_names(request, {name})


def revocation_list(data: bytes) -> None:
    """A revocation list, PEM or DER (first byte 1), and before it, with two bytes as its length, a certificate that is held against it."""
    size = int.from_bytes(data[1:3], "big")
    certificate, listed = data[3 : 3 + size], data[3 + size :]
    with contextlib.suppress(RevocationListError):
        for _, one in parsed_lists(_pem(data[:1] + listed, "X509 CRL"), "fuzzed"):
            lists = Revocations({one.issuer: one}, keep_expired=False)
            assert lists.why_void(certificate, NOON_S) is not None or not lists.revoked(certificate)


def driver_file(data: bytes) -> None:
    """The CSV file of drivers, vehicles and contracts."""
    with contextlib.suppress(FileError):
        agreements, bad = read_file(data.decode("utf-8", "replace"))
        assert all(row.sentence for row in bad)
        assert all(one.identifier for one in agreements)


def settings_file(data: bytes) -> None:
    """The settings file in TOML: settings, or a sentence."""
    path = _folder() / "fuzzed.toml"
    path.write_bytes(data)
    with contextlib.suppress(SettingsError):
        load(path, {}, {})


def quantities(data: bytes) -> None:
    """Power, energy, durations, shares and instants as people write them."""
    text = data.decode("utf-8", "replace")
    for parse in (parse_discharge_power_w, parse_energy_wh, parse_duration_s, parse_share, parse_instant_s):
        with contextlib.suppress(UnitError):
            assert isfinite(parse(text)), parse.__name__


def kept_frames(data: bytes) -> None:
    """What is hidden and concealed in a frame before it is kept."""
    text = data.decode("utf-8", "replace")
    conceal(hide_secrets(text), lambda identifier: f"p-{len(identifier)}")


def program(data: bytes) -> None:
    """What the system of a program says, over whatever wire: an order, its withdrawal or a set-point (by the first byte), read strictly,
    turned into an order of ours within its bounds, and told again."""
    terms = _TERMS[data[0] % len(_TERMS) if data else 0]
    kind = _SAID[data[0] // len(_TERMS) % len(_SAID) if data else 0]
    try:
        words = msgspec.json.decode(data[1:], type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    if isinstance(words, SetpointWords):
        asked_w = terms.setpoint_w(words, NOON_S)
        assert isinstance(asked_w, Refusal) or isfinite(asked_w)
    elif isinstance(words, OrderWords):
        order = terms.order(words)
        if isinstance(order, Refusal):
            return
        wanted = bounded(terms.program, order, NOON_S, 86_400.0)
        if isinstance(wanted, DispatchOrder):
            powers_w = (wanted.discharge_power_w, *(step.discharge_power_w for step in wanted.steps))
            assert all(0.0 <= power_w <= 1.001 * terms.program.max_discharge_power_w for power_w in powers_w)
        known = GridOrderRecord(order=order, revision=1, heard_at_s=NOON_S, outcome=GridOutcome.ACCEPTED)
        told = msgspec.json.encode(orders_words(terms, [known], lambda _dispatch: None, NOON_S))
        msgspec.json.decode(told, type=OrdersWords)


def vtn(data: bytes) -> None:
    """What a grid operator's OpenADR server says: a notification, or a page of events (by the first byte). Each event is laid over time,
    and the reports that it asks for are found: their number is bounded, and none is about nothing."""
    try:
        if data[:1] == b"\x01":
            said: Sequence[models.AnyObject] = [read_notification(data[1:]).object]
        else:
            said = read_page(models.Event, data[1:]).items
    except UnreadableError:
        return
    for event in said:
        if not isinstance(event, models.Event):
            continue
        try:
            lay_out(event, "ven", NOON_S, NOON_S - 3600.0, NOON_S + 86_400.0)
            slots = slots_of(event, "ven", NOON_S)
        except UnclearError:
            continue
        if slots is not None:
            due = reports_due(event, slots, NOON_S - 60.0, NOON_S) + cut_short(event, slots, NOON_S)
            assert len(due) <= 64 * max(1, len(event.report_descriptors)), "too many reports"
            assert all(one.spans and one.from_s < one.to_s for one in due), "a report about nothing"


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (
        station,
        frames,
        upgrade,
        signing_request,
        revocation_list,
        driver_file,
        settings_file,
        quantities,
        kept_frames,
        program,
        vtn,
    )
}


def _headers(lines: list[bytes]) -> CIMultiDict[str]:
    parts = (line.decode("latin-1").partition(":") for line in lines)
    return CIMultiDict((name, value.strip()) for name, _, value in parts)


def _pem(data: bytes, label: str) -> bytes:
    """The rest of the input as it is, or (first byte 1 or 2) as the DER of a PEM text."""
    if data[:1] not in (b"\x01", b"\x02"):
        return data[1:]
    body = base64.encodebytes(data[1:])
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (label.encode(), body, label.encode())


def _resigned(part: bytes) -> bytes:
    """A request (PKCS #10) around what is to be signed."""
    signature = KNOWN_KEY.sign(part, ec.ECDSA(hashes.SHA256()))
    return _der(0x30, part + _ECDSA_SHA256 + _der(0x03, b"\0" + signature))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag]) + (bytes([size]) if size < 128 else bytes([0x80 | len(octets)]) + octets) + content


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="counterflow-fuzz-"))


@cache
def _authority() -> Authority:
    return open_authority(_folder() / "authority", "Fuzz", NOON_S)
