"""The octets on the wire, judged by Wireshark's dissector, which is neither ours nor the library's that writes them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from counterflow.domain.grid import Quality

TIMED = ("30", "36")
"""M_SP_TB_1 and M_ME_TF_1."""


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory, desk_class: Any, running_class: Any, master_class: Any, capture: Any) -> Sequence[Any]:
    """A life of an outstation: interrogation, set-points, refusals, a selection, cycles, and a quality that changes."""
    desk = desk_class()
    setpoints = [{"address": 1001}, {"address": 1003, "type": "C_SE_TC_1"}, {"address": 1011, "mode": "select"}]
    at = running_class(desk, station={"setpoints": setpoints, "cycle_s": 1.0})
    wire = capture["Wiretap"](at.settings.port)
    control = master_class(wire.port).connect()
    try:
        assert control.interrogate()
        assert control.command(1001, 2.5)
        assert not control.command(1001, 99.0)
        assert control.command(1003, 1.5, "C_SE_TC_1", said=datetime.now(UTC))
        assert control.command(1011, 0.5, select=True)
        desk.show(quality=Quality.ESTIMATED)
        control.wait_for(lambda: control.quality(2001) == 0x20)
        desk.show(quality=Quality.MISSING, measured_power_w=None, delivered_power_w=None)
        control.wait_for(lambda: control.quality(2001) == 0xC0)
        control.seen.clear()
        control.wait_for(lambda: (2001, "PERIODIC") in [(seen[0], seen[2]) for seen in control.seen])
    finally:
        control.close()
        wire.close()
        at.close()
    found: Sequence[Any] = capture["dissect"](wire.pieces, tmp_path_factory.mktemp("wire"))
    return found


def asdus(frames: Sequence[Any], type_id: str, *, from_master: bool = False) -> list[dict[str, Any]]:
    found = [frame["asdu"] for frame in frames if frame["asdu"] is not None and frame["from_master"] is from_master]
    return [asdu for asdu in found if asdu["iec60870_asdu.typeid"] == type_id]


def header(asdu: dict[str, Any]) -> tuple[str, ...]:
    return tuple(asdu[f"iec60870_asdu.{name}"] for name in ("causetx", "nega", "test", "addr"))


def objects(asdu: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {int(name.removeprefix("IOA: ")): value for name, value in asdu.items() if name.startswith("IOA: ")}


def test_the_link_starts_and_numbers_run_on_in_both_directions(frames: Sequence[Any]) -> None:
    assert [frame["apci"]["iec60870_104.utype"] for frame in frames[:2]] == ["0x00000001", "0x00000002"], "STARTDT act and con"
    for from_master in (True, False):
        informative = [frame["apci"] for frame in frames if frame["asdu"] is not None and frame["from_master"] is from_master]
        assert [int(apci["iec60870_104.tx"]) for apci in informative] == list(range(len(informative)))


def test_an_interrogation_is_confirmed_answered_and_terminated(frames: Sequence[Any]) -> None:
    assert [header(asdu) for asdu in asdus(frames, "100")] == [("7", "0", "0", "47"), ("10", "0", "0", "47")]
    (answer,) = [asdu for asdu in asdus(frames, "36") if header(asdu)[0] == "20"]
    shown = objects(answer)
    assert shown[2001]["iec60870_asdu.float"] == "1.9"
    assert shown[2012]["iec60870_asdu.float"] == "640"
    assert shown[2001]["iec60870_asdu.qds"] == "0x00"
    (flags,) = [asdu for asdu in asdus(frames, "30") if header(asdu)[0] == "20"]
    assert {address: one["iec60870_asdu.siq_tree"]["iec60870_asdu.siq.spi"] for address, one in objects(flags).items()}.items() >= {
        (3001, "1"),
        (3002, "1"),
        (3003, "0"),
    }


def test_setpoints_are_mirrored_in_their_confirmation(frames: Sequence[Any]) -> None:
    answers = [(header(asdu)[:2], *next(iter(objects(asdu).items()))) for asdu in asdus(frames, "50")]
    confirmed = [
        (what, address, one["iec60870_asdu.float"], one["iec60870_asdu.qos_tree"]["iec60870_asdu.qos.se"]) for what, address, one in answers
    ]
    assert confirmed[:2] == [(("7", "0"), 1001, "2.5", "0"), (("7", "1"), 1001, "99", "0")], "positive, and negative"
    assert confirmed[-3:-1] == [(("7", "0"), 1011, "0.5", "1"), (("7", "0"), 1011, "0.5", "0")], "selected, then executed"
    assert confirmed[-1][0] == ("10", "0"), "terminated"
    (timed,) = asdus(frames, "63")
    assert (header(timed)[:2], objects(timed)[1003]["iec60870_asdu.float"]) == (("7", "0"), "1.5")


def test_what_has_a_time_tag_is_no_sequence_and_its_time_is_valid_and_utc(frames: Sequence[Any]) -> None:
    now = datetime.now(UTC)
    found = [asdu for type_id in TIMED for asdu in asdus(frames, type_id)]
    assert {asdu["iec60870_asdu.sq"] for asdu in found} == {"0"}
    assert {header(asdu)[0] for asdu in found} == {"1", "3", "20"}, "periodic, spontaneous, interrogated"
    for one in (one for asdu in found for one in objects(asdu).values()):
        tag = one["iec60870_asdu.cp56time_tree"]
        assert (tag["iec60870_asdu.cp56time.iv"], tag["iec60870_asdu.cp56time.su"]) == ("0", "0")
        written = one["iec60870_asdu.cp56time"].removesuffix("000000 UTC")
        assert abs((datetime.strptime(written, "%b %d, %Y %H:%M:%S.%f").replace(tzinfo=UTC) - now).total_seconds()) < 60.0


def test_quality_bits_follow_the_meters(frames: Sequence[Any]) -> None:
    seen = [objects(asdu)[2001]["iec60870_asdu.qds_tree"] for asdu in asdus(frames, "36") if 2001 in objects(asdu)]
    bits = ["".join(name for name in ("sb", "nt", "iv") if tree[f"iec60870_asdu.qds.{name}"] == "1") for tree in seen]
    assert list(dict.fromkeys(bits)) == ["", "sb", "ntiv"], "good, estimated, missing"


def test_the_end_of_initialization_is_told(frames: Sequence[Any]) -> None:
    assert [header(asdu) for asdu in asdus(frames, "70")] == [("4", "0", "0", "47")]


def test_the_dissector_finds_what_is_broken(capture: Any, tmp_path: Path) -> None:
    piece = capture["Piece"]
    whole = bytes.fromhex("681200000000320106002f00e903000000c03f00")
    (frame,) = capture["dissect"]([piece(1_000.0, True, whole)], tmp_path)
    assert objects(frame["asdu"])[1001]["iec60870_asdu.float"] == "1.5"
    with pytest.raises(AssertionError):
        capture["dissect"]([piece(1_000.0, True, b"\x68\x10" + whole[2:18])], tmp_path)
