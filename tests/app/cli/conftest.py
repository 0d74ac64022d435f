"""A server that is not there: canned answers on httpx's own mock transport, and views to fill them with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from counterflow.app.cli import app
from counterflow.app.cli.shared import Surroundings
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.dispatch_views import DispatchAnswer, DispatchView
from counterflow.domain.ids import ALL_SITES, DispatchId, EvseId
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, DispatchState, Feasibility, TargetStep
from counterflow.domain.resources import ControlMode, EvseCapability, StationIdentity
from counterflow.domain.session_views import SessionView
from counterflow.domain.settlement import Quality
from counterflow.domain.station_views import StationView
from counterflow.domain.views import FleetView

NOW_S = 1_795_366_800.0
"""2026-11-22T17:00:00Z."""

Answer = httpx.Response | Callable[[httpx.Request], httpx.Response]


@dataclass
class FakeApi:
    """Answers what it was told to, and remembers what it was asked."""

    answers: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)
    now_s: float = NOW_S

    def will(self, method: str, path: str, body: Any = None, status: int = 200, content_type: str = "application/json") -> None:
        """Answer with `body`; told several times for one path, each answer is given once and the last one for ever."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        response = httpx.Response(status, content=content, headers={"Content-Type": content_type})
        self.answers.setdefault((method, path), []).append(response)

    def will_fail(self, method: str, path: str, status: int, detail: str, remedy: str = "") -> None:
        """Answer with an RFC 9457 problem document."""
        problem = {"type": "about:blank", "title": "No", "status": status, "detail": detail, "remedy": remedy}
        self.will(method, path, problem, status, "application/problem+json")

    def will_do(self, method: str, path: str, action: Callable[[httpx.Request], httpx.Response]) -> None:
        """Answer with whatever `action` returns or raises."""
        self.answers.setdefault((method, path), []).append(action)

    def handle(self, request: httpx.Request) -> httpx.Response:
        """The transport's handler."""
        self.requests.append(request)
        queue = self.answers.get((request.method, request.url.raw_path.decode().partition("?")[0]))
        assert queue, f"nobody said what to answer to {request.method} {request.url}"
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, content=answer.content, headers=answer.headers)
        return answer(request)

    @property
    def bodies(self) -> list[Any]:
        """The JSON bodies that came in."""
        return [msgspec.json.decode(request.content) for request in self.requests if request.content]

    def pause(self, seconds: float) -> None:
        """Time passes without anybody waiting."""
        self.now_s += seconds


@pytest.fixture
def api() -> FakeApi:
    """A server with no answers yet."""
    return FakeApi()


@pytest.fixture
def around(api: FakeApi) -> Surroundings:
    """Surroundings in which `api` is the network, and time passes only when somebody pauses."""
    return Surroundings(transport=httpx.MockTransport(api.handle), now_s=lambda: api.now_s, pause=api.pause)


@pytest.fixture
def counterflow(around: Surroundings, tmp_path: Any) -> Callable[..., Result]:
    """`counterflow("fleet", "--json")` runs the command as a person would, 80 columns wide."""
    (tmp_path / "api-token").write_text("the-token\n")

    def run(*args: str, typed: str | None = None, env: dict[str, str] | None = None) -> Result:
        variables: dict[str, str | None] = {"COUNTERFLOW_DATA_DIR": str(tmp_path), "COLUMNS": "80", "NO_COLOR": "1"} | dict(env or {})
        result = CliRunner().invoke(app, list(args), obj=around, env=variables, input=typed)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return result

    return run


@pytest.fixture
def fleet() -> FleetView:
    """A fleet with a dispatch under way."""
    return FleetView(
        at_s=NOW_S,
        stations_known=200,
        stations_connected=198,
        sessions=190,
        sessions_ready=175,
        reasons={"ready": 175, "no_consent": 10, "silent": 5},
        measured_power_w=1_402_000.0,
        unmeasured_sessions=3,
        available_power_w=1_640_000.0,
        available_energy_wh=410_000.0,
        target_power_w=1_400_000.0,
        headroom_power_w=150_000.0,
        running_dispatches=("d-1a2b3c4d",),
        profiles_placed=380,
        messages_sent=1_024,
        drop_outs=2,
        emergency_stop=False,
        quality=Quality.ESTIMATED,
    )


@pytest.fixture
def station() -> StationView:
    """A station that is connected and can discharge."""
    return StationView(
        station_id="CS-1",
        site_id="depot",
        registered=True,
        connected=True,
        subprotocol="ocpp2.1",
        identity=StationIdentity(vendor_name="Acme", model="Bidi 22", serial_number="S1", firmware_version="4.2"),
        last_seen_s=NOW_S - 3.0,
        evses=(
            EvseCapability(
                evse_id=EvseId(1), control_mode=ControlMode.SETPOINT, reason="CentralSetpoint offered", max_discharge_power_w=11_000.0
            ),
        ),
        meter_interval_s=10.0,
        refusals=("TxUpdatedInterval: refused 4 s",),
        sessions=1,
        profiles=2,
        password_set=True,
    )


@pytest.fixture
def session() -> SessionView:
    """A car that discharges."""
    return SessionView(
        session_uid=7,
        station_id="CS-1",
        transaction_id="TX-1",
        site_id="depot",
        evse_id=1,
        reason="ready",
        reason_text="can be discharged",
        phase="charging",
        started_s=NOW_S - 3_600.0,
        soc_frac=0.634,
        soc_age_s=12.0,
        soc_floor_frac=0.3,
        energy_above_floor_wh=21_500.0,
        departure_s=NOW_S + 7_200.0,
        energy_needed_wh=8_000.0,
        needs_age_s=3_590.0,
        laxity_s=3_000.0,
        power_w=7_043.0,
        power_age_s=3.2,
        available_power_w=7_400.0,
        export_wh=1_200.0,
        import_wh=9_000.0,
        register_age_s=3.2,
        setpoint_w=7_000.0,
        setpoint_age_s=40.0,
        setpoint_state="accepted",
        gain=0.98,
        dispatch_id="d-1a2b3c4d",
        pausing="no_pause_consent",
        pausing_text="the driver has not agreed that charging is paused (pausing)",
        reducible_power_w=0.0,
    )


@pytest.fixture
def dispatch() -> DispatchView:
    """A dispatch that is running."""
    feasibility = Feasibility(
        expected_power_w=2_610_000.0,
        low_power_w=2_300_000.0,
        expected_energy_wh=652_500.0,
        low_energy_wh=575_000.0,
        committed_power_w=2_300_000.0,
        shortfall_power_w=200_000.0,
        sessions=231,
    )
    instruction = DispatchInstruction(
        dispatch_id=DispatchId("d-1a2b3c4d"),
        start_s=NOW_S,
        end_s=NOW_S + 900.0,
        steps=(TargetStep(from_s=NOW_S, discharge_power_w=2_500_000.0),),
        pool=ALL_SITES,
        policy=AllocationPolicy.HYBRID,
        mode=DispatchMode.NET_EXPORT,
        priority=0,
        accepted_at_s=NOW_S,
        state=DispatchState.RUNNING,
        feasibility=feasibility,
    )
    return DispatchView(
        instruction=instruction,
        feasibility=feasibility,
        target_power_w=2_500_000.0,
        delivered_power_w=2_487_500.0,
        delivered_energy_wh=310_000.0,
        expected_power_w=2_495_000.0,
        headroom_power_w=110_000.0,
        shortfall_power_w=0.0,
        members=231,
        discharging=215,
        drop_outs=3,
        messages_sent=1_044,
        at_s=NOW_S,
        quality=Quality.GOOD,
    )


@pytest.fixture
def answer(dispatch: DispatchView) -> DispatchAnswer:
    """The answer to an order that was accepted."""
    return DispatchAnswer(dispatch=dispatch, repeated=False, dry_run=False)


@pytest.fixture
def ended(dispatch: DispatchView) -> DispatchView:
    """The same dispatch when it has run to its end."""
    return replace(dispatch, instruction=replace(dispatch.instruction, state=DispatchState.COMPLETED), target_power_w=None)


@pytest.fixture
def delivery(ended: DispatchView) -> DeliveryReport:
    """Its settlement."""
    return DeliveryReport(
        dispatch_id=ended.instruction.dispatch_id,
        version=1,
        generated_at_s=NOW_S + 1_000.0,
        instruction=ended.instruction,
        target_energy_wh=625_000.0,
        delivered_energy_wh=622_500.0,
        uncertainty_wh=410.0,
        shortfall_energy_wh=2_500.0,
        tracking_rmse_frac=0.0082,
        worst_10s_error_frac=0.021,
        time_in_band_frac=0.984,
        members=231,
        messages_sent=1_044,
        drop_outs=(),
        gaps=(),
        sessions=(),
        series=(),
        series_step_s=4.0,
        final=True,
    )
