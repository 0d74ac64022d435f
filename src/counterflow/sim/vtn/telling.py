"""Notifications: what changed, pushed to the webhooks of subscriptions and to the topics of an MQTT broker. Hints, sent once."""

import asyncio
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Any, Protocol

import httpx
import msgspec
from msgspec import Struct

from counterflow.adapters.openadr.models import AnyObject, Event, Operation, Program, Resource, Subscription, Ven, Version
from counterflow.adapters.openadr.reading import OBJECTS
from counterflow.adapters.openadr.wire_v30 import lowered
from counterflow.adapters.openadr.writing import write_object
from counterflow.sim.vtn.clients import Client, Role
from counterflow.sim.vtn.quirks import Quirks
from counterflow.sim.vtn.refusal import RefusedError
from counterflow.sim.vtn.store import Store

TIMEOUT_S = 5.0
_NAMES = {kind: name for name, kind in OBJECTS.items()}


class Publisher(Protocol):
    """A connection to an MQTT broker."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Sends one message."""
        ...


class Told(Struct, frozen=True, kw_only=True):
    """A notification that was sent, and what became of it."""

    callback_url: str
    operation: Operation
    object_id: str
    status: int | None
    """Of the answer; None = there was none."""


class Teller:
    """Sends notifications in the background, so that no request waits for a subscriber."""

    def __init__(self, quirks: Quirks, http: Callable[[], httpx.AsyncClient] = httpx.AsyncClient) -> None:
        self.told: list[Told] = []
        self.muted = False
        """Nothing is pushed: what a VEN would see when all hints get lost."""
        self.publisher: Publisher | None = None
        self._quirks = quirks
        self._http = http
        self._version_of: dict[str, Version] = {}
        self._by_verb: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def subscribed(self, subscription: Subscription, version: Version, by_verb: bool) -> None:
        """From now on it is told in the words of this version. `by_verb`: the client said POST for CREATE, and is answered so."""
        self._version_of[subscription.id] = version
        (self._by_verb.add if by_verb else self._by_verb.discard)(subscription.id)

    def speaks_by_verb(self, subscription: Subscription) -> bool:
        """Clients of 3.0.1 are about that name the operations of subscriptions as its notifications do, and understand nothing else."""
        return subscription.id in self._by_verb

    async def check_echo(self, subscription: Subscription) -> None:
        """A callback must prove that it wants to be called (User Guide §8: echo). Raises `RefusedError` (400)."""
        async with self._http() as http:
            for wish in subscription.object_operations:
                challenge = token_hex(8)
                url = f"{wish.callback_url.rstrip('/')}/echo" if self._quirks.echo_in_path else wish.callback_url
                try:
                    answer = await http.get(url, params={"echo": challenge}, timeout=TIMEOUT_S)
                except httpx.HTTPError as fault:
                    raise RefusedError(400, "Bad Request", f"The callback {url} cannot be reached: {fault!r}.") from fault
                if answer.status_code != 200 or answer.text.strip().strip('"') != challenge:
                    said = f"{answer.status_code} {answer.text[:40]!r}"
                    raise RefusedError(
                        400, "Bad Request", f"The callback {url} must answer the echo {challenge!r} with 200, and said {said}."
                    )

    def changed(self, operation: Operation, thing: AnyObject, store: Store) -> None:
        """Told to every subscription that wants it and may know it, and to the broker."""
        if self.muted:
            return
        for subscription in store.all_of(Subscription):
            version = self._version_of.get(subscription.id, Version.V3_1_0)
            if thing.id != subscription.id and _wanted(subscription, thing, store, version):
                self._tell(subscription, operation, thing, version)
        if self.publisher is not None:
            body = self.body(operation, thing, Version.V3_1_0)
            for topic in topics_of(operation, thing, store):
                self._start(self.publisher.publish(topic, body))

    async def settled(self) -> None:
        """Returns when everything that was begun is sent."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _tell(self, subscription: Subscription, operation: Operation, thing: AnyObject, version: Version) -> None:
        for wish in subscription.object_operations:
            if operation in wish.operations and _NAMES[type(thing)] in wish.objects:
                self._start(self._post(wish.callback_url, wish.bearer_token, operation, thing, version))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _post(self, url: str, token: str | None, operation: Operation, thing: AnyObject, version: Version) -> None:
        headers = {"content-type": "application/json"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        status: int | None = None
        try:
            async with self._http() as http:
                answer = await http.post(url, content=self.body(operation, thing, version), headers=headers, timeout=TIMEOUT_S)
                status = answer.status_code
        except httpx.HTTPError:
            status = None
        self.told.append(Told(callback_url=url, operation=operation, object_id=thing.id, status=status))

    def body(self, operation: Operation, thing: AnyObject, version: Version) -> bytes:
        """A notification as it is sent."""
        raw: dict[str, Any] = {"objectType": _NAMES[type(thing)], "operation": operation, "object": write_object(thing, Version.V3_1_0)}
        if version is Version.V3_0_1:
            raw = lowered(raw)
        raw["object"] = self._quirks.dressed(raw["object"])
        body = msgspec.json.encode(self._quirks.notification(raw))
        return msgspec.json.encode(body.decode()) if self._quirks.double_encoded_notifications else body


def _wanted(subscription: Subscription, thing: AnyObject, store: Store, version: Version) -> bool:
    program_id = thing.id if isinstance(thing, Program) else getattr(thing, "program_id", None)
    if subscription.program_id is not None and program_id not in (None, subscription.program_id):
        return False
    targets = getattr(thing, "targets", ())
    if subscription.targets and not set(subscription.targets) & set(targets):
        return False
    reader = Client(client_id=subscription.client_id or "", secret="", role=store.role_of(subscription.client_id or ""))
    return store.may_read(reader, thing, version)


def topics_of(operation: Operation, thing: AnyObject, store: Store) -> list[str]:
    """Where a change is published, as `/notifiers/mqtt/topics/...` names it."""
    word = operation.lower()
    kind = f"{_NAMES[type(thing)].lower()}s"
    topics = [f"{kind}/{word}"]
    if isinstance(thing, Program):
        topics.append(f"programs/{thing.id}/{word}")
    if isinstance(thing, Ven):
        topics.append(f"vens/{thing.id}/{word}")
    if isinstance(thing, Event):
        topics.append(f"programs/{thing.program_id}/events/{word}")
    if isinstance(thing, Program | Event):
        readers = [ven for ven in store.all_of(Ven) if _ven_may_read(ven, thing, store)]
        topics += [f"vens/{ven.id}/{kind}/{word}" for ven in readers]
    if isinstance(thing, Resource):
        topics.append(f"vens/{thing.ven_id}/resources/{word}")
    return topics


def _ven_may_read(ven: Ven, thing: Program | Event, store: Store) -> bool:
    return store.may_read(Client(client_id=ven.client_id or "", secret="", role=Role.VEN), thing, Version.V3_1_0)
