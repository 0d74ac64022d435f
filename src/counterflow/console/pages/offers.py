"""What can be promised over the next day, what was promised and how that was kept; below it the reports of what was delivered."""

from typing import Any

from nicegui import ui

from counterflow.console import charts
from counterflow.console.api import ApiError
from counterflow.console.frame import again_and_again, page, visitor_of
from counterflow.console.house import House
from counterflow.console.listed import Listed, Row
from counterflow.console.pages.delivered import Delivered
from counterflow.console.pages.ordering import MODES
from counterflow.console.signing import Visitor
from counterflow.console.tables import table
from counterflow.console.words import UNKNOWN, day_and_clock, power, share

COMMITMENTS_SHOWN = 30
FAN_EVERY_S = 60.0
COVERAGE_EVERY_S = 60.0


def show(house: House) -> None:
    """Add the page."""

    @ui.page("/offers")
    async def offers() -> None:
        visitor = visitor_of(house)
        if visitor is None:
            return
        with page(house, visitor, "Offers and reports", "/offers"):
            ui.label("Firm power for 15 minutes, at each hour of the coming day").classes("text-h6")
            await again_and_again(FAN_EVERY_S, Fan(house, visitor).load)
            ui.label("Offers and commitments").classes("text-h6 q-mt-md")
            await _commitments(house, visitor)
            ui.label("How forecasts of the last 30 days were kept").classes("text-h6 q-mt-md")
            await _coverage(house, visitor)
            ui.label("Delivered").classes("text-h6 q-mt-md")
            await Delivered(house, visitor).keep()


class Fan:
    """What can be promised over the coming day, as chart and in words."""

    def __init__(self, house: House, visitor: Visitor) -> None:
        self._house = house
        self._visitor = visitor
        self._mode = ui.select(MODES, value="net_export", label="Counts as delivery", on_change=self.load).props("dense").classes("w-64")
        self._said = ui.label().classes("cf-name")
        self._chart = ui.echart({"series": []}, renderer="svg").classes("w-full cf-chart").style("height: 320px")
        self._chart.props('role="img" aria-label="Firm power for 15 minutes, at each hour of the coming day"')

    async def load(self) -> None:
        """As the server has worked it out last, which is minutes ago at most."""
        try:
            mode = self._mode.value
            day = await self._house.api.get(self._visitor.token, f"/offer/day?mode={mode}")
        except ApiError as error:
            self._said.set_text(error.sentence)
            return
        if mode != self._mode.value:
            return  # another was chosen meanwhile, and is on its way
        self._said.set_text(fan_words(day))
        self._chart.set_visibility(any(level["power_w"] > 0.0 for one in day for level in one["levels"]))
        options = charts.fan_options(day)
        if options != self._chart.options:
            self._chart.options.clear()
            self._chart.options.update(options)
            self._chart.update()


def fan_words(day: list[dict[str, Any]]) -> str:
    """The fan in a sentence, for those who do not see it; and why there is nothing, if so."""
    if not day:
        return "Nothing is known of the coming day."
    first, most = day[0], max(day, key=lambda one: one["power_w"])
    cars, ready = first["grounds"]["sessions"], first["grounds"]["sessions_ready"]
    if most["power_w"] <= 0.0:
        grounds = first["grounds"]
        rated, limited, lasting, against = (power(grounds[f"{name}_power_w"]) for name in ("rated", "limited", "lasting", "against"))
        return (
            f"Nothing can be promised: of {cars} cars that are plugged in, {ready} may be discharged and are held by no dispatch; of their "
            f"{rated} {limited} fit the limits, {lasting} last, and {against} that others must charge counts against them."
        )
    return (
        f"Now {power(first['power_w'])} with {100.0 * first['confidence']:g} % certainty, from {ready} of {cars} cars; the most is "
        f"{power(most['power_w'])}, from {day_and_clock(most['start_s'])}. Only cars that are plugged in count. "
        f"As of {day_and_clock(first['made_at_s'])}."
    )


async def _commitments(house: House, visitor: Visitor) -> None:
    names = ("id", "state", "pool", "mode", "from", "for", "offered", "committed", "by", "why")
    titles = tuple((name, name.capitalize()) for name in names)
    empty = "Nothing was offered yet: counterflow offer --window 60min"
    shown = table(titles, [], row_key="id", empty=empty, numbers=("for", "offered", "committed"))
    await Listed(house, visitor, "/commitments", commitment_rows, shown).keep()


def commitment_rows(commitments: list[dict[str, Any]]) -> list[Row]:
    """The newest offers, and what became of each."""
    return [
        {
            "id": one["commitment_id"],
            "state": one["state"],
            "pool": one["offer"]["pool"],
            "mode": MODES[one["offer"]["mode"]],
            "from": day_and_clock(one["offer"]["start_s"]),
            "for": f"{one['offer']['window_s'] / 60.0:.0f} min",
            "offered": power(one["offer"]["power_w"]),
            "committed": power(one["power_w"] or None),
            "by": one["committed_by"] or UNKNOWN,
            "why": one["reason"] or UNKNOWN,
        }
        for one in commitments[:COMMITMENTS_SHOWN]
    ]


async def _coverage(house: House, visitor: Visitor) -> None:
    titles = (
        ("pool", "Pool"),
        ("window", "Window"),
        ("mode", "Counts"),
        ("said", "Said"),
        ("reached", "Reached (95 % interval)"),
        ("forecasts", "Forecasts"),
    )
    numbers = ("window", "said", "reached", "forecasts")
    shown = table(titles, [], row_key="key", empty="No forecast's window has passed yet.", numbers=numbers)
    await Listed(house, visitor, "/coverage", coverage_rows, shown).keep(COVERAGE_EVERY_S)


def coverage_rows(coverage: list[dict[str, Any]]) -> list[Row]:
    """How often what was said with so much certainty was reached."""
    return [
        {
            "key": f"{one['pool']}/{one['window_s']}/{one['mode']}/{one['confidence']}",
            "pool": one["pool"],
            "window": f"{one['window_s'] / 60.0:.0f} min",
            "mode": MODES[one["mode"]],
            "said": share(one["confidence"]),
            "reached": _interval(one),
            "forecasts": one["forecasts"],
        }
        for one in coverage
    ]


def _interval(one: dict[str, Any]) -> str:
    if one["reached_frac"] is None:
        return "not judged yet"
    return f"{share(one['reached_frac'])} ({share(one['reached_low_frac'])} to {share(one['reached_high_frac'])})"
