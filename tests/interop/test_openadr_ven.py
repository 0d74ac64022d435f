"""OpenADR end to end on real sockets: our VTN, `counterflow serve` as a process of its own, and simulated stations.

An event is dispatched, changed and cancelled; the VTN is lost; the server is killed in mid-window and goes on with the same anchor.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
from tests.served_openadr import settings_of, stations

from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.models import Version
from counterflow.adapters.openadr.times import NOW_S
from counterflow.sim.vtn.serving import OPERATOR, VEN, Vtn, serving

Until = Callable[..., Awaitable[Any]]
STATIONS = 8
FOLLOWED = """
poll_with_push_s = 300.0
timeout_s = 2.0
missed_polls = 1
{push}
[[openadr.vtns.programs]]
program = "north"
targets = ["vpp-north"]
"""


class Operator:
    """The grid operator at its VTN, in its own words."""

    def __init__(self, vtn: Vtn) -> None:
        self._store = vtn.house.store
        self.program = self.create(models.Program(program_name="v2g"))
        # Who may see events with this target is for the operator to say (3.1.0, object privacy).
        self.create(models.Ven(object_type="BL_VEN_REQUEST", client_id=VEN.client_id, ven_name="counterflow", targets=("vpp-north",)))

    def create(self, thing: Any) -> Any:
        return self._store.create(OPERATOR, thing, Version.V3_1_0)

    def order(self, kw: float, *, start_s: float = NOW_S, duration_s: float = 120.0, event_id: str = "") -> models.Event:
        """A new event, or another version of one."""
        payloads = (models.ValuesMap(type="DISPATCH_SETPOINT", values=(kw,)),)
        event = models.Event(
            program_id=self.program.id,
            targets=("vpp-north",),
            interval_period=models.IntervalPeriod(start_s=start_s, duration_s=duration_s),
            intervals=(models.Interval(id=0, payloads=payloads),),
        )
        made: models.Event = self._store.replace(OPERATOR, event_id, event, Version.V3_1_0) if event_id else self.create(event)
        return made

    def cancel(self, event: models.Event) -> None:
        self._store.delete(OPERATOR, models.Event, event.id, Version.V3_1_0)


class Watch:
    """What the API says."""

    def __init__(self, api: httpx.AsyncClient) -> None:
        self.api = api

    async def json(self, path: str) -> Any:
        response = await self.api.get(f"/api/v1{path}")
        assert response.status_code == 200, response.text
        return response.json()

    async def ready(self) -> bool:
        return bool((await self.json("/fleet"))["sessions_ready"] == STATIONS)

    async def dispatches(self) -> list[Any]:
        """Newest first."""
        found: list[Any] = await self.json("/dispatches")
        return found

    def delivers(self, power_w: float, name: str | None = None) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            running = [view for view in await self.dispatches() if view["instruction"]["state"] == "running"]
            return bool(running) and abs((running[0]["delivered_power_w"] or 0.0) - power_w) < 0.1 * power_w

        return look

    async def nothing_runs(self) -> bool:
        return all(view["instruction"]["state"] in ("cancelled", "completed") for view in await self.dispatches())

    async def alarms(self) -> str:
        return " ".join((await self.api.get("/healthz")).json()["alarms"])


@contextlib.asynccontextmanager
async def standing(served: Any, until: Until) -> AsyncIterator[Watch]:
    async with stations(served, STATIONS), served.api() as api:
        watch = Watch(api)
        await until(watch.ready, every_s=0.2)
        yield watch


def test_event_to_dispatch_changed_cancelled_vtn_lost_and_killed_in_mid_window(serve: Any, until: Until, tmp_path: Any) -> None:
    async def life() -> None:
        async with contextlib.AsyncExitStack() as stack:
            vtn_stack = contextlib.AsyncExitStack()
            vtn = await vtn_stack.enter_async_context(serving())
            operator = Operator(vtn)
            served = await asyncio.to_thread(
                serve, settings_of(vtn, tmp_path, FOLLOWED.format(push="")), "--accept-unknown-stations", "--default-consent"
            )
            watch = await stack.enter_async_context(standing(served, until))
            # Ordered, changed, cancelled.
            event = operator.order(-30.0)
            await until(watch.delivers(30_000.0))
            operator.order(-15.0, event_id=event.id)
            await until(watch.delivers(15_000.0))
            operator.cancel(event)
            await until(watch.nothing_runs)
            # "Now" again, and then the VTN is lost, and the server dies.
            operator.order(-20.0, duration_s=40.0)
            await until(watch.delivers(20_000.0))
            (begun,) = [view for view in await watch.dispatches() if view["instruction"]["state"] == "running"]
            await vtn_stack.aclose()
            await until(lambda: _said(watch, "in a row brought nothing"))
            served.kill()
            await served.restart()
            await until(watch.delivers(20_000.0))
            (running,) = [view for view in await watch.dispatches() if view["instruction"]["state"] == "running"]
            for what in ("dispatch_id", "start_s", "end_s"):
                assert running["instruction"][what] == begun["instruction"][what], "the same dispatch, with the same anchor"
            await until(watch.nothing_runs)
            ended = (await watch.dispatches())[0]["instruction"]
            assert (ended["dispatch_id"], ended["state"]) == (begun["instruction"]["dispatch_id"], "completed")
            audit = await watch.json("/audit")
            assert [entry["action"].split(" ")[0] for entry in audit if entry["who"] == "openadr:north"][::-1] == [
                "order",
                "order",
                "withdraw",
                "order",
            ]

    asyncio.run(life())


def test_a_notification_is_a_hint_that_makes_it_read_at_once(serve: Any, until: Until, tmp_path: Any) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    push = f'[openadr.vtns.webhook]\nurl = "http://127.0.0.1:{port}/oadr"\nport = {port}'

    async def life() -> None:
        async with serving() as vtn:
            vtn.house.quirks.echo_in_path = True
            vtn.house.quirks.snake_case_notifications = vtn.house.quirks.double_encoded_notifications = True
            operator = Operator(vtn)
            served = await asyncio.to_thread(serve, settings_of(vtn, tmp_path, FOLLOWED.format(push=push)))
            async with served.api() as api:
                watch = Watch(api)
                await until(lambda: len(vtn.house.store.all_of(models.Subscription)) == 1)
                await asyncio.sleep(1.0)
                polls = len([one for one in vtn.house.faults.requests if one[1].endswith("/events")])
                event = operator.order(-10.0)
                await until(lambda: _dispatched(watch, 1))
                operator.cancel(event)
                await until(watch.nothing_runs)
                assert len([one for one in vtn.house.faults.requests if one[1].endswith("/events")]) <= polls + 4, "it does not poll often"
                assert {told.status for told in vtn.house.teller.told} == {200}
                async with httpx.AsyncClient() as http:
                    stranger = await http.post(f"http://127.0.0.1:{port}/oadr", json={}, headers={"Authorization": "Bearer guess"})
                    assert stranger.status_code == 401
            await asyncio.to_thread(served.stop)
            assert vtn.house.store.all_of(models.Subscription) == [], "it says goodbye"

    asyncio.run(life())


async def _said(watch: Watch, words: str) -> bool:
    return words in await watch.alarms()


async def _dispatched(watch: Watch, count: int) -> bool:
    return len(await watch.dispatches()) == count
