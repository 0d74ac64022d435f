"""The demo's screen: fits 80 columns, changes in place, never shows the unknown as zero."""

from io import StringIO

import msgspec
from rich.console import Console

from counterflow.app.demo.screen import Figures, plain, render, sparkline

RUNNING = Figures(
    phase="discharging",
    elapsed_s=128.0,
    duration_s=240.0,
    target_w=1_253_000.0,
    delivered_w=1_191_000.0,
    true_w=1_190_000.0,
    headroom_w=129_000.0,
    sessions=180,
    discharging=150,
    drop_outs=20,
    messages=422,
    stations=200,
    history=[0.5] * 30 + [1.0] * 60 + [0.95] * 5,
)


def shown(figures: Figures) -> str:
    screen = StringIO()
    Console(width=80, file=screen).print(render(figures))
    return screen.getvalue()


def test_everything_that_people_watch_is_there() -> None:
    text = shown(RUNNING)
    for word in ("1.253 MW", "1.191 MW", "-2.5 %", "129.0 kW", "180", "150", "20", "422", "200", "1:52 left", "discharging"):
        assert word in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_promise_its_scale_and_what_is_true_power_are_on_the_screen() -> None:
    text = shown(RUNNING)
    for word in ("within ±3% of the target", "true power (simulator)", "0 to 120% of the target", "error (10 s mean)"):
        assert word in text


def test_while_the_cars_ramp_no_error_alarms() -> None:
    ramping = msgspec.structs.replace(RUNNING, elapsed_s=30.0, delivered_w=-600_000.0, history=[-0.5] * 30)
    assert "ramping" in shown(ramping)
    assert "-149" not in shown(ramping)


def test_before_the_start_nothing_is_known_and_nothing_is_zero() -> None:
    text = shown(Figures(history=[]))
    assert "-" in text
    assert "0 W" not in text


def test_one_line_for_a_terminal_that_cannot_redraw() -> None:
    assert plain(RUNNING).startswith("discharging:  128 s  target 1.253 MW  delivered 1.191 MW")


def test_the_line_is_squeezed_not_cut() -> None:
    assert sparkline([]) == ""
    line = sparkline([0.0] * 300 + [1.2] * 300)
    assert len(line) == 60
    assert (line[0], line[-1]) == (" ", "█")
    assert len(sparkline([1.0] * 5)) == 5
