"""Recovery, clocks, availability, flagged energy, fingerprints and what makes a new version."""

from itertools import pairwise
from math import nan

import pytest
from msgspec.structs import replace

from counterflow.domain.delivery import LogEntry, LogKind, Sample
from counterflow.domain.ids import SessionUid
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.settlement import Quality
from counterflow.engine.settlement.delivery import build_report
from counterflow.engine.settlement.intervals import build_intervals
from counterflow.engine.settlement.revision import is_another, revision
from counterflow.engine.settlement.settings import SettlementSettings

TENS = [float(at) for at in range(-60, 661, 10)]


@pytest.fixture
def settled(start_s):
    def make(stored, now=5000.0, final=True, **settings):
        return build_report(stored, start_s + now, settings=SettlementSettings(**settings), final=final, version=1)

    return make


def discharged_then_charged(world, *, after_w=3600.0, until=1600.0, mode_power=7200.0):
    """Car 1 gives `mode_power` for the ten minutes, and draws `after_w` from then on."""
    world.join(1)
    world.entry(0, LogKind.SETPOINT, 1, power_w=-mode_power)
    out = into = 0.0
    ats = [float(at) for at in range(-100, int(until) + 1, 10)]
    for before, at in pairwise([ats[0] - 10.0, *ats]):
        inside = before >= 0.0 and at <= 600.0
        out += mode_power / 360.0 if inside else 0.0
        into += after_w / 360.0 if before >= 600.0 else 0.0
        power = -mode_power if inside else after_w if before >= 600.0 else 0.0
        world.sample(1, at, power, 1000.0 + out, 500.0 + into)
    return into


def test_recovery_is_told_apart_and_is_no_delivery(world, settled):
    into_wh = discharged_then_charged(world)
    made = settled(world.stored(), now=1600.0)
    assert made.delivered_energy_wh == 1200.0
    assert (made.recovery.energy_wh, made.recovery.complete) == (round(into_wh), False)
    assert made.sessions[0].recovery_wh == round(into_wh)
    assert made.recovery.ends_s - made.instruction.end_s == 3600.0


def test_no_more_recovers_than_was_taken_and_later_registers_are_read(world, settled):
    into_wh = discharged_then_charged(world, after_w=1800.0)
    more = [
        Sample(SessionUid(1), world.stored().instruction.end_s + at, nan, nan, 500.0 + 1800.0 * at / 3600.0, nan) for at in (1200, 1800)
    ]
    stored = replace(world.stored(), after=tuple(more))
    made = settled(stored, now=600.0 + 1800.0)
    assert made.recovery.energy_wh == 900.0
    assert into_wh < 900.0
    greedy = replace(stored, after=(replace(more[0], import_wh=9_000.0),))
    made = settled(greedy, now=600.0 + 4000.0)
    assert (made.recovery.energy_wh, made.recovery.complete) == (1200.0, True)


def test_a_register_that_fell_after_the_window_recovers_nothing_more(world, settled):
    into_wh = discharged_then_charged(world)
    fallen = Sample(SessionUid(1), world.stored().instruction.end_s + 1200.0, nan, nan, 3.0, nan)
    assert settled(replace(world.stored(), after=(fallen,))).recovery.energy_wh == round(into_wh)


def test_a_relative_order_takes_also_what_was_not_drawn(make_world, settled):
    world = make_world(mode=DispatchMode.RELATIVE)
    world.entry(-10, LogKind.BASELINE, 1, power_w=3600.0)
    discharged_then_charged(world, mode_power=0.0, after_w=1800.0)
    made = settled(world.stored())
    assert made.delivered_energy_wh == 600.0
    assert made.recovery.energy_wh == 500.0


def test_recovery_is_not_told_before_the_end_or_where_it_is_not_counted(world, settled):
    discharged_then_charged(world)
    world.join(2)
    assert settled(world.stored(), final=False).recovery is None
    assert settled(world.stored(), recovery_s=0.0).recovery is None
    assert settled(world.stored()).sessions[1].recovery_wh == 0.0


# --- clocks ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("behind_s", "flagged"), [(0.4, False), (1.9, False), (2.5, True), (-2.5, True)])
def test_a_clock_that_is_off_is_named_and_widens_the_uncertainty(world, settled, behind_s, flagged):
    world.join(1)
    world.steady(1, 7200.0, TENS)
    plain = settled(world.stored())
    world.samples = [replace(sample, received_s=sample.at_s + behind_s + 5.0 * (number % 3)) for number, sample in enumerate(world.samples)]
    made = settled(world.stored())
    assert [skew.station_id for skew in made.clocks] == (["CS1"] if flagged else [])
    assert [skew.behind_s for skew in made.clocks] == ([pytest.approx(behind_s)] if flagged else [])
    assert (made.uncertainty_wh > plain.uncertainty_wh + 5.0) == flagged
    assert plain.clocks == ()


def test_the_clock_of_a_stranger_is_nobodys(world, settled):
    world.join(1)
    world.steady(1, 7200.0, TENS)
    stray = [replace(sample, session_uid=SessionUid(9), received_s=sample.at_s + 60.0) for sample in world.samples]
    assert settled(replace(world.stored(), samples=(*world.samples, *stray))).clocks == ()


# --- availability, flags, quality -----------------------------------------------------------------------------------------------


def test_availability_is_what_could_have_been_given_of_the_target(world, settled):
    world.join(1)
    world.steady(1, 3500.0, TENS)
    assert settled(world.stored()).availability_frac == pytest.approx(0.5)
    for at in range(0, 600, 10):
        world.entry(at, LogKind.TICK, headroom_power_w=1750.0)
    assert settled(world.stored()).availability_frac == pytest.approx(0.75)
    assert settled(world.stored()).sessions[0].availability_frac == 1.0


def test_a_car_that_left_was_available_for_as_long_as_it_stayed(world, settled):
    world.join(1)
    world.steady(1, 7000.0, TENS)
    world.entry(150, LogKind.LEFT, 1, text="ended", power_w=7000.0)
    made = settled(world.stored())
    assert made.sessions[0].availability_frac == pytest.approx(0.25)
    assert made.availability_frac == pytest.approx(0.25)


def test_availability_is_unknown_where_nothing_is_known_or_asked(world, make_world, settled):
    world.join(1)
    assert settled(world.stored()).availability_frac is None
    idle = make_world(target_w=0.0)
    assert settled(idle.stored()).availability_frac is None


def test_energy_without_a_register_is_flagged_and_estimated(world, settled):
    world.join(1, 2)
    world.steady(1, 7200.0, TENS)
    for at in TENS:
        world.sample(2, at, -3600.0)
    made = settled(world.stored())
    assert [session.flagged_wh for session in made.sessions] == [0.0, 600.0]
    assert [session.quality for session in made.sessions] == [Quality.GOOD, Quality.ESTIMATED]
    assert (made.flagged_wh, made.quality) == (600.0, Quality.ESTIMATED)


def test_what_cars_did_that_were_lost_to_sight_is_not_known_well(world, settled, start_s):
    world.join(1, 2)
    world.steady(1, 3600.0, TENS)
    world.steady(2, 3600.0, [at for at in TENS if at <= 290])
    world.entry(300, LogKind.LEFT, 2, text="silent", power_w=3600.0)
    made = settled(world.stored())
    assert (made.quality, made.delivered_energy_wh) == (Quality.MISSING, 600.0 + 290.0)
    assert [session.quality for session in made.sessions] == [Quality.GOOD, Quality.MISSING]
    assert made.uncertainty_wh > 2.0 * 300.0 / 3**0.5, "it may have given nothing from then on, or all"
    assert [half.quality for half in halves_of(world, start_s)] == [Quality.GOOD, Quality.MISSING]


def halves_of(world, start_s):
    edges_s = [start_s, start_s + 300.0, start_s + 600.0]
    return build_intervals(world.stored(), edges_s, start_s + 5000.0, settings=SettlementSettings(), version=1)


def test_the_power_of_cars_that_were_all_lost_to_sight_is_unknown_and_not_zero(world, start_s):
    world.join(1)
    world.steady(1, 3600.0, [at for at in TENS if at <= 300])
    world.entry(300, LogKind.LEFT, 1, text="offline", power_w=3600.0)
    first, second = halves_of(world, start_s)
    assert (first.mean_power_w, first.quality) == (pytest.approx(3600.0), Quality.GOOD)
    assert (second.mean_power_w, second.energy_wh, second.quality) == (None, 0.0, Quality.MISSING)


@pytest.mark.parametrize("mode", [DispatchMode.NET_EXPORT, DispatchMode.GROSS_EXPORT])
@pytest.mark.parametrize(
    ("late", "more_wh", "quality", "left_unknown_s"),
    [
        (TENS, 300.0, Quality.GOOD, 0.0),
        ([900.0], 300.0, Quality.ESTIMATED, 0.0),  # one register, long after: the energy is known, its shape is not
        ([at for at in TENS if at <= 400], 100.0, Quality.MISSING, 200.0),  # its queue was short: the rest stays unknown
    ],
)
def test_what_a_car_did_after_it_was_lost_to_sight_counts_in_a_new_version_once_its_registers_come(
    world, settled, start_s, mode, late, more_wh, quality, left_unknown_s
):
    world.mode = mode
    world.join(1)
    world.steady(1, 3600.0, [at for at in TENS if at <= 300])
    world.entry(300, LogKind.LEFT, 1, text="offline", power_w=3600.0)
    first = settled(world.stored())
    assert (first.delivered_energy_wh, first.quality) == (300.0, Quality.MISSING)
    for at in late:
        if at > 300:
            world.sample(1, at, -3600.0, 1000.0 + at - TENS[0], 500.0)
    second = settled(world.stored(), now=9000.0)
    assert (second.delivered_energy_wh, second.quality) == (300.0 + more_wh, quality)
    assert second.sessions[0].quality is quality
    assert second.sessions[0].availability_frac == pytest.approx(1.0 - left_unknown_s / 600.0)
    assert is_another(first, second)
    assert [half.delivered_wh for half in halves_of(world, start_s)] == [300.0, more_wh]


def test_registers_that_tell_of_nothing_make_a_version_too_since_nothing_is_known_now(world, settled):
    world.join(1)
    world.steady(1, 3600.0, [at for at in TENS if at <= 300])
    world.entry(300, LogKind.LEFT, 1, text="offline", power_w=3600.0)
    first = settled(world.stored())
    last_wh = world.samples[-1].export_wh
    for at in TENS:
        if at > 300:
            world.sample(1, at, 0.0, last_wh, 500.0)
    second = settled(world.stored(), now=9000.0)
    assert second.delivered_energy_wh - first.delivered_energy_wh < 10.0
    assert (first.quality, second.quality) == (Quality.MISSING, Quality.GOOD)
    assert is_another(first, second)
    assert "Its quality is good instead of missing." in revision(first, second).reasons


def test_a_plan_counts_against_a_meter_and_never_against_none(world, settled, start_s):
    world.mode = DispatchMode.RELATIVE
    world.join(1, 2)
    for uid in (1, 2):
        world.entry(-5, LogKind.BASELINE, uid, power_w=3600.0)
    assert (settled(world.stored()).delivered_energy_wh, settled(world.stored()).quality) == (0.0, Quality.MISSING)
    world.steady(1, 0.0, [at for at in TENS if at <= 200])  # then it is dead, and its session stays open
    made = settled(world.stored())
    assert (made.delivered_energy_wh, made.baseline.energy_wh, made.quality) == (200.0, 200.0, Quality.MISSING)
    assert [half.delivered_wh for half in halves_of(world, start_s)] == [200.0, 0.0]
    for at in TENS:
        if at >= 400:
            world.sample(1, at, 0.0)  # powers alone: what was in between nobody knows
    assert settled(world.stored()).delivered_energy_wh == 400.0
    world.sample(1, 700.0, 0.0, 1000.0, 500.0)
    assert settled(world.stored()).delivered_energy_wh == 600.0, "a register tells of all of it"


def test_a_relative_order_counts_the_plan_of_a_lost_car_only_as_far_as_its_meter_tells(world, settled):
    world.mode = DispatchMode.RELATIVE
    world.join(1)
    world.entry(-5, LogKind.BASELINE, 1, power_w=3600.0)
    world.steady(1, 0.0, [at for at in TENS if at <= 300])
    world.entry(300, LogKind.LEFT, 1, text="silent", power_w=3600.0)
    assert settled(world.stored()).delivered_energy_wh == 300.0
    world.sample(1, 600.0, 0.0, 1000.0, 500.0)
    assert settled(world.stored(), now=9000.0).delivered_energy_wh == 600.0


def test_a_car_lost_to_sight_that_came_back_or_had_ended_costs_no_quality(world, settled):
    world.join(1, 2)
    for uid in (1, 2):
        world.steady(uid, 3500.0, TENS)
    world.entry(300, LogKind.LEFT, 2, text="silent", power_w=3500.0)
    world.join(2, at=360)
    assert settled(world.stored()).quality is Quality.GOOD
    world.entry(400, LogKind.LEFT, 2, text="ended", power_w=3500.0)
    assert settled(world.stored()).quality is Quality.GOOD


def test_a_reset_is_integrated_by_power_for_its_interval_alone_and_flagged(world, settled):
    world.join(1)
    for at in TENS:
        world.sample(1, at, -7200.0, (1000.0 if at < 300 else 0.0) + 2.0 * at + 120.0, 500.0)
    made = settled(world.stored())
    assert made.delivered_energy_wh == 1200.0
    assert made.flagged_wh == 20.0
    assert "reset of the export register" in made.notes[0]


# --- evidence and versions ------------------------------------------------------------------------------------------------------


def test_the_fingerprint_is_of_the_values_and_not_of_their_order(world, settled):
    world.join(1)
    world.steady(1, 7200.0, TENS)
    stored = world.stored()
    made = settled(stored)
    mixed = settled(replace(stored, samples=(*reversed(stored.samples), *stored.samples[:9]), log=tuple(reversed(stored.log))))
    assert mixed == made
    assert made.evidence.samples == made.sessions[0].samples == len(TENS)
    assert made.evidence.settings["gate_closure_days"] == 7.0
    late = LogEntry(at_s=stored.instruction.end_s + 600.0, kind=LogKind.LATE)
    assert settled(replace(stored, log=(*stored.log, late))) == made


@pytest.mark.parametrize("part", ["samples", "after", "history", "log"])
def test_another_value_anywhere_gives_another_fingerprint(world, settled, part):
    world.join(1)
    world.steady(1, 7200.0, TENS)
    stored = replace(world.stored(), after=tuple(world.samples[-2:]), history=tuple(world.samples[:2]))
    made = settled(stored).evidence
    if part == "log":
        other = replace(stored, log=(*stored.log[1:], replace(stored.log[0], at_s=stored.log[0].at_s + 1.0)))
    else:
        first, *rest = getattr(stored, part)
        other = replace(stored, **{part: (replace(first, export_wh=first.export_wh + 0.001), *rest)})
    changed = settled(other).evidence
    assert (changed.log_sha256 != made.log_sha256) == (part == "log")
    assert (changed.samples_sha256 != made.samples_sha256) == (part != "log")


def test_a_version_is_its_figures_and_says_what_changed(world, settled):
    world.join(1, 2)
    world.steady(1, 7200.0, TENS)
    for at in TENS:
        if not 100 < at < 400:
            world.sample(2, at, -3600.0)
    first = settled(world.stored(), now=700.0)
    again = settled(world.stored(), now=900.0)
    assert not is_another(first, again)
    for at in TENS:
        if 100 < at < 400:
            world.sample(2, at, -3600.0)
    second = settled(world.stored(), now=9000.0)
    assert is_another(first, second)
    said = revision(first, second)
    assert (said.of_version, said.delivered_before_wh, said.sessions_changed) == (1, 1500.0, 1)
    assert said.reasons == (
        "Meter values that came in since changed 1 of 2 sessions.",
        "Delivered energy is 1,800 Wh instead of 1,500 Wh (+300 Wh).",
        "Its quality is estimated instead of missing.",
        "Gaps in the meter values: 0 instead of 1.",
    )


def test_a_version_may_change_nothing_but_recovery_notes_or_baseline(make_world, settled):
    world = make_world(mode=DispatchMode.RELATIVE)
    into_wh = discharged_then_charged(world)
    first, last = settled(world.stored(), now=700.0), settled(world.stored(), now=9000.0)
    assert is_another(first, last)
    assert revision(first, last).reasons == (
        "Delivered energy is unchanged: 1,200 Wh.",
        f"Recovery has been counted to its end: {into_wh:,.0f} Wh.",
    )
    early = replace(last, baseline=replace(last.baseline, complete=False), notes=())
    assert revision(early, last).reasons[1:] == (
        "The meter after the dispatch is in, and with it the baseline is complete.",
        "The notes on the meters are others.",
    )
    assert is_another(replace(last, baseline=None), last)


def test_an_hour_in_which_nothing_was_drawn_makes_no_version(world, settled):
    world.join(1)
    world.steady(1, 7200.0, TENS)
    first, last = settled(world.stored(), now=700.0), settled(world.stored(), now=9000.0)
    assert (first.recovery.complete, last.recovery.complete, last.recovery.energy_wh) == (False, True, 0.0)
    assert not is_another(first, last)


def test_a_reset_inside_a_gap_is_bridged_by_power_that_was_heard_on_both_sides_with_its_uncertainty(world, settled):
    world.join(1)
    kept = [at for at in TENS if not 200.0 < at < 260.0]
    for at in kept:
        world.sample(1, at, -7200.0, (1000.0 if at < 230 else 0.0) + 2.0 * at + 120.0, 500.0)
    made = settled(world.stored())
    assert made.delivered_energy_wh == 1200.0
    assert made.flagged_wh == 120.0
    assert made.uncertainty_wh > 30.0
    start_s = world.stored().instruction.start_s
    heard = [sample for sample in world.samples if not 100.0 < sample.at_s - start_s < 400.0]
    far = replace(world.stored(), samples=tuple(heard))
    assert settled(far).delivered_energy_wh == 600.0
