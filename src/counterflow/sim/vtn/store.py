"""The objects of a VTN, and who may do what with them. No clock, no socket: `now_s` is handed in, and changes are told to `on_change`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeVar

from msgspec import structs

from counterflow.adapters.openadr.models import AnyObject, Event, Operation, Program, Report, Resource, Subscription, Ven, Version, Wired
from counterflow.adapters.openadr.reading import OBJECTS
from counterflow.sim.vtn.clients import Client, Role
from counterflow.sim.vtn.refusal import RefusedError

_A = TypeVar("_A", bound=AnyObject)
_WRITERS: Mapping[type[Wired], frozenset[Role]] = {
    Program: frozenset({Role.BUSINESS_LOGIC}),
    Event: frozenset({Role.BUSINESS_LOGIC}),
    Report: frozenset({Role.VEN}),
    Subscription: frozenset(Role),
    Ven: frozenset(Role),
    Resource: frozenset(Role),
}
_NAMES: Mapping[type[Wired], str] = {kind: name for name, kind in OBJECTS.items()}


class Store:
    """What was created, in that order. `run` goes into every id, so that ids of one run mean nothing in another."""

    def __init__(
        self, roles: Mapping[str, Role], now_s: Callable[[], float], run: str, on_change: Callable[[Operation, AnyObject], None]
    ) -> None:
        self._roles = roles
        self._now_s = now_s
        self._run = run
        self._on_change = on_change
        self._count = 0
        self._objects: dict[str, AnyObject] = {}

    def all_of(self, kind: type[_A]) -> list[_A]:
        """All objects of a kind, oldest first."""
        return [one for one in self._objects.values() if isinstance(one, kind)]

    def visible(self, who: Client, kind: type[_A], version: Version) -> list[_A]:
        """Those that a client may read."""
        return [one for one in self.all_of(kind) if self.may_read(who, one, version)]

    def get(self, who: Client, kind: type[_A], object_id: str, version: Version) -> _A:
        """One object. Raises `RefusedError` (404), also where the client may not know that it is there."""
        found = self._objects.get(object_id)
        if not isinstance(found, kind) or not self.may_read(who, found, version):
            raise RefusedError(404, "Not Found", f"There is no {_NAMES[kind].lower()} {object_id}.")
        return found

    def create(self, who: Client, thing: AnyObject, version: Version) -> AnyObject:
        """Raises `RefusedError` (400, 403, 404, 409)."""
        self._check_writer(who, type(thing))
        owned = self._owned(who, thing, None, version)
        self._check_references(who, owned, version)
        self._check_unique(owned)
        self._count += 1
        now_s = self._now_s()
        name = _NAMES[type(thing)].lower()
        stored = structs.replace(owned, id=f"{name}-{self._run}-{self._count}", created_s=now_s, modified_s=now_s)
        self._objects[stored.id] = stored
        self._on_change("CREATE", stored)
        return stored

    def replace(self, who: Client, object_id: str, thing: AnyObject, version: Version) -> AnyObject:
        """Raises `RefusedError` (400, 403, 404, 409)."""
        before = self.get(who, type(thing), object_id, version)
        self._check_writer(who, type(thing))
        owned = structs.replace(self._owned(who, thing, before, version), id=object_id)
        self._check_references(who, owned, version)
        self._check_unique(owned)
        stored = structs.replace(owned, created_s=before.created_s, modified_s=self._now_s())
        self._objects[object_id] = stored
        self._on_change("UPDATE", stored)
        return stored

    def delete(self, who: Client, kind: type[_A], object_id: str, version: Version) -> _A:
        """Raises `RefusedError` (403, 404, 409)."""
        found = self.get(who, kind, object_id, version)
        self._check_writer(who, kind)
        if isinstance(found, Program) and any(event.program_id == object_id for event in self.all_of(Event)):
            raise RefusedError(409, "Conflict", f"Program {object_id} has events: delete them first.")
        if isinstance(found, Ven):
            for resource in self.all_of(Resource):
                if resource.ven_id == object_id:
                    self._drop(resource)
        self._drop(found)
        return found

    def role_of(self, client_id: str) -> Role:
        """What a client is; one that is not known reads as a VEN does."""
        return self._roles.get(client_id, Role.VEN)

    def granted(self, client_id: str) -> frozenset[str]:
        """The targets that the operator has granted a client's vens and resources (User Guide §7.10)."""
        mine: Iterable[Ven | Resource] = [*self.all_of(Ven), *self.all_of(Resource)]
        return frozenset(target for one in mine if one.client_id == client_id for target in one.targets)

    def may_read(self, who: Client, thing: AnyObject, version: Version) -> bool:
        """Object privacy (3.1.0): what has targets is for those who were granted one; what a client wrote is its own and the operator's."""
        if who.role is Role.BUSINESS_LOGIC:
            return True
        if isinstance(thing, Program | Event):
            return version is Version.V3_0_1 or not thing.targets or bool(self.granted(who.client_id).intersection(thing.targets))
        return thing.client_id == who.client_id

    def _drop(self, thing: AnyObject) -> None:
        del self._objects[thing.id]
        self._on_change("DELETE", thing)

    def _check_writer(self, who: Client, kind: type[Wired]) -> None:
        if who.role not in _WRITERS[kind]:
            raise RefusedError(403, "Forbidden", f"A {who.role} client may not write a {_NAMES[kind].lower()}.")

    def _owned(self, who: Client, thing: AnyObject, before: AnyObject | None, version: Version) -> AnyObject:
        """With what the VTN decides and not the sender: whose it is, which targets it has, and the program of a report."""
        if isinstance(thing, Report):
            event = self._objects.get(thing.event_id)
            return structs.replace(thing, client_id=who.client_id, program_id=event.program_id if isinstance(event, Event) else None)
        if isinstance(thing, Subscription):
            return structs.replace(thing, client_id=who.client_id)
        if isinstance(thing, Ven | Resource):
            return self._granting(who, thing, before, version)
        return thing

    def _granting(self, who: Client, thing: Ven | Resource, before: AnyObject | None, version: Version) -> AnyObject:
        """A VEN says who it is; which targets it is granted is the operator's to say (3.1.0). In 3.0.1 each side says all."""
        assert before is None or isinstance(before, Ven | Resource)
        kind: Literal["VEN", "RESOURCE"] = "VEN" if isinstance(thing, Ven) else "RESOURCE"
        if version is Version.V3_0_1:
            owner = before.client_id if before is not None else who.client_id
            return structs.replace(thing, object_type=kind, client_id=owner)
        wanted = f"BL_{kind}_REQUEST" if who.role is Role.BUSINESS_LOGIC else f"VEN_{kind}_REQUEST"
        if thing.object_type != wanted:
            raise RefusedError(400, "Bad Request", f"objectType must be {wanted} when a {who.role} client writes it.")
        if who.role is Role.BUSINESS_LOGIC:
            if not thing.client_id:
                raise RefusedError(400, "Bad Request", f"{wanted} needs the clientID of the VEN that it is for.")
            return structs.replace(thing, object_type=kind)
        return structs.replace(thing, object_type=kind, client_id=who.client_id, targets=before.targets if before is not None else ())

    def _check_references(self, who: Client, thing: AnyObject, version: Version) -> None:
        """What it names must be there (409: the description's example is a violated foreign key; 404 for the ven of a resource)."""
        if isinstance(thing, Event) and not isinstance(self._objects.get(thing.program_id), Program):
            raise RefusedError(409, "Conflict", f"There is no program {thing.program_id}.")
        if isinstance(thing, Subscription) and thing.program_id and not isinstance(self._objects.get(thing.program_id), Program):
            raise RefusedError(409, "Conflict", f"There is no program {thing.program_id}.")
        if isinstance(thing, Report) and not isinstance(self._objects.get(thing.event_id), Event):
            raise RefusedError(409, "Conflict", f"There is no event {thing.event_id}.")
        if isinstance(thing, Resource):
            self.get(who, Ven, thing.ven_id, version)

    def _check_unique(self, thing: AnyObject) -> None:
        """Names are unique where the description says so; a report is, by its event, client and name."""
        key = _unique_key(thing)
        if key is not None and any(_unique_key(one) == key and one.id != thing.id for one in self.all_of(type(thing))):
            raise RefusedError(409, "Conflict", f"There is a {_NAMES[type(thing)].lower()} {key[-1]!r} already.")


def _unique_key(thing: AnyObject) -> tuple[str, ...] | None:
    match thing:
        case Program():
            return (thing.program_name,)
        case Ven():
            return (thing.ven_name,)
        case Resource():
            return (thing.ven_id, thing.resource_name)
        case Report():
            return (thing.event_id, thing.client_id or "", thing.client_name, thing.report_name) if thing.report_name else None
        case _:
            return None
