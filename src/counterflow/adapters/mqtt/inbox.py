"""What programs say: each message is read strictly, done, answered and only then acknowledged."""

from collections import Counter
from typing import TypeVar

import aiomqtt
import msgspec
import structlog

from counterflow.adapters.mqtt.connection import Line
from counterflow.adapters.mqtt.settings import MqttSettings
from counterflow.adapters.mqtt.topics import ANSWER, HEARD, ORDER, SETPOINT, WITHDRAW
from counterflow.domain.grid import Program
from counterflow.domain.program_translation import Terms, refused
from counterflow.domain.program_words import AnswerWords, OrderWords, SetpointWords, WithdrawWords
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.engine.grid_side import GridSide

Words = TypeVar("Words", OrderWords, WithdrawWords, SetpointWords)
_ORDER = msgspec.json.Decoder(OrderWords)
_WITHDRAW = msgspec.json.Decoder(WithdrawWords)
_SETPOINT = msgspec.json.Decoder(SetpointWords)


_FAULT = Refusal(
    kind=RefusalKind.TIMED_OUT,
    sentence="A fault of the server kept this from being done, or from being told: whether it took effect is not known.",
    remedy="Send it again: it is known by its key.",
)

log = structlog.get_logger("counterflow")


class Malformed(Exception):  # noqa: N818  # it is a word of ours, and no error of the program
    """What cannot be read, with the key of the order as far as it could be found."""

    def __init__(self, problem: str, key: str | None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.key = key


class Inbox:
    """Takes the messages of all programs, one after the other, so that answers keep their order."""

    def __init__(self, grid: GridSide, programs: list[Program], settings: MqttSettings) -> None:
        self.outcomes: Counter[str] = Counter()
        """How messages ended; `unanswered` = malformed ones beyond the rate that is answered."""
        self._grid = grid
        self._settings = settings
        self._terms = {settings.topics_of(program): Terms(program) for program in programs}
        self._room, self._filled_s = settings.malformed_per_min, float("-inf")

    async def subscribe(self, line: Line) -> None:
        """Hear all programs. Raises MqttError."""
        for root in self._terms:
            for name in HEARD:
                topic = f"{root}/{name}"
                # A set-point is for now: the broker neither keeps the last one for us nor those that come while we are away.
                refusal = await line.hear(topic, kept=name != SETPOINT)
                if refusal is not None:
                    raise aiomqtt.MqttError(f"the broker does not let us hear {topic}: {refusal}")

    async def listen(self, line: Line) -> None:
        """Take what comes until the line is gone. Raises MqttError."""
        async for message in line.messages:
            root, _, name = message.topic.value.rpartition("/")
            # Others are of a subscription of an earlier life, of a program that is no more.
            if root in self._terms and name in HEARD:
                answer = await self.take(self._terms[root], name, message.payload, retained=message.retain)
                if answer is not None:
                    await line.say(f"{root}/{ANSWER}", answer)
            line.acknowledge(message)

    async def take(self, terms: Terms, name: str, payload: bytes, *, retained: bool = False) -> AnswerWords | None:
        """Do what one message says; the answer, None = it is a flood of nonsense and gets none."""
        try:
            if retained and name == SETPOINT:
                raise Malformed("A set-point must not be retained: nobody knows how old it is.", None)
            answer = await self._does(terms, name, payload)
        except Malformed as error:
            self.outcomes["malformed"] += 1
            if not self._may_answer():
                self.outcomes["unanswered"] += 1
                return None
            remedy = f"docs/mqtt.md has the schema of '{name}'."
            refusal = Refusal(kind=RefusalKind.INVALID, sentence=error.problem, remedy=remedy)
            key = None if name == SETPOINT else error.key or "without a key"
            self._grid.decline_value(terms.program.name, {"about": name, "octets": len(payload)}, refusal, key)
            return terms.malformed(name, error.problem, remedy, self._grid.now_s(), error.key)
        except Exception as error:  # noqa: BLE001  # a message that we fail on must not come again and again
            log.error("mqtt message failed", about=name, program=terms.program.name, error=repr(error))
            answer = terms.answer(name, refused(_FAULT), self._grid.now_s())
        self.outcomes[answer.outcome] += 1
        return answer

    async def _does(self, terms: Terms, name: str, payload: bytes) -> AnswerWords:
        grid, program = self._grid, terms.program.name
        if name == ORDER:
            order = _read(_ORDER, payload)
            wanted = terms.order(order)
            if isinstance(wanted, Refusal):
                grid.decline_value(program, {"about": name, "unit": order.unit}, wanted, order.key)
            answer = refused(wanted) if isinstance(wanted, Refusal) else await grid.place(wanted)
            return terms.answer(name, answer, grid.now_s(), key=order.key)
        if name == WITHDRAW:
            back = _read(_WITHDRAW, payload)
            return terms.answer(name, await grid.withdraw(program, back.key, back.why), grid.now_s(), key=back.key)
        value = _read(_SETPOINT, payload)
        power_w = terms.setpoint_w(value, grid.now_s())
        if isinstance(power_w, Refusal):
            grid.decline_value(program, {"about": name, "value": value.value, "unit": value.unit}, power_w)
        said_at_s = value.at.timestamp() if value.at is not None else None
        answer = refused(power_w) if isinstance(power_w, Refusal) else await grid.tell(program, power_w, said_at_s, value.sequence)
        return terms.answer(name, answer, grid.now_s(), sequence=value.sequence)

    def _may_answer(self) -> bool:
        """A bucket of a minute's answers."""
        most, now_s = self._settings.malformed_per_min, self._grid.now_s()
        self._room = min(most, self._room + max(0.0, now_s - self._filled_s) / 60.0 * most)
        self._filled_s = now_s
        if self._room < 1.0:
            return False
        self._room -= 1.0
        return True


def _read(decoder: msgspec.json.Decoder[Words], payload: bytes) -> Words:
    """Raises Malformed."""
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"The message cannot be read: {error}.", _key_in(payload)) from None


def _key_in(payload: bytes) -> str | None:
    """The key of an order that is wrong elsewhere, so that its sender can tell which one it was."""
    try:
        found = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    key = found.get("key") if isinstance(found, dict) else None
    return key[:128] if isinstance(key, str) else None
