"""Documents as JSON and back, whatever numbers are in them."""

import math
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.storage.documents import decode_document, encode_document
from counterflow.domain.ids import EvseId, StationId
from counterflow.domain.records import DiscoveryRecord, DocumentKind, LearnedResponse
from counterflow.domain.resources import ConnectedEv, ControlMode, EvseCapability, StationIdentity

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
