"""Dialogues kept as data, played against the whole server without a socket: `tests/spec/ocpp/dialogues/*.json`.

A file names what it is about, the `subprotocol` that the station offers (or several `offers`, of which the newest is agreed), settings
beside the usual ones, the answers that it gives when asked, and steps. A step may begin with `after_s`, a time that passes first;
everything that is due in it happens. Then it is one of these:

- `says` = the station sends this CALL (with this `id`, if given) and is answered so (`answer`: these fields and maybe more; `error`:
  this code)
- `asked` = we have asked this at any time before, with at least this payload; `told` = the same, and after what the last `told` found,
  so that `told` in a row is an order of messages; `not_told` = we have not asked this since, `not_asked` = never
- `call` = a person sends this request (`counterflow call`), `answered` = the results of those; `answers` = what the station answers
  from now on; `answers_held` = it answers now what it held back ("later")
- `line` = "cut" or "open"
- `orders`, `cancels`, `confirms` (who has priority at the site) = what a person does; `dispatch` = where the last order stands
- `evses`, `session` = what is known afterwards (null = no session); `held_out` = why the station is, in words (null = it is not);
  `notice` = this was announced at some time before

In payloads "@5" is a time, 5 s from now; "$number" the transaction id that we gave (1.6); "$request" the newest requestId of ours.
In what is expected "<0", ">0", "~7000" (within 10 %) stand for numbers. Answers: an object; "echo" (SetVariables: all Accepted); "later";
{"error": [code, description]}; for GetVariables the values by name; with none the station answers NotImplemented.
"""

import itertools
import json
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from counterflow.adapters.ocpp.transport import Admitted, Shown
from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.config import Settings
from counterflow.app.control_room import ControlRoom
from counterflow.app.desks import views
from counterflow.app.desks.operations import LiveOperations
from counterflow.app.observing.notices import NoticeBoard
from counterflow.app.replay import KeptReports
from counterflow.app.settlement.reporting import Reporting
from counterflow.domain.conflicts import Leader
from counterflow.domain.dispatch_views import DispatchAnswer
from counterflow.domain.ids import SiteId, StationId
from counterflow.domain.instructions import DispatchOrder
from counterflow.domain.views import Notice

DIALOGUES = sorted((Path(__file__).parent / "dialogues").glob("*.json"))
QUIRKS = 8
"""Of the list of quirks of real stations; each is a file of its own."""
TERMS = {"consent": True, "transfer_by_evse_alone": True, "pausing": True, "max_pause_s": 3600.0}
CONSENT = {"stations": {"accept_unknown": True}, "drivers": {"default": TERMS}}
START_S = 1_795_348_800.0
STATION = StationId("S1")
SAYINGS = {"dispatch", "evses", "session"}


async def _at_once() -> None:
    """The journal in memory is durable at once."""


class Stage:
    """One station, the server and a person. `asked` = our calls so far, and what was in them."""

    def __init__(self, dialogue: dict[str, Any]) -> None:
        self.now_s = START_S
        self.notices: list[Notice] = []
        settings = msgspec.convert(CONSENT | dialogue.get("settings", {}), Settings)
        journal, reports = MemoryJournal(), KeptReports()
        ids = map("m{}".format, itertools.count())
        self.room = ControlRoom(settings, journal, new_message_id=ids.__next__, notify=self.notices.append)
        self.room.restore(self.now_s)
        self.operations = LiveOperations(
            self.room,
            board=NoticeBoard("dialogue"),
            reporting=Reporting(journal, reports, settings.settlement, reports.newest),
            now_s=lambda: self.now_s,
            settled=_at_once,
            alarms=lambda: (),
            disconnect=lambda _station_id: None,
        )
        self.offers: list[str] = dialogue["offers"] if "offers" in dialogue else [dialogue["subprotocol"]]
        self.answers = dialogue["answers"]
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.told = 0
        self.held: list[list[Any]] = []
        self.answered: list[Any] = []
        self.number: Any = None
        self.request: Any = None
        self.dispatch_id: Any = None
        self._ids = itertools.count()
        self.line("open")

    # ---- the line

    def line(self, what: str) -> None:
        """Cut as a station does that closes TCP without a close frame, or open."""
        if what == "cut":
            self.room.closed(STATION, self.now_s, "closed by the station: 1006")
        else:
            admitted = self.room.admit(STATION, self.offers, Shown())
            assert isinstance(admitted, Admitted)
            assert admitted.subprotocol is not None
            self.room.opened(STATION, admitted.subprotocol, self.now_s)
        self.settle()

    def says(self, action: str, payload: Any, message_id: str | None = None) -> list[Any]:
        """The frame that answers it; what we ask meanwhile is answered at once."""
        message_id = message_id or f"s{next(self._ids)}"
        self.room.received(STATION, json.dumps([2, message_id, action, self.filled(payload)]).encode(), self.now_s)
        answer: list[Any] = []
        for frame in self.settle():
            assert frame[1] == message_id
            answer = frame
        if answer[0] == 3 and "transactionId" in answer[2]:
            self.number = self.number or answer[2]["transactionId"]
        return answer

    def settle(self) -> list[list[Any]]:
        """Answer all that we are asked; returns what else the server has said."""
        others = []
        while departing := self.room.take_outbox():
            for _, text in departing:
                frame = json.loads(text)
                if frame[0] != 2:
                    others.append(frame)
                    continue
                self.asked.append((frame[2], frame[3]))
                self.request = frame[3].get("requestId", self.request)
                reply = self.reply(frame)
                if reply is None:
                    self.held.append(frame)
                else:
                    self.room.received(STATION, json.dumps(self.filled(reply)).encode(), self.now_s)
        return others

    def passes(self, seconds: float) -> None:
        """Time passes, and what is due in it happens."""
        until_s = self.now_s + seconds
        while (due_s := self.room.next_due_s()) is not None and due_s <= until_s:
            self.now_s = max(self.now_s, due_s)
            self.room.advance(self.now_s)
            self.settle()
        self.now_s = until_s

    def reply(self, call: list[Any]) -> list[Any] | None:
        known = self.answers.get(call[2])
        if known is None:
            return [4, call[1], "NotImplemented", "", {}]
        if known == "later":
            return None
        if isinstance(known, dict) and "error" in known:
            return [4, call[1], *known["error"], {}]
        if call[2] == "GetVariables":
            return [3, call[1], {"getVariableResult": [self._result(asked, known) for asked in call[3]["getVariableData"]]}]
        if known == "echo":
            told = [{**one, "attributeStatus": "Accepted"} for one in call[3]["setVariableData"]]
            for one in told:
                one.pop("attributeValue")
            return [3, call[1], {"setVariableResult": told}]
        return [3, call[1], known]

    @staticmethod
    def _result(asked: dict[str, Any], known: dict[str, str]) -> dict[str, Any]:
        value = known.get(f"{asked['component']['name']}.{asked['variable']['name']}")
        if value is None or "instance" in asked["variable"] or "evse" in asked["component"] or "attributeType" in asked:
            return {**asked, "attributeStatus": "UnknownVariable"}
        return {**asked, "attributeStatus": "Accepted", "attributeValue": value}

    def filled(self, value: Any) -> Any:
        match value:
            case dict():
                return {key: self.filled(inner) for key, inner in value.items()}
            case list():
                return [self.filled(inner) for inner in value]
            case "$number":
                return self.number
            case "$request":
                return self.request
            case str() if value.startswith("@"):
                return datetime.fromtimestamp(self.now_s + float(value[1:]), UTC).isoformat(timespec="milliseconds")
            case _:
                return value

    # ---- people

    def do(self, operation: Coroutine[Any, Any, Any]) -> Any:
        """Carry it out now."""
        try:
            operation.send(None)
        except StopIteration as done:
            self.settle()
            return done.value
        raise AssertionError("it waits")

    def order(self, order: dict[str, Any]) -> None:
        answer = self.do(self.operations.order(msgspec.convert(order, DispatchOrder), None, False))
        assert isinstance(answer, DispatchAnswer), answer
        self.dispatch_id = answer.dispatch.instruction.dispatch_id
        self.passes(0.0)

    def call(self, action: str, payload: dict[str, Any]) -> None:
        self.room.call(STATION, action, payload, self.now_s, lambda result: self.answered.append(type(result).__name__))
        self.settle()

    def answer_held(self, payload: dict[str, Any]) -> None:
        held, self.held = self.held, []
        for frame in held:
            self.room.received(STATION, json.dumps([3, frame[1], payload]).encode(), self.now_s)
        self.settle()

    def act(self, step: dict[str, Any]) -> None:
        """Whatever a step does that expects nothing of its own."""
        match next(iter(key for key in step if key != "after_s"), None):
            case "line":
                self.line(step["line"])
            case "orders":
                self.order(step["orders"])
            case "cancels":
                self.do(self.operations.cancel(self.dispatch_id, "dialogue"))
            case "confirms":
                self.do(self.operations.confirm_priority(SiteId("default"), Leader(step["confirms"]), "dialogue", ""))
            case "held_out":
                held = self.room.conflicts.held_out.get(STATION)
                assert (held is None) == (step["held_out"] is None), held
                assert held is None or step["held_out"] in held.text, held
            case "call":
                self.call(step["call"], step["payload"])
            case "answers":
                self.answers = self.answers | step["answers"]
            case "answers_held":
                self.answer_held(step["answers_held"])
            case "answered":
                assert self.answered == step["answered"]
            case None:
                pass
            case unknown:
                raise AssertionError(f"no such step: {unknown}")

    # ---- what is known

    def seen(self, what: str) -> Any:
        """What is shown of the dispatch, the EVSEs or the sessions."""
        if what == "dispatch":
            return msgspec.to_builtins(self.operations.dispatch(self.dispatch_id))
        if what == "session":
            return [msgspec.to_builtins(view) for view in views.session_views(self.room, self.room.fleet.uids(), self.now_s)]
        view = views.station_view(self.room, STATION)
        assert view is not None
        return [msgspec.to_builtins(evse) for evse in view.evses]


def holds(expected: Any, found: Any) -> bool:
    """Is everything that is expected there? A dict may hold more."""
    match expected:
        case dict():
            return isinstance(found, dict) and all(key in found and holds(value, found[key]) for key, value in expected.items())
        case list():
            return isinstance(found, list) and len(found) == len(expected) and all(map(holds, expected, found))
        case "<0":
            return bool(found < 0)
        case ">0":
            return bool(found > 0)
        case str() if expected.startswith("~"):
            wanted = float(expected[1:])
            return abs(found - wanted) <= 0.1 * abs(wanted)
        case _:
            return bool(found == expected)


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_the_dialogue_goes_as_written(path: Path) -> None:
    dialogue = json.loads(path.read_text(encoding="utf-8"))
    stage = Stage(dialogue)
    for number, step in enumerate(dialogue["steps"]):
        where = f"step {number}: {json.dumps(step)[:200]}"
        stage.passes(step.get("after_s", 0))
        if "says" in step:
            frame = stage.says(step["says"], step["payload"], step.get("id"))
            if "error" in step:
                assert frame[0] == 4, (where, frame)
                assert frame[2] == step["error"], where
            else:
                assert frame[0] == 3, (where, frame)
                assert holds(stage.filled(step["answer"]), frame[2]), (where, frame)
        elif "asked" in step:
            found = [payload for action, payload in stage.asked if action == step["asked"]]
            assert any(holds(stage.filled(step.get("payload", {})), payload) for payload in found), (where, stage.asked)
        elif "told" in step:
            since = enumerate(stage.asked[stage.told :], stage.told)
            hits = [
                place
                for place, (action, payload) in since
                if action == step["told"] and holds(stage.filled(step.get("payload", {})), payload)
            ]
            assert hits, (where, stage.asked[stage.told :])
            stage.told = hits[0] + 1
        elif "not_asked" in step:
            assert step["not_asked"] not in {action for action, _ in stage.asked}, where
        elif "not_told" in step:
            assert step["not_told"] not in [action for action, _ in stage.asked[stage.told :]], where
        elif "notice" in step:
            assert any(holds(step["notice"], msgspec.to_builtins(notice)) for notice in stage.notices), (where, stage.notices)
        elif SAYINGS & set(step):
            [what] = SAYINGS & set(step)
            expected = [] if what == "session" and step[what] is None else [step[what]] if what == "session" else step[what]
            assert holds(expected, stage.seen(what)), (where, stage.seen(what))
        else:
            stage.act(step)
    assert stage.room.csms.counters.handler_failures == 0


def test_every_use_case_and_every_quirk_of_the_list_is_a_dialogue() -> None:
    names = {path.stem for path in DIALOGUES}
    assert {f"use_{case}" for case in ("boot", "needs", "dispatch", "conflict", "drop_out", "end")} <= names
    quirks = {int(name.split("_")[1]) for name in names if name.startswith("quirk_")}
    assert quirks == set(range(1, QUIRKS + 1))
