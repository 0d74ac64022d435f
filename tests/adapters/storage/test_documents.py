"""Documents as JSON and back, whatever numbers are in them."""

import math
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.storage.documents import decode_document, encode_document
from counterflow.domain.commands import ProfileKind
from counterflow.domain.ids import EvseId, ProfileId, SessionUid, StationId, TransactionId
from counterflow.domain.records import DiscoveryRecord, DocumentKind, LearnedResponse, ProfileRecord, ProfileState
from counterflow.domain.resources import ConnectedEv, ControlMode, EvseCapability, StationIdentity
from counterflow.domain.setpoints import PowerStep

any_float = st.floats(allow_nan=True, allow_infinity=True)
ODD = [struct.unpack("<d", struct.pack("<Q", bits))[0] for bits in (0x7FF0000000000001, 0xFFF8000000000000, 0xFFFFFFFFFFFFFFFF)]
"""NaN as other bits spell it."""


def known(at_s: float, soc_frac: float | None, text: str = "") -> DiscoveryRecord:
    car = ConnectedEv(at_s=at_s, soc_frac=soc_frac)
    evse = EvseCapability(evse_id=EvseId(1), control_mode=ControlMode.NONE, reason=text, connected_ev=car)
    return DiscoveryRecord(station_id=StationId("A"), identity=StationIdentity(model=text), evses=(evse,), at_s=at_s)


def shown(document: object) -> str:
    """What can be compared although NaN is not NaN."""
    return repr(msgspec.to_builtins(document))


def kept(kind: DocumentKind, document: object) -> str:
    return shown(decode_document(kind, encode_document(kind, document)))


@given(any_float, st.none() | any_float, st.text())
def test_any_number_at_any_depth_comes_back_as_it_was(at_s: float, soc_frac: float | None, text: str) -> None:
    document = known(at_s, soc_frac, text)
    assert kept(DocumentKind.DISCOVERY, document) == shown(document)


@given(st.tuples(*[any_float] * 5), st.none() | any_float)
def test_so_do_numbers_in_a_list(transitions: tuple[float, float, float, float, float], out_until_s: float | None) -> None:
    document = LearnedResponse(subject="model:A/B", at_s=1.0, transitions=transitions, out_until_s=out_until_s)
    assert kept(DocumentKind.LEARNED_RESPONSE, document) == shown(document)


@pytest.mark.parametrize("number", [*ODD, math.nan, -math.nan, math.inf, -math.inf])
def test_every_spelling_of_no_number_is_a_text_in_json(number: float) -> None:
    body = encode_document(DocumentKind.DISCOVERY, known(1.0, number))
    assert f'"soc_frac":"{number}"' in body


def profile(power_w: float, placed_at_s: float, later: tuple[PowerStep, ...], watchdog_s: int | None, dispatch_id: str) -> ProfileRecord:
    return ProfileRecord(
        station_id=StationId("A"),
        profile_id=ProfileId(1),
        session_uid=SessionUid(2),
        evse_id=EvseId(1),
        transaction_id=TransactionId("t"),
        kind=ProfileKind.DISCHARGE,
        state=ProfileState.PLACING,
        power_w=power_w,
        placed_at_s=placed_at_s,
        discharge_until_s=3.0,
        hold_until_s=4.0,
        dispatch_id=dispatch_id,
        watchdog_s=watchdog_s,
        later=later,
    )


steps = st.lists(st.builds(PowerStep, from_s=any_float, power_w=any_float), max_size=2).map(tuple)
profiles = st.builds(profile, any_float, any_float, steps, st.none() | st.integers(0, 2**70), st.text(max_size=8))


@given(record=profiles)
def test_so_does_a_whole_number_of_any_size_beside_them(record: ProfileRecord) -> None:
    back = decode_document(DocumentKind.PROFILE, encode_document(DocumentKind.PROFILE, record))
    assert repr(back) == repr(record)  # NaN is equal to nothing, itself included


def test_a_profile_that_an_earlier_version_wrote_is_read() -> None:
    record = profile(-1.0, 2.0, (), None, "d")
    whole = {name: getattr(record, name) for name in record.__struct_fields__}
    assert decode_document(DocumentKind.PROFILE, msgspec.json.encode(whole)) == record
