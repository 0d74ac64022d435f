"""A report against the same one made again: each part that differs is named, and nothing else."""

import pytest
from msgspec.structs import replace

from counterflow.domain.delivery import LogKind, Pause
from counterflow.engine.settlement.delivery import build_report
from counterflow.engine.settlement.settings import SettlementSettings
from counterflow.engine.settlement.verifying import MOST_SENTENCES, NoEvidenceError, differences, remade

ONE = "Session T1 at CS1"
TENS = [float(at) for at in range(-60, 661, 10)]


@pytest.fixture
def stored(world):
    world.join(1, 2)
    world.entry(0, LogKind.SETPOINT, 1, power_w=-7200.0)
    world.steady(1, 7200.0, TENS)
    world.steady(2, 3600.0, TENS)
    return world.stored()


@pytest.fixture
def said(stored, start_s):
    return build_report(stored, start_s + 700.0, settings=SettlementSettings(band_frac=0.04), final=True, version=1)


def with_session(report, **changes):
    first, *rest = report.sessions
    return replace(report, sessions=(replace(first, **changes), *rest))


def test_a_report_made_again_under_its_own_settings_and_time_holds(said, stored):
    assert remade(said, stored) == said
    assert differences(said, remade(said, stored)) == ()
    nearly = replace(said, uncertainty_wh=said.uncertainty_wh * (1.0 + 1e-12))
    assert differences(nearly, said) == ()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda r: replace(r, delivered_energy_wh=1801.0), "Delivered in all: the report says 1,801 Wh, the meter values give 1,800 Wh."),
        (
            lambda r: with_session(r, delivered_wh=1201.0),
            f"{ONE}: the report says 1,201 Wh delivered, its meter values give 1,200 Wh.",
        ),
        (
            lambda r: with_session(r, exported_wh=1201.0),
            f"{ONE}: the report says 1,201 Wh exported, its meter values give 1,200 Wh.",
        ),
        (lambda r: with_session(r, baseline_wh=-3.0), f"{ONE}: the report says -3 Wh of baseline, its meter values give 0 Wh."),
        (
            lambda r: with_session(r, from_register=False),
            f"{ONE}: 'from_register' is False in the report and True when made again.",
        ),
        (
            lambda r: with_session(r, samples=70, samples_sha256="x"),
            f"{ONE}: its meter values are not those that the report was made from (70 then, 73 now).",
        ),
        (
            lambda r: with_session(r, exported_wh=1201.0, samples=70, samples_sha256="x"),
            f"{ONE}: the report says 1,201 Wh exported, its meter values give 1,200 Wh; they are not those that it was made "
            "from (70 then, 73 now).",
        ),
        (lambda r: replace(r, sessions=r.sessions[1:]), f"{ONE}: a member that the report leaves out (1,200 Wh)."),
        (
            lambda r: with_session(r, session_uid=9, transaction_id="", station_id=""),
            "Session 9 at an unnamed station: the log knows no such member.",
        ),
        (
            lambda r: replace(r, series=(replace(r.series[0], delivered_energy_wh=13.0), *r.series[1:])),
            "The interval from 2027-01-15T08:00:00Z: the report says 13 Wh delivered, the meter values give 12 Wh.",
        ),
        (
            lambda r: replace(r, series=(replace(r.series[0], metered_share=0.5), *r.series[1:])),
            "The interval from 2027-01-15T08:00:00Z: 'metered_share' is 0.5 in the report and 1.0 when made again.",
        ),
        (lambda r: replace(r, series=r.series[1:]), "The report has 149 intervals, made again it has 150."),
        (lambda r: replace(r, members=3), "'members' is 3 in the report and 2 when made again."),
        (lambda r: replace(r, notes=("a",)), "'notes' is not what it is when made again."),
        (lambda r: replace(r, not_judged=(Pause(from_s=0.0, to_s=1.0, why="x"),)), "'not_judged' is not what it is when made again."),
        (lambda r: replace(r, instruction=replace(r.instruction, priority=4)), "The order is not the one on record: priority differ."),
        (
            lambda r: replace(r, evidence=replace(r.evidence, log_sha256="x")),
            "The dispatch's log is not the one that the report was made from.",
        ),
    ],
)
def test_the_part_that_differs_is_named(said, change, sentence):
    assert sentence in differences(change(said), said)


def test_a_report_that_contradicts_itself_says_so(said):
    found = differences(replace(said, delivered_energy_wh=1801.0), said)
    assert found[:2] == (
        "The report contradicts itself: it says 1,801 Wh delivered, and its sessions add up to 1,800 Wh.",
        "The report contradicts itself: it says 1,801 Wh delivered, and its intervals add up to 1,800 Wh.",
    )


def test_other_meter_values_are_told_first(said, stored):
    fewer = replace(stored, samples=stored.samples[:-1])
    found = differences(said, remade(said, fewer))
    assert found[0].startswith("The meter values are not those that the report was made from (146 then, 145 now)")


def test_no_more_sentences_than_a_person_reads(said):
    tampered = replace(said, series=tuple(replace(point, delivered_energy_wh=1.0) for point in said.series))
    found = differences(tampered, said)
    assert len(found) == MOST_SENTENCES
    assert found[-1] == "... and 132 more differences."


def test_an_older_report_does_not_say_what_it_was_made_from(said, stored):
    older = replace(said, evidence=None)
    with pytest.raises(NoEvidenceError, match="of an older release"):
        remade(older, stored)
    assert differences(older, said) == ()
    for settings in ({"gap_min_s": -1.0}, {"no such": 1}):
        with pytest.raises(NoEvidenceError, match="cannot be made again"):
            remade(replace(said, evidence=replace(said.evidence, settings=settings)), stored)
