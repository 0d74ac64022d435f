"""What is around every page: who is signed in, where one can go, alarms, how fresh it all is, and the emergency stop, always in sight."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from nicegui import background_tasks, ui

from counterflow.console import figures
from counterflow.console.api import ApiError
from counterflow.console.asking import Asked
from counterflow.console.charts import WALL_FROM_PX
from counterflow.console.cut import MARK, SCRIPT
from counterflow.console.feed import Feed
from counterflow.console.house import House
from counterflow.console.signing import COOKIE, Visitor, way_in
from counterflow.console.words import age, clock, counted

PLACES = (("/", "Dispatch"), ("/fleet", "Fleet"), ("/sites", "Sites"), ("/offers", "Offers and reports"), ("/health", "Health"))
STALE_AFTER_S = 5.0
ENDS_SOON_S = 300.0
"""So long before it ends a sign-in says so: whoever begins something then may be interrupted."""
WORD_AFTER_S = 1.0
"""An order that has had no answer for so long says that it has none."""
FIRST_WITHIN_S = 0.3
"""So long a page that is opened waits for each of its first answers; the framework gives up a page that takes 3 s."""
PRIMARY, NEGATIVE = "#0069A8", "#B3261E"
"""Of Okabe and Ito's blue, and a red; both dark enough for white words on them (WCAG 2 AA: 4.5 to 1; tests/console/test_contrast.py)."""
LINK, LINK_DARK, NEGATIVE_DARK = "#005A8C", "#6CC0F0", "#FF8A80"
BAR, ALARM = "#13293D", "#7A1F1F"
PAPER, PAPER_DARK = "#FFFFFF", "#121212"
MUTED, MUTED_DARK = "#595959", "#B8B8B8"
FOCUS, FOCUS_DARK = "#B35900", "#E69F00"
STYLE = f"""
:root {{ --cf-figure: clamp(1.5rem, 2.1vw, 3rem); --cf-link: {LINK}; --cf-muted: {MUTED}; --cf-focus: {FOCUS}; --cf-paper: {PAPER}; }}
.body--dark {{
  --cf-link: {LINK_DARK}; --cf-muted: {MUTED_DARK}; --cf-focus: {FOCUS_DARK}; --cf-paper: {PAPER_DARK};
}}
body {{ font-variant-numeric: tabular-nums; }}
.nicegui-content {{ padding: 0; gap: 0; }}
{figures.STYLE}
.cf-lines .q-item {{ padding: .15rem 0; min-height: 0; }}
.cf-lines .q-item__section--side {{ min-width: 6rem; padding-right: .5rem; align-items: start; }}
.cf-paged {{ max-height: calc(100vh - 9.6rem); }}
.cf-paged tbody :is(tr, td) {{ height: 27px !important; padding-top: 2px; padding-bottom: 2px; }}
.cf-paged thead th {{ position: sticky; top: 0; z-index: 1; background: var(--cf-paper); }}
.q-btn.disabled {{ opacity: .5 !important; filter: grayscale(1); }}
.q-btn-toggle {{ border: 1px solid var(--cf-muted); box-shadow: none; }}
.cf-cards {{ display: grid; grid-template-columns: repeat(6, 1fr); gap: .75rem; }}
@media (max-width: 1100px) {{ .cf-cards {{ grid-template-columns: repeat(4, 1fr); }} }}
.cf-name, .cf-chart text {{ color: var(--cf-muted); fill: var(--cf-muted); }}
.cf-name {{ font-size: .85rem; }}
.cf-name.w-56 {{ flex: none; }}
.cf-frames {{ word-break: break-word; font-size: .85rem; }}
.cf-frames th, .cf-frames td:not(:last-child) {{ white-space: nowrap; word-break: normal; vertical-align: top; }}
.cf-link, .nicegui-link:not(.text-white) {{ color: var(--cf-link) !important; text-decoration: underline; text-underline-offset: .15em; }}
.body--dark .text-primary {{ --q-primary: {LINK_DARK}; }}
.body--dark .text-negative {{ --q-negative: {NEGATIVE_DARK}; }}
.q-field__label, .q-table__bottom {{ color: var(--cf-muted); }}
.q-table th {{ font-weight: 600; }}
.q-table td.text-right, .q-table th.text-right {{ padding-right: 1.5rem; }}
.cf-bar {{ height: 10px; border: 1px solid var(--cf-muted); border-radius: 3px; overflow: hidden; }}
.cf-bar > div {{ height: 100%; background: {PRIMARY}; }}
.cf-bar.cf-near > div {{ background: repeating-linear-gradient(45deg, #D55E00 0 8px, #8F3F00 8px 12px); }}
.cf-bar.cf-full > div {{ background: {NEGATIVE}; }}
a:focus-visible, button:focus-visible, th:focus-visible, [tabindex="0"]:focus-visible {{
  outline: 3px solid var(--cf-focus); outline-offset: 2px;
}}
.q-btn:focus-visible {{ box-shadow: 0 0 0 2px var(--cf-paper), 0 0 0 5px var(--cf-focus); }}
header a:focus-visible, header button:focus-visible {{ outline-color: {FOCUS_DARK}; }}
header .q-btn:focus-visible {{ box-shadow: 0 0 0 2px {BAR}, 0 0 0 5px {FOCUS_DARK}; }}
@media (min-width: {WALL_FROM_PX + 100}px) {{
  html {{ font-size: 20px; }}
  body, .q-btn, .q-field, .q-table th, .q-table td, .q-table__bottom, .q-item {{ font-size: 1rem; }}
  .q-table th {{ font-size: .9rem; }}
  .q-field__label, .q-field__native, .q-field__input {{ font-size: .9rem; }}
  .cf-paged {{ max-height: calc(100vh - 10rem); }}
  .q-field--dense .q-field__control, .q-field--dense .q-field__marginal {{ height: 52px; }}
  .q-field--dense.q-field--labeled .q-field__native, .q-field--dense.q-field--labeled .q-field__input {{ padding: 14px 0 6px; }}
  .q-field--dense .q-field__label {{ top: 14px; }}
  .q-table__bottom .q-btn {{ font-size: 1rem !important; }}
  .cf-bar {{ height: 16px; }}
  :root {{ --cf-figure: 3.4rem; }}
}}
.{MARK} {{ font-size: .85rem; white-space: nowrap; padding: .1rem .5rem; border-radius: 3px; }}
.{MARK}::before {{ content: "●"; margin-right: .4em; color: #7CE0A8; }}
.{MARK}.cf-old, .cf-cut .{MARK} {{ background: {ALARM}; font-weight: 600; outline: 1px solid white; }}
.{MARK}.cf-old::before {{ content: "⚠"; color: white; }}
.cf-cut .{MARK} {{ font-size: 0; }}
.cf-cut .{MARK}::before {{ content: "⚠ old: " attr(data-age) " s"; color: white; font-size: .85rem; margin: 0; }}
.cf-cut #cf-main, .cf-cut .q-dialog__inner {{ opacity: .55; }}
#cf-cut {{
  position: fixed; inset: auto 0 0 0; z-index: 10000; background: {ALARM}; color: white; padding: .8rem 1.5rem; font-size: 1.1rem;
  pointer-events: none;
}}
#popup {{ display: none; }}
.cf-skip {{ position: absolute; left: -100vw; }}
.cf-skip:focus {{ left: 1rem; top: .5rem; z-index: 9999; background: {PAPER}; color: {LINK}; padding: .5rem 1rem; }}
"""
_KEEPS_FOCUS = """<script>
(() => {
  const name = (found) => found.closest("a[href]")?.getAttribute("href") ?? found.innerText;
  let held = null;
  document.addEventListener("focusin", ({target}) => {
    const table = target.closest(".q-table__container");
    held = table && {target, name: name(target), table: [...document.querySelectorAll(".q-table__container")].indexOf(table)};
  });
  document.addEventListener("pointerdown", () => { held = null; });
  new MutationObserver(() => {
    if (!held || held.target.isConnected || document.activeElement !== document.body) return;
    const table = document.querySelectorAll(".q-table__container")[held.table];
    const same = [...(table?.querySelectorAll("a[href], th[tabindex]") ?? [])].find((one) => name(one) === held.name);
    if (same) same.focus({preventScroll: true});
  }).observe(document, {subtree: true, childList: true});
})();
</script>"""
"""Cells of a table are made anew with its rows; whoever has one of them under the keyboard keeps it."""
_SKIP = '<a class="cf-skip" href="#cf-main">To the content</a>'
_SIGN_OUT = (
    '<form method="post" action="/sign-out" style="margin:0"><button style="color:white;text-decoration:underline">Sign out</button></form>'
)
_ALARM = f"background: {ALARM}; color: white"


_log = logging.getLogger("counterflow.console")


def visitor_of(house: House) -> Visitor | None:
    """Whoever opened this page. None: they have been sent to the sign-in page."""
    request = ui.context.client.request
    visitor = house.visitors.find(request.cookies.get(COOKIE))
    if visitor is None:
        _to_sign_in()
    return visitor


def _to_sign_in() -> None:
    """And back to this page afterwards."""
    ui.navigate.to(way_in(ui.context.client.request.url.path, is_over=True))


@contextmanager
def page(house: House, visitor: Visitor, title: str, place: str) -> Iterator[None]:
    """The frame; the body of the `with` is the page. While it is open, the feed is kept fresh."""
    ui.page_title(f"{title} – Counterflow")
    ui.add_css(STYLE)
    ui.add_head_html(_KEEPS_FOCUS)
    ui.add_head_html(SCRIPT)
    ui.dark_mode(None)
    ui.colors(primary=PRIMARY, negative=NEGATIVE)
    _count_viewer(house)
    with ui.header().classes("items-center q-px-md q-py-xs no-wrap").style(f"background: {BAR}"):
        ui.html(_SKIP, sanitize=False).classes("absolute")
        ui.label("Counterflow").classes("text-h6 q-mr-md")
        with ui.row().classes("gap-1 no-wrap").props('role="navigation" aria-label="Pages"'):
            for path, name in PLACES:
                link = ui.link(name, path).classes("text-white q-px-sm q-py-xs rounded-borders no-underline")
                if path == place:
                    link.style("background: rgba(255,255,255,.18)").props('aria-current="page"')
        ui.space()
        fresh = ui.label().classes(MARK)
        ui.label(f"{visitor.name} ({visitor.role.name.lower()})").classes("text-caption q-mx-sm")
        ui.html(_SIGN_OUT, sanitize=False)
        stop = ui.button("Emergency stop").props('color="negative" unelevated').classes("q-ml-sm")
        stop.on_click(lambda: _ask_stop(house, visitor))
        stop.set_enabled(visitor.may_operate)
    alarms = ui.column().classes("w-full q-px-lg gap-1").props('role="alert"')
    _keep(house, visitor, fresh, alarms, stop)
    with ui.column().classes("w-full q-px-lg q-py-md gap-3").props('id="cf-main" role="main" tabindex="-1"'):
        yield


def every_second(update: Callable[[], None]) -> None:
    """Now, and once a second for as long as the page is open, whatever came of the last time."""
    trouble = ui.label().classes("text-negative")
    trouble.set_visibility(False)
    logged: set[str] = set()

    def go_on() -> None:
        try:
            update()
        except Exception as error:  # noqa: BLE001  # one odd answer must not take the page, with the emergency stop on it
            told = f"{type(error).__name__}: {error}"
            if told not in logged:
                logged.add(told)
                _log.error("a part of a page cannot be shown: %s", told, exc_info=error)
            trouble.set_text(f"A part of this page cannot be shown ({type(error).__name__}): what is here may be old.")
            trouble.set_visibility(True)
        else:
            trouble.set_visibility(False)

    go_on()
    ui.timer(1.0, go_on, immediate=False)


async def keep_asking(every_s: float, asked: Asked[Any]) -> None:
    """Now, and so often for as long as the page is open.

    A server that answers at once fills the page before it is sent; for one that does not, the page does not wait.
    """
    first = background_tasks.create(asked.look())
    await asyncio.wait({first}, timeout=FIRST_WITHIN_S)
    ui.timer(every_s, asked.look, immediate=False)


async def again_and_again(every_s: float, load: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """The same for what is asked and shown in one; below it why it is old, if so."""
    trouble = ui.label().classes("text-negative")
    await keep_asking(every_s, Asked(load, lambda _: None, trouble.set_text))


def _count_viewer(house: House) -> None:
    house.feed.viewers += 1
    client = ui.context.client

    def gone() -> None:
        house.feed.viewers -= 1

    client.on_delete(gone)


def _keep(house: House, visitor: Visitor, fresh: ui.label, alarms: ui.column, stop: ui.button) -> None:
    shown: list[tuple[str, ...]] = [("?",)]

    def update() -> None:
        if house.visitors.find(visitor.key) is None:
            _to_sign_in()
            return
        feed, now_s = house.feed, house.now_s()
        trouble = trouble_words(feed, now_s)
        # It names the second: by that the page sees that it is still heard.
        fresh.set_text(f"live {clock(now_s)}" if not trouble else f"old: {old_words(feed, now_s)}, at {clock(now_s)}")
        fresh.classes(add="cf-old" if trouble else None, remove=None if trouble else "cf-old")
        is_stopped = bool(feed.fleet.get("emergency_stop"))
        stop.set_text("Reset emergency stop" if is_stopped else "Emergency stop")
        ends = ending_words(house.visitors.ends_in_s(visitor))
        said = (*([trouble] if trouble else []), *feed.health.get("alarms", ()), *([ends] if ends else []))
        if said != shown[0]:
            shown[0] = said
            alarms.clear()
            with alarms:
                for sentence in said:
                    with ui.row().classes("w-full items-center no-wrap rounded-borders q-px-sm q-py-xs").style(_ALARM):
                        ui.icon("warning").props('aria-hidden="true"')
                        ui.label(sentence)

    every_second(update)


def trouble_words(feed: Feed, now_s: float) -> str:
    """Why what is shown is old, and of when it is; empty = it is fresh."""
    trouble = feed.trouble or ("The server does not answer." if now_s - feed.looked_at_s > STALE_AFTER_S else "")
    if not trouble:
        return ""
    return f"{trouble} What is shown is of {clock(feed.looked_at_s)}." if feed.is_known else f"{trouble} Nothing is known yet."


def old_words(feed: Feed, now_s: float) -> str:
    """How old what is shown is."""
    return age(now_s - feed.looked_at_s) if feed.is_known else "not known yet"


def ending_words(ends_in_s: float) -> str:
    """That a sign-in ends soon; empty = it does not."""
    if ends_in_s > ENDS_SOON_S:
        return ""
    minutes = max(1, round(ends_in_s / 60.0))
    return f"Your sign-in ends in {counted(minutes, 'minute')}. Sign out and in again before you begin something."


def _ask_stop(house: House, visitor: Visitor) -> None:
    is_stopped = bool(house.feed.fleet.get("emergency_stop"))
    with ui.dialog() as dialog, ui.card():
        if is_stopped:
            ui.label("Reset the emergency stop?").classes("text-h6")
            ui.label("Orders are accepted again. Dispatches that it ended stay ended.")
        else:
            ui.label("Stop everything?").classes("text-h6")
            ui.label("Every dispatch ends at once, cars go back to charging, and no order is accepted until a person resets the stop.")
        with ui.row().classes("w-full justify-end"):
            ui.button("Back", on_click=dialog.close).props("flat autofocus")
            ui.button("Reset it" if is_stopped else "Stop now", on_click=lambda: dialog.submit(True)).props('color="negative"')

    async def ask() -> None:
        if not await dialog:
            return
        method = "DELETE" if is_stopped else "POST"
        await act(house, visitor, method, "/emergency-stop", "The emergency stop is reset." if is_stopped else "The emergency stop is on.")

    ui.timer(0.0, ask, once=True)
    dialog.open()


async def act(house: House, visitor: Visitor, method: str, path: str, done: str, body: object = None, **headers: str) -> object | None:
    """Do something in the visitor's name and say what came of it; None = it was not done."""
    if house.visitors.find(visitor.key) is None:
        _to_sign_in()
        return None
    sending = asyncio.create_task(house.api.send(visitor.token, method, path, body, **headers))
    await asyncio.wait({sending}, timeout=WORD_AFTER_S)
    waits = None
    if not sending.done():
        waits = ui.notification("Asked. The server has not answered yet: whether it is done is not known.", spinner=True, timeout=None)
    try:
        answer: object = await sending
    except ApiError as error:
        _say_no(error.sentence)
        return None
    except Exception as error:  # noqa: BLE001  # a click is never without a word
        _log.exception("%s %s", method, path)
        _say_no(f"The answer of the server is not understood ({type(error).__name__}); whether it was done is not known.")
        return None
    finally:
        if waits is not None:
            waits.dismiss()
    ui.notify(done, type="positive")
    await house.feed.look()
    return answer or {}


def _say_no(sentence: str) -> None:
    ui.notify(sentence, type="negative", multi_line=True, timeout=15_000, close_button="Close")
