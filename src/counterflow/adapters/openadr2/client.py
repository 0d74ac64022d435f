"""`openleadr`'s client with what it lacks: reports from a history, resource status, a full sync, and an ear for a VTN that is lost.

The package is imported here and in `ven` only, so that a server without the extra `openadr2` starts.
"""

import time
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from lxml import etree
from msgspec import Struct
from openleadr import OpenADRClient, enums, objects

from counterflow.adapters.openadr2.settings import OpenAdr2Settings

USAGE_SPECIFIER: Final = "counterflow-telemetry-usage"
STATUS_SPECIFIER: Final = "counterflow-telemetry-status"
OFFERED_FOR: Final = timedelta(hours=1)
NOT_REGISTERED: Final = frozenset({452, 463})
"""Response codes by which a VTN says that it does not know us (any more)."""
_OADR: Final = "{http://openadr.org/oadr-2.0b/2012/07}"
_EI: Final = "{http://docs.oasis-open.org/ns/energyinterop/201110}"


class Value(Struct, frozen=True):
    """One value of a report: a mean that begins at `at_s`; `lasts_s` 0 = a moment."""

    at_s: float
    value: float
    lasts_s: float = 0.0


class Quantity(Struct, frozen=True):
    """One quantity that is reported: `values(from_s, to_s, step_s)` are those that are known."""

    r_id: str
    resource_id: str
    values: Callable[[float, float, float], list[Value]]


class Client(OpenADRClient):  # type: ignore[misc]  # the package has no types
    """One registration at one VTN. `heard_at_s` is monotonic; `forgotten` = the VTN says that it does not know us."""

    def __init__(self, settings: OpenAdr2Settings, ven_id: str, on_sync: Callable[[Collection[str]], Awaitable[None]]) -> None:
        """`on_sync(ids)` is told the ids of all events whenever the whole list was asked for and came."""
        super().__init__(
            settings.ven_name,
            settings.vtn_url,
            cert=settings.certificate or None,
            key=settings.key or None,
            ca_file=settings.authority or None,
            vtn_fingerprint=settings.vtn_fingerprint or None,
            ven_id=ven_id or None,
            disable_signature=not settings.sign,
            show_fingerprint=False,
        )
        self.heard_at_s = time.monotonic()
        self.forgotten = False
        self._on_sync = on_sync
        self._signs = settings.sign
        self._status_ids: set[str] = set()
        self._sent_to_s: dict[str, float] = {}
        self._quantities: dict[str, Quantity] = {}

    # --- reports ---------------------------------------------------------------------------------------------------------------

    def offer(self, name: str, measurement: str | None, quantity: Quantity, rate: Any) -> None:
        """Announce one quantity with the registration; `measurement` None = resource status."""
        is_status = measurement is None
        if is_status:
            self._status_ids.add(quantity.r_id)
        self._quantities[quantity.r_id] = quantity
        self.add_report(
            callback=_called_by_nobody,
            resource_id=quantity.resource_id,
            measurement=measurement,
            data_collection_mode="full",
            report_specifier_id=STATUS_SPECIFIER if is_status else USAGE_SPECIFIER,
            r_id=quantity.r_id,
            report_name=name,
            reading_type=enums.READING_TYPE.X_NOT_APPLICABLE if is_status else enums.READING_TYPE.MEAN,
            report_type=enums.REPORT_TYPE.X_RESOURCE_STATUS if is_status else enums.REPORT_TYPE.USAGE,
            report_duration=OFFERED_FOR,
            sampling_rate=rate,
        )

    async def update_report(self, report_request_id: str) -> None:
        """Called once a sampling interval: when the VTN's reporting interval is over, all values since the last report are sent.

        What is not known is not in the report.
        """
        request = next((one for one in self.report_requests if one["report_request_id"] == report_request_id), None)
        report = next((one for one in self.reports if request and one.report_specifier_id == request["report_specifier_id"]), None)
        if request is None or report is None:
            return
        now_s = datetime.now(UTC).timestamp()
        step_s = _seconds(request["granularity"])
        every_s = max(_seconds(request["report_back_duration"]), step_s)
        from_s = self._sent_to_s.setdefault(report_request_id, now_s - step_s)
        if now_s - from_s < every_s - 0.5:
            return
        self._sent_to_s[report_request_id] = now_s
        own = {description.r_id for description in report.report_descriptions}
        intervals = [
            objects.ReportInterval(
                dtstart=datetime.fromtimestamp(value.at_s, UTC),
                duration=timedelta(seconds=value.lasts_s) if value.lasts_s else None,
                report_payload=objects.ReportPayload(r_id=r_id, value=value.value),
            )
            for r_id in dict.fromkeys(one for one in request["r_ids"] if one in own)
            for value in self._quantities[r_id].values(from_s, now_s, step_s or now_s - from_s or 1.0)
        ]
        if not intervals:
            return
        outgoing = objects.Report(
            report_request_id=report_request_id,
            report_specifier_id=report.report_specifier_id,
            report_name=report.report_name.removeprefix("METADATA_"),
            intervals=intervals,
        )
        outgoing.dtstart = min(interval.dtstart for interval in intervals)
        await self.pending_reports.put(outgoing)

    # --- what is heard -----------------------------------------------------------------------------------------------------------

    async def sync_events(self) -> None:
        """All events: those that are there, and thereby those that are gone."""
        kind, payload = await self.request_event()
        if kind != "oadrDistributeEvent":
            return
        events = payload.get("events") or []
        await self._on_sync({str(event["event_descriptor"]["event_id"]) for event in events})
        if events:
            await self._on_event(payload)

    async def _perform_request(self, service: str, message: str) -> Any:
        if self._status_ids and not self._signs and "oadrUpdateReport" in message:
            message = with_status(message, self._status_ids)
        answer = await super()._perform_request(service, message)
        if not isinstance(answer, tuple):
            answer = (None, {})  # an empty body, where `openleadr` unpacks
        elif answer[0] is not None:
            self.heard_at_s = time.monotonic()
            code = (answer[1].get("response") or {}).get("response_code")
            self.forgotten = self.forgotten or (service == "OadrPoll" and code in NOT_REGISTERED)
        return answer


def with_status(message: str, status_ids: Collection[str]) -> str:
    """An oadrUpdateReport whose values of these ids are resource statuses: `openleadr` writes every value as a float.

    The float is 1 for a resource that is online and follows orders, 0 for one that is offline, -1 for one that is online and held
    (`oadrManualOverride`).
    """
    tree = etree.fromstring(message.encode())
    for payload in tree.iter(f"{_OADR}oadrReportPayload"):
        value = payload.find(f"{_EI}payloadFloat")
        if value is None or payload.findtext(f"{_EI}rID") not in status_ids:
            continue
        code = float(value.findtext(f"{_EI}value") or "nan")
        status = etree.Element(f"{_OADR}oadrPayloadResourceStatus")
        etree.SubElement(status, f"{_OADR}oadrOnline").text = "false" if code == 0.0 else "true"
        etree.SubElement(status, f"{_OADR}oadrManualOverride").text = "true" if code < 0.0 else "false"
        payload.replace(value, status)
    text: str = etree.tostring(tree, encoding="unicode")
    return text


def _called_by_nobody(date_from: object, date_to: object, sampling_interval: object) -> list[object]:  # pragma: no cover
    """`openleadr` wants a callback; `update_report` asks the quantity."""
    raise NotImplementedError


def _seconds(duration: timedelta | None) -> float:
    return 0.0 if duration is None else duration.total_seconds()
