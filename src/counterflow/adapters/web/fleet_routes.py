"""Looking at the fleet, registering stations, calling them, and stopping everything."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from counterflow.adapters.web.answers import answer, answer_many, bearer, can_fail, shows
from counterflow.adapters.web.models import CallBody, StationBody
from counterflow.adapters.web.problems import problem
from counterflow.adapters.web.stream import MEDIA_TYPE, EventStreams, encoded
from counterflow.adapters.web.units import InstantText
from counterflow.domain.dispatch_views import ClearingView
from counterflow.domain.histories import ProfileEntry, SessionHistory
from counterflow.domain.ids import SessionUid, SiteId, StationId
from counterflow.domain.resources import StationRegistration
from counterflow.domain.session_views import ExplanationView, SessionOrder, SessionPage, SessionQuery, SessionView
from counterflow.domain.station_views import (
    CallAnswer,
    FrameView,
    ProfileView,
    StationFilter,
    StationOrder,
    StationPage,
    StationQuery,
    StationView,
)
from counterflow.domain.views import FleetView
from counterflow.engine.operations import Operations

LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=100, description="`id` of the last event that was read.", examples=["5d1c02aa-17"]),
]

At = Annotated[InstantText | None, Query(description="The instant, in RFC 3339 with its time zone; default: now.")]

Since = Annotated[InstantText | None, Query(description="Only from this instant on; default: the last 12 hours.")]


def fleet_routes(operations: Operations) -> APIRouter:
    """`fleet` and `sessions`."""
    routes = APIRouter(tags=["fleet"])

    @routes.get("/fleet", responses=shows(FleetView))
    async def fleet(request: Request) -> Response:
        """The whole fleet in one line."""
        return answer(request, operations.fleet())

    @routes.get("/sessions", responses=shows(SessionView, many=True))
    async def sessions() -> Response:
        """Open sessions, and why each can or cannot be discharged now."""
        return answer_many(await operations.sessions())

    @routes.get("/sessions/page", responses=shows(SessionPage, 422))
    async def session_page(
        request: Request,
        search: Annotated[str, Query(max_length=100, description="A part of the station's or the transaction's id.")] = "",
        reason: Annotated[str, Query(max_length=40, description="Only those with this reason, such as `ready`.")] = "",
        site: Annotated[str, Query(max_length=64, description="Only those at this site.")] = "",
        sort: Annotated[SessionOrder, Query(description="What is sorted by; what is unknown comes last.")] = SessionOrder.STATION,
        descending: Annotated[bool, Query(description="The largest first.")] = False,
        offset: Annotated[int, Query(ge=0, le=10_000_000, description="So many are passed over.")] = 0,
        limit: Annotated[int, Query(ge=1, le=500, description="At most so many are shown.")] = 50,
    ) -> Response:
        """A part of the open sessions, filtered and sorted; only these are worked out, so that it is quick with any number."""
        query = SessionQuery(search=search, reason=reason, site_id=site, sort=sort, descending=descending, offset=offset, limit=limit)
        return answer(request, operations.session_page(query))

    @routes.get("/sessions/{session_uid:int}/explain", responses=shows(ExplanationView, 404, 422))
    async def explain(request: Request, session_uid: int, at: At = None) -> Response:
        """Why a car was given what it was given at an instant, or nothing, with the figures at that time."""
        return answer(request, await operations.explain(SessionUid(session_uid), at))

    @routes.get("/sessions/{session_uid:int}/history", responses=shows(SessionHistory, 404, 422))
    async def history(request: Request, session_uid: int, since: Since = None) -> Response:
        """Meter values of a session, open or over, and every order to it: when, why, and what its station answered."""
        return answer(request, await operations.session_history(SessionUid(session_uid), since))

    @routes.get("/sessions/{station_id}/{transaction_id}", responses=shows(SessionView, 404))
    async def session(request: Request, station_id: str, transaction_id: str) -> Response:
        """One open session."""
        return answer(request, operations.session(StationId(station_id), transaction_id))

    return routes


def station_routes(operations: Operations, hash_password: Callable[[str], str], default_site: SiteId) -> APIRouter:
    """`stations` and `stations/{id}/calls`."""
    routes = APIRouter(tags=["stations"])

    @routes.get("/stations", responses=shows(StationView, many=True))
    async def stations() -> Response:
        """Stations that are registered or were let in, by id."""
        return answer_many(await operations.stations())

    @routes.get("/fleet/stations", responses=shows(StationPage, 422))
    async def station_page(
        request: Request,
        search: Annotated[str, Query(max_length=100, description="A part of the id, site, vendor, model or serial number.")] = "",
        site: Annotated[str, Query(max_length=64, description="Only those at this site.")] = "",
        only: Annotated[StationFilter | None, Query(description="Only those that are connected, away or held out; default: all.")] = None,
        sort: Annotated[StationOrder, Query(description="What is sorted by; what is unknown comes last.")] = StationOrder.STATION,
        descending: Annotated[bool, Query(description="The largest first.")] = False,
        offset: Annotated[int, Query(ge=0, le=10_000_000, description="So many are passed over.")] = 0,
        limit: Annotated[int, Query(ge=1, le=500, description="At most so many are shown.")] = 50,
    ) -> Response:
        """A part of the stations, filtered and sorted; only these are worked out, so that it is quick with any number."""
        query = StationQuery(search=search, site_id=site, only=only, sort=sort, descending=descending, offset=offset, limit=limit)
        return answer(request, operations.station_page(query))

    @routes.post("/stations", status_code=201, responses=shows(StationView, 400, 409, 413, 415, 422, 503, status=201))
    async def add_station(request: Request, body: StationBody) -> Response:
        """Register a station so that it may connect; a known one gets the new password, and the new site if one is named."""
        try:
            password_hash = None if body.password is None else hash_password(body.password)
        except ValueError as error:
            return problem(request, 422, "invalid", f"password: {error}")
        station_id = StationId(body.station_id)
        known = operations.station(station_id)
        kept_site = SiteId(known.site_id) if isinstance(known, StationView) else default_site
        registration = StationRegistration(
            station_id=station_id,
            site_id=kept_site if body.site_id is None else SiteId(body.site_id),
            password_hash=password_hash,
            security_profile=body.security_profile,
            serial_number=body.serial_number,
        )
        return answer(request, await operations.add_station(registration), 201)

    @routes.get("/stations/{station_id}", responses=shows(StationView, 404))
    async def station(request: Request, station_id: str) -> Response:
        """One station: what it is and what it can do."""
        return answer(request, operations.station(StationId(station_id)))

    @routes.delete("/stations/{station_id}", responses=shows(StationView, 404, 409, 503))
    async def remove_station(request: Request, station_id: str) -> Response:
        """Forget a station and close its connection. Refused while profiles of ours may be at it."""
        return answer(request, await operations.remove_station(StationId(station_id)))

    @routes.post("/stations/{station_id}/discovery", responses=shows(StationView, 404, 409, 503))
    async def discover_station(request: Request, station_id: str) -> Response:
        """Ask a station anew what it can do and set its sampling, also where its settings were given back; answers once that is over."""
        return answer(request, await operations.discover_station(StationId(station_id)))

    @routes.post("/stations/{station_id}/restore-settings", responses=shows(StationView, 404, 409, 503))
    async def restore_settings(request: Request, station_id: str) -> Response:
        """Set what we changed at a station to what it was before. Its settings are left alone until discovery is asked for again."""
        return answer(request, await operations.give_settings_back(StationId(station_id)))

    @routes.post("/stations/{station_id}/calls", responses=shows(CallAnswer, 400, 404, 413, 415, 422, 503, 504))
    async def call_station(request: Request, station_id: str, body: CallBody) -> Response:
        """Send any OCPP request and wait for the answer. A station that answers with an error is a success here: see error_code."""
        return answer(request, await operations.call_station(StationId(station_id), body.action, body.payload))

    return routes


def wire_routes(operations: Operations) -> APIRouter:
    """What crossed a station's wire, and what of ours lies at the station."""
    routes = APIRouter(tags=["stations"])

    @routes.get("/stations/{station_id}/frames", responses=shows(FrameView, 404, 422, many=True))
    async def frames(
        request: Request,
        station_id: str,
        search: Annotated[str, Query(max_length=200, description="Only frames that hold this text, in whatever case.")] = "",
        most: Annotated[int, Query(ge=1, le=1000, description="The newest so many.")] = 100,
    ) -> Response:
        """Raw OCPP frames as they crossed the wire, oldest first; secrets are masked, people and cars under pseudonyms."""
        return answer(request, await operations.frames(StationId(station_id), search, most))

    @routes.get("/stations/{station_id}/profiles", responses=shows(ProfileView, 404, many=True))
    async def profiles(request: Request, station_id: str) -> Response:
        """Charging profiles of ours that may be at a station, and where each stands."""
        return answer(request, operations.profiles(StationId(station_id)))

    @routes.get("/stations/{station_id}/profiles/ledger", responses=shows(ProfileEntry, 404, many=True))
    async def profile_ledger(request: Request, station_id: str) -> Response:
        """What became of each charging profile: placed, accepted, cleared, or left over; others' too, as the station told of them."""
        return answer(request, await operations.profile_ledger(StationId(station_id)))

    @routes.post("/stations/{station_id}/clear", status_code=202, responses=shows(ClearingView, 404, 503, status=202))
    async def clear_station(request: Request, station_id: str) -> Response:
        """Clear every profile of ours at one station, now. Its cars are lost to their dispatches, which ask others, and rest for a while
        (`refusals.long_rest_s`); what the station does not confirm stays in the ledger until it does."""
        return answer(request, await operations.clear_station(StationId(station_id)), 202)

    return routes


def safety_routes(operations: Operations) -> APIRouter:
    """`clear-all` and `emergency-stop`."""
    routes = APIRouter(tags=["safety"])

    @routes.post(
        "/clear-all",
        status_code=202,
        responses=shows(ClearingView, 503, status=202),
    )
    async def clear_all(request: Request) -> Response:
        """Cancel every dispatch and clear every profile of ours everywhere: those of cars that we hold as each resumes charging, step by
        step, all others at once; offline stations are cleared on their return."""
        return answer(request, await operations.clear_all(bearer(request)), 202)

    @routes.get("/emergency-stop", responses=shows(FleetView))
    async def emergency_stop_state(request: Request) -> Response:
        """Whether the emergency stop is on, with the fleet as it is."""
        return answer(request, operations.fleet())

    @routes.post("/emergency-stop", responses=shows(FleetView))
    async def emergency_stop(request: Request) -> Response:
        """Abort every dispatch now, and refuse new ones until a person resets it. It survives restarts."""
        return answer(request, await operations.emergency_stop(True, bearer(request)))

    @routes.delete("/emergency-stop", responses=shows(FleetView))
    async def reset_emergency_stop(request: Request) -> Response:
        """Allow dispatches again."""
        return answer(request, await operations.emergency_stop(False, bearer(request)))

    return routes


def event_routes(operations: Operations, streams: EventStreams) -> APIRouter:
    """`events`."""
    routes = APIRouter(tags=["events"])

    @routes.get(
        "/events",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "Server-sent events without end: `event` is the kind, `data` the notice as JSON; comments keep it alive.",
                "content": {
                    MEDIA_TYPE: {
                        "schema": {"type": "string"},
                        "example": 'id: 5d1c02aa-17\nevent: dispatch.state\ndata: {"kind": ...}\n\n',
                    }
                },
            },
            **can_fail(422, 503),
        },
    )
    async def events(request: Request, last_event_id: LastEventId = None) -> Response:
        """What happens, as it happens; docs/events.md lists the kinds. A slow reader loses the oldest and is told how many.

        After a break, `Last-Event-ID` goes on behind the last notice that was read, as far as it is kept (the newest 1000).
        """
        if streams.full:
            refusal = "This server has no place for another event stream."
            return problem(request, 503, "overloaded", refusal, remedy="Close one, or try again later.", headers={"Retry-After": "10"})
        return streams.response(operations.notices(last_event_id), request.state.still_good, encoded)

    return routes
