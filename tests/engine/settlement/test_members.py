from counterflow.domain.delivery import LogKind
from counterflow.engine.settlement.members import drop_outs, members, messages_sent


def found(world, start_s):
    return members(world.log, start_s, start_s + 600)


def test_a_member_counts_from_joined_to_left(world, start_s):
    world.join(1, at=-20)
    world.entry(100, LogKind.LEFT, 1, text="ended", power_w=6000.0, count=1)
    (member,) = found(world, start_s)
    assert member.spans == ((start_s, start_s + 100),)
    assert (member.left_s, member.drop_out, member.station_id) == (start_s + 100, "ended", "CS1")


def test_setpoints_without_joined_make_a_member(world, start_s):
    world.entry(30, LogKind.SETPOINT, 1, power_w=-5000.0)
    assert found(world, start_s)[0].spans == ((start_s + 30, start_s + 600),)


def test_a_limit_to_charging_asks_for_no_discharge(world, start_s):
    world.join(1, 2)
    world.entry(0, LogKind.SETPOINT, 1, power_w=6000.0)
    world.entry(0, LogKind.SETPOINT, 2, power_w=-5000.0)
    assert [member.setpoint_max_w for member in found(world, start_s)] == [0.0, 5000.0]


def test_a_car_lost_to_sight_that_came_back_was_there_all_the_time(world, start_s):
    world.join(1)
    world.entry(100, LogKind.LEFT, 1, text="SILENT")
    world.join(1, at=150)
    (member,) = found(world, start_s)
    assert member.spans == ((start_s, start_s + 600),)
    assert member.left_s is None


def test_a_car_lost_to_sight_is_unknown_to_the_end_or_as_far_as_its_meter_tells_later(world, start_s):
    world.join(1)
    world.entry(100, LogKind.LEFT, 1, text="silent")
    (member,) = found(world, start_s)
    assert (member.spans, member.unseen) == (((start_s, start_s + 100),), ((start_s + 100, start_s + 600),))
    assert member.heard_until(start_s + 90) == member
    known = member.heard_until(start_s + 300)
    assert (known.spans, known.unseen) == (((start_s, start_s + 300),), ((start_s + 300, start_s + 600),))
    whole = member.heard_until(start_s + 9000)
    assert (whole.spans, whole.unseen) == (((start_s, start_s + 600),), ())


def test_a_car_lost_to_sight_whose_session_ends_is_unknown_until_then(world, start_s):
    world.join(1)
    world.entry(100, LogKind.LEFT, 1, text="silent")
    world.entry(300, LogKind.LEFT, 1, text="ended")
    (member,) = found(world, start_s)
    assert (member.spans, member.unseen) == (((start_s, start_s + 100),), ((start_s + 100, start_s + 300),))
    known = member.heard_until(start_s + 250)
    assert (known.spans, known.unseen) == (((start_s, start_s + 250),), ((start_s + 250, start_s + 300),))
    assert member.heard_until(start_s + 400).unseen == ()


def test_a_car_lost_to_sight_whose_end_is_told_late_is_unknown_until_it_really_ended(world, start_s):
    world.join(1, 2)
    world.entry(100, LogKind.LEFT, 1, text="offline")
    world.entry(120, LogKind.LEFT, 2, text="silent")
    world.entry(500, LogKind.LEFT, 2, text="ended")
    world.entry(500, LogKind.ENDED, 2, ended_s=start_s + 110)
    world.entry(4000, LogKind.ENDED, 1, ended_s=start_s + 300)
    early, late = found(world, start_s)[::-1]
    assert (late.spans, late.unseen, late.drop_out) == (((start_s, start_s + 100),), ((start_s + 100, start_s + 300),), "offline")
    assert (late.heard_until(start_s + 300).spans, late.heard_until(start_s + 300).unseen) == (((start_s, start_s + 300),), ())
    assert (early.spans, early.unseen) == (((start_s, start_s + 110),), ())
    # The station corrects itself: the last word counts.
    world.entry(5000, LogKind.ENDED, 1, ended_s=start_s + 200)
    assert found(world, start_s)[0].unseen == ((start_s + 100, start_s + 200),)
    world.entry(6000, LogKind.ENDED, 1, ended_s=start_s - 5)
    assert [member.session_uid for member in found(world, start_s)] == [2]


def test_a_car_that_rested_when_it_was_lost_to_sight_owes_nothing(world, start_s):
    world.join(1)
    world.entry(100, LogKind.RESTED, 1)
    world.entry(200, LogKind.LEFT, 1, text="silent")
    (member,) = found(world, start_s)
    assert (member.spans, member.unseen) == (((start_s, start_s + 100),), ())


def test_a_car_that_was_withdrawn_and_joined_again_has_two_spans(world, start_s):
    world.join(1)
    world.entry(100, LogKind.LEFT, 1, text="must_charge")
    world.join(1, at=150)
    assert found(world, start_s)[0].spans == ((start_s, start_s + 100), (start_s + 150, start_s + 600))


def test_who_left_before_the_start_is_no_member(world, start_s):
    world.join(1, at=-60)
    world.entry(-10, LogKind.LEFT, 1, text="ended")
    assert found(world, start_s) == ()


def test_a_drop_out_without_power_is_worth_its_last_setpoint(world, start_s):
    world.join(1)
    world.entry(0, LogKind.SETPOINT, 1, power_w=-6500.0)
    world.entry(100, LogKind.LEFT, 1, text="offline", count=2)
    world.entry(120, LogKind.LEFT, 2, text="")
    (drop,) = drop_outs(world.log, start_s, start_s + 600)
    assert (drop.lost_power_w, drop.replaced_by, drop.kind) == (6500.0, 2, "offline")


def test_messages_are_the_running_count_and_an_outcome_is_no_change(world, start_s):
    world.entry(0, LogKind.SETPOINT, 1, power_w=-6500.0)
    world.entry(1, LogKind.SETPOINT, 1, power_w=-6500.0, result="accepted")
    world.entry(4, LogKind.TICK, messages=2)
    world.entry(9, LogKind.SETPOINT, 1, power_w=0.0, result="accepted")
    world.entry(60, LogKind.STATE, text="completed", messages=5)
    assert messages_sent(world.log) == 5
    assert found(world, start_s)[0].setpoint_changes == 2


def test_a_member_that_rests_counts_until_it_rests_and_again_from_when_it_is_needed(world, start_s):
    world.join(1)
    for at in (100, 150):
        world.entry(at, LogKind.RESTED, 1)
    world.entry(300, LogKind.JOINED, 1)
    (member,) = found(world, start_s)
    assert member.spans == ((start_s, start_s + 100), (start_s + 300, start_s + 600))
    assert (member.left_s, member.drop_out) == (None, None)


def test_what_comes_after_the_window_changes_no_member(world, start_s):
    world.join(1)
    world.entry(700, LogKind.LEFT, 1, text="ended", power_w=1.0)
    (member,) = found(world, start_s)
    assert member.spans == ((start_s, start_s + 600),)


def test_joining_twice_in_a_row_is_joining_once(world, start_s):
    world.join(1)
    world.entry(200, LogKind.JOINED, 1)
    assert found(world, start_s)[0].spans == ((start_s, start_s + 600),)


def test_whoever_left_without_ever_joining_was_no_member(world, start_s):
    world.entry(100, LogKind.LEFT, 1, text="ended", power_w=1.0)
    assert found(world, start_s) == ()
