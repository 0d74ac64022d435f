"""What a VEN does before it follows events: its programs, its own ven, its resources (grid.md §1.6)."""

from collections.abc import Mapping

from msgspec import Struct

from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.client import VtnClient, VtnError
from counterflow.adapters.openadr.settings import FollowedProgram, ResourceSettings, VtnSettings
from counterflow.adapters.openadr.wire_v30 import resources_path
from counterflow.adapters.openadr.writing import write_resource_request, write_ven_request
from counterflow.domain.grid import Program

_CONFLICT = 409
_FORBIDDEN = (401, 403)


class Followed(Struct, frozen=True):
    """A program of the VTN and what of ours follows it."""

    operators: models.Program
    ours: tuple[tuple[FollowedProgram, Program], ...]


class Introduction(Struct, frozen=True):
    """What became of it. `ven_id` is our name where the VTN gives none; `granted` are the targets by which events are for us where the
    settings name none."""

    ven_id: str
    followed: Mapping[str, Followed]
    """By the VTN's id of the program."""
    granted: frozenset[str]
    complaints: tuple[str, ...]
    """What is not as it should be, in sentences."""


async def introduce(client: VtnClient, settings: VtnSettings, programs: Mapping[str, Program], ven_id: str) -> Introduction:
    """Look for what is configured, and make what is missing. `ven_id` is what is known from before, "" = nothing.

    Raises `VtnError`.
    """
    complaints: list[str] = []
    followed = await _followed(client, settings, programs, complaints)
    granted = {settings.ven_name}
    try:
        ven = await _ven(client, settings)
        ven_id = ven.id
        granted |= set(ven.targets)
        granted |= await _resources(client, settings, ven, complaints)
    except VtnError as error:
        if error.status not in _FORBIDDEN:
            raise
        # Some operators make vens themselves, and let nobody look: events can be followed all the same.
        complaints.append(f"VTN '{settings.name}' does not let us have a ven of our own: {error}")
    return Introduction(ven_id or settings.ven_name, followed, frozenset(granted), tuple(complaints))


async def _followed(
    client: VtnClient, settings: VtnSettings, programs: Mapping[str, Program], complaints: list[str]
) -> dict[str, Followed]:
    page = await client.listing(models.Program, "/programs")
    complaints += [f"VTN '{settings.name}': {fault}." for fault in page.unreadable]
    found: dict[str, Followed] = {}
    for follow in settings.programs:
        program = programs[follow.program]
        same = [one for one in page.items if one.program_name == program.called]
        if not same:
            known = ", ".join(sorted(one.program_name for one in page.items)) or "none"
            complaints.append(f"VTN '{settings.name}' has no program '{program.called}' (it has: {known}).")
        for operators in same:
            before = found.get(operators.id, Followed(operators, ()))
            found[operators.id] = Followed(operators, (*before.ours, (follow, program)))
    return found


async def _ven(client: VtnClient, settings: VtnSettings) -> models.Ven:
    """Our ven; made where there is none. A 409 says that somebody was faster, or that it is not shown to us."""
    ven = await _find_ven(client, settings)
    if ven is not None:
        return ven
    try:
        return await client.create(models.Ven, "/vens", write_ven_request(models.Ven(ven_name=settings.ven_name), settings.version))
    except VtnError as error:
        if error.status != _CONFLICT:
            raise
    ven = await _find_ven(client, settings)
    if ven is None:
        raise VtnError(
            f"VTN '{settings.name}' says that the ven '{settings.ven_name}' exists, and does not show it: does another client hold the "
            "name? Set another ven_name, or ask the operator.",
            _CONFLICT,
        )
    return ven


async def _find_ven(client: VtnClient, settings: VtnSettings) -> models.Ven | None:
    page = await client.listing(models.Ven, "/vens", [("venName", settings.ven_name)])
    return next((ven for ven in page.items if ven.ven_name == settings.ven_name), None)


async def _resources(client: VtnClient, settings: VtnSettings, ven: models.Ven, complaints: list[str]) -> set[str]:
    """Make the resources that are missing; returns what all of ours are called and were granted."""
    path = resources_path(settings.version, ven.id)
    page = await client.listing(models.Resource, path, [("venID", ven.id)])
    mine = {one.resource_name: one for one in page.items if one.ven_id in ("", ven.id)}
    for wanted in settings.resources:
        if wanted.name not in mine:
            body = write_resource_request(_resource(wanted, ven.id), settings.version)
            try:
                mine[wanted.name] = await client.create(models.Resource, path, body)
            except VtnError as error:
                if error.status != _CONFLICT:
                    complaints.append(f"The resource '{wanted.name}' cannot be made: {error}")
    return {*mine, *(target for one in mine.values() for target in one.targets)}


def _resource(wanted: ResourceSettings, ven_id: str) -> models.Resource:
    told = (("MAX_POWER_EXPORT", wanted.max_export_power_w), ("MAX_POWER_CONSUMPTION", wanted.max_import_power_w))
    attributes = tuple(models.ValuesMap(type=kind, values=(power_w / 1e3,)) for kind, power_w in told if power_w is not None)
    return models.Resource(resource_name=wanted.name, ven_id=ven_id, attributes=attributes)
