"""Dialogues kept as data, played against the whole server without a socket: `tests/spec/ocpp/dialogues/*.json`.

Steps: `says` = the station sends this CALL and is answered so (`answer`: these fields and maybe more; `error`: this code);
`asked` = we have asked this, with at least this payload (`not_asked`: never); `evses`, `session` = what is known afterwards (null = no
session); `orders` = a person orders this dispatch, `dispatch` = where it stands; `confirms` = the site's operator says who has priority;
`held_out` = why the station is, in words (null = it is not). `after_s` = so much time passes first. "@5" is a time, 5 s from now; "$number"
the transaction id that we gave, "$request" the id of our last request for a report. `answers` is what the station says when asked; for
anything else it answers NotImplemented. `settings` replaces sections of the settings.
"""

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app import views
from counterflow.app.config import Settings
from counterflow.app.control_room import ControlRoom
from counterflow.app.notices import NoticeBoard
from counterflow.app.operations import LiveOperations
from counterflow.app.replay import KeptReports
from counterflow.app.reporting import Reporting
from counterflow.domain.conflicts import Leader
from counterflow.domain.ids import SiteId, StationId
from counterflow.domain.instructions import DispatchOrder
from counterflow.domain.views import DispatchAnswer

DIALOGUES = sorted((Path(__file__).parent / "dialogues").glob("*.json"))
TERMS = {"consent": True, "transfer_by_evse_alone": True, "pausing": True, "max_pause_s": 3600.0}
CONSENT = {"stations": {"accept_unknown": True}, "drivers": {"default": TERMS}}
START_S = 1_795_348_800.0


class Stage:
    """One station and the server. `asked` = our calls so far, and what was in them."""

    def __init__(self, dialogue: dict[str, Any]) -> None:
        settings, journal = msgspec.convert(CONSENT | dialogue.get("settings", {}), Settings), MemoryJournal()
        self.room = ControlRoom(
            settings,
            journal,
            new_message_id=map("m{}".format, itertools.count()).__next__,
            notify=lambda _notice: None,
        )
        self.now_s = START_S
        self.room.restore(self.now_s)
        self.answers = dialogue["answers"]
        self.operations = LiveOperations(
            self.room,
            board=NoticeBoard("dialogue"),
            reporting=Reporting(journal, KeptReports(), settings.settlement, lambda _dispatch_id: None),
            now_s=lambda: self.now_s,
            settled=_at_once,
            alarms=lambda: (),
            disconnect=lambda _station_id: None,
        )
        self.dispatch_id: Any = None
        self.request: Any = None
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.number: Any = None
        self._ids = itertools.count()
        self.room.opened("S1", dialogue["subprotocol"], self.now_s)

    def says(self, action: str, payload: Any) -> list[Any]:
        """The frame that answers it; what we ask meanwhile is answered at once."""
        message_id = f"s{next(self._ids)}"
        self.room.received("S1", json.dumps([2, message_id, action, self.filled(payload)]).encode(), self.now_s)
        [answer] = self.settle()
        assert answer[1] == message_id
        if answer[0] == 3 and "transactionId" in answer[2]:
            self.number = self.number or answer[2]["transactionId"]
        return answer

    def settle(self) -> list[list[Any]]:
        """What we ask is answered at once, until there is nothing more to send; returns our own answers."""
        answers: list[list[Any]] = []
        while departing := self.room.take_outbox():
            for _, text in departing:
                frame = json.loads(text)
                if frame[0] == 2:
                    self.asked.append((frame[2], frame[3]))
                    self.request = frame[3].get("requestId", self.request)
                    self.room.received("S1", json.dumps(self.reply(frame)).encode(), self.now_s)
                else:
                    answers.append(frame)
        return answers

    def wait(self, seconds: float) -> None:
        """Time passes, and whatever is due is done."""
        until_s = self.now_s + seconds
        while (due_s := self.room.next_due_s()) is not None and due_s <= until_s:
            self.now_s = max(self.now_s, due_s)
            self.room.advance(self.now_s)
            assert self.settle() == []
        self.now_s = until_s

    def orders(self, order: dict[str, Any]) -> None:
        """A person orders a dispatch."""
        operation = self.operations.order(msgspec.convert(order, DispatchOrder), None, False)
        with pytest.raises(StopIteration) as done:
            operation.send(None)
        answer = done.value.value
        assert isinstance(answer, DispatchAnswer), answer
        self.dispatch_id = answer.dispatch.instruction.dispatch_id
        self.wait(0.0)

    def reply(self, call: list[Any]) -> list[Any]:
        known = self.answers.get(call[2])
        if known is None:
            return [4, call[1], "NotImplemented", "", {}]
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
                return datetime.fromtimestamp(self.now_s + float(value[1:]), UTC).isoformat()
            case _:
                return value


async def _at_once() -> None:
    """The journal in memory is durable at once."""


def holds(expected: Any, found: Any) -> bool:
    """Is everything that is expected there? A dict may hold more."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(key in found and holds(value, found[key]) for key, value in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(holds, expected, found))
    return bool(found == expected)


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_the_dialogue_goes_as_written(path: Path) -> None:
    dialogue = json.loads(path.read_text(encoding="utf-8"))
    stage = Stage(dialogue)
    for number, step in enumerate(dialogue["steps"]):
        where = f"step {number}: {json.dumps(step)[:200]}"
        stage.wait(step.get("after_s", 0))
        if "says" in step:
            frame = stage.says(step["says"], step["payload"])
            if "error" in step:
                assert frame[0] == 4, (where, frame)
                assert frame[2] == step["error"], where
            else:
                assert frame[0] == 3, (where, frame)
                assert holds(stage.filled(step["answer"]), frame[2]), (where, frame)
        elif "asked" in step:
            found = [payload for action, payload in stage.asked if action == step["asked"]]
            assert any(holds(stage.filled(step.get("payload", {})), payload) for payload in found), (where, found)
        elif "not_asked" in step:
            assert step["not_asked"] not in {action for action, _ in stage.asked}, where
        elif "orders" in step:
            stage.orders(step["orders"])
        elif "dispatch" in step:
            view = msgspec.to_builtins(stage.operations.dispatch(stage.dispatch_id))
            assert holds(step["dispatch"], view), (where, view)
        elif "confirms" in step:
            stage.room.conflicts.confirm(SiteId("default"), Leader(step["confirms"]), "operator", "", stage.now_s)
            stage.wait(0.0)
        elif "held_out" in step:
            held = stage.room.conflicts.held_out.get(StationId("S1"))
            assert (held is None) == (step["held_out"] is None), (where, held)
            assert held is None or step["held_out"] in held.text, (where, held)
        elif "evses" in step:
            view = views.station_view(stage.room, "S1", views.sessions_by_station(stage.room))  # type: ignore[arg-type]
            assert view is not None
            assert holds(step["evses"], [msgspec.to_builtins(evse) for evse in view.evses]), (where, view.evses)
        else:
            sessions = [msgspec.to_builtins(view) for view in views.session_views(stage.room, stage.now_s)]
            expected = [] if step["session"] is None else [step["session"]]
            assert holds(expected, sessions), (where, sessions)
    assert stage.room.csms.counters.handler_failures == 0
