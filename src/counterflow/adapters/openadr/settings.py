"""Settings of the OpenADR side: with which VTNs we speak, and how. What a program may order stands in [[programs]]."""

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from counterflow.adapters.openadr.models import Version
from counterflow.adapters.openadr.report_settings import ReportSettings
from counterflow.domain.grid import Program
from counterflow.domain.offers import LEVELS
from counterflow.domain.resources import PowerLimit

_NAME = "^[A-Za-z0-9_-]{1,32}$"


class FollowedProgram(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the [[programs]] with wire = "openadr", at this VTN."""

    program: Annotated[str, Meta(description="Name of the [[programs]] entry.", extra={"unit": "-"}, min_length=1)]
    targets: Annotated[
        tuple[str, ...],
        Meta(
            description="Events with one of these targets are for it. Empty = events without targets, and those whose targets the "
            "operator granted to our ven or its resources.",
            extra={"unit": "-"},
        ),
    ] = ()
    simple_power_w: Annotated[
        tuple[float, ...],
        Meta(
            description="What the levels 1, 2 and 3 of SIMPLE ask, against the plan frozen when the order comes; empty = refused.",
            extra={"unit": "W"},
        ),
    ] = ()


class ResourceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A resource of our ven that is made at the VTN where it is missing."""

    name: Annotated[str, Meta(description="resourceName.", extra={"unit": "-"}, min_length=1, max_length=128)]
    max_export_power_w: Annotated[
        PowerLimit | None, Meta(description="Told as MAX_POWER_EXPORT (in kW); none = not told.", extra={"unit": "W"})
    ] = None
    max_import_power_w: Annotated[
        PowerLimit | None, Meta(description="Told as MAX_POWER_CONSUMPTION (in kW); none = not told.", extra={"unit": "W"})
    ] = None


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the VTN tells us of news. A notification is a hint only: what it is about is read from the VTN itself."""

    url: Annotated[
        str, Meta(description="Address of the listener as the VTN reaches it; empty = no webhook.", extra={"unit": "-"}, max_length=2000)
    ] = ""
    host: Annotated[str, Meta(description="Address to listen on.", extra={"unit": "-"})] = "127.0.0.1"
    port: Annotated[int, Meta(description="Port to listen on.", extra={"unit": "-"}, ge=0, le=65_535)] = 8910
    tls_certificate: Annotated[str, Meta(description="Certificate file; empty = a proxy in front does TLS.", extra={"unit": "-"})] = ""
    tls_key: Annotated[str, Meta(description="Its key file.", extra={"unit": "-"})] = ""


class VtnSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One grid operator's VTN."""

    name: Annotated[str, Meta(description="Name of the VTN here.", extra={"unit": "-"}, pattern=_NAME)]
    url: Annotated[
        str, Meta(description="Its base address, such as https://vtn.example/openadr3/3.1.0.", extra={"unit": "-"}, min_length=1)
    ]
    version: Annotated[Version, Meta(description="OpenADR version that it speaks.", extra={"unit": "-"})] = Version.V3_1_0
    programs: Annotated[tuple[FollowedProgram, ...], Meta(description="Programs that are followed there.", extra={"unit": "-"})] = ()
    ven_name: Annotated[
        str, Meta(description="venName and clientName; unique at the VTN.", extra={"unit": "-"}, min_length=1, max_length=128)
    ] = "counterflow"
    resources: Annotated[tuple[ResourceSettings, ...], Meta(description="Resources of our ven.", extra={"unit": "-"})] = ()
    client_id: Annotated[str, Meta(description="OAuth2 client id; empty = no authorization.", extra={"unit": "-"})] = ""
    client_secret_file: Annotated[str, Meta(description="File with the OAuth2 client secret.", extra={"unit": "-"})] = ""
    client_secret_env: Annotated[
        str, Meta(description="Environment variable with the client secret, where there is no file.", extra={"unit": "-"})
    ] = ""
    token_url: Annotated[
        str, Meta(description="Token endpoint; empty = as GET /auth/server says, else /auth/token.", extra={"unit": "-"})
    ] = ""
    scope: Annotated[str, Meta(description="OAuth2 scopes to ask for; empty = none.", extra={"unit": "-"})] = ""
    credentials_in: Annotated[
        Literal["body", "basic"],
        Meta(description="Where id and secret stand in the token request: `body`, or HTTP `basic`.", extra={"unit": "-"}),
    ] = "body"
    ca_file: Annotated[
        str, Meta(description="Certificate authority to trust in place of the system's; empty = the system's.", extra={"unit": "-"})
    ] = ""
    certificate_file: Annotated[str, Meta(description="Client certificate for mutual TLS; empty = none.", extra={"unit": "-"})] = ""
    key_file: Annotated[str, Meta(description="Its key, where it is not in the same file.", extra={"unit": "-"})] = ""
    timeout_s: Annotated[float, Meta(description="A request is given up after this.", extra={"unit": "s"}, gt=0, le=120)] = 10.0
    poll_s: Annotated[float, Meta(description="Events are read so often.", extra={"unit": "s"}, gt=0, le=3600)] = 10.0
    poll_with_push_s: Annotated[
        float, Meta(description="The same while a webhook or MQTT tells of news.", extra={"unit": "s"}, gt=0, le=3600)
    ] = 60.0
    missed_polls: Annotated[
        int, Meta(description="After so many polls without an answer the VTN counts as lost: an alarm.", extra={"unit": "-"}, ge=1)
    ] = 3
    reports: ReportSettings = ReportSettings()
    webhook: WebhookSettings = WebhookSettings()
    mqtt: Annotated[bool, Meta(description="Hear of news by the VTN's MQTT broker, where it names one.", extra={"unit": "-"})] = False


class OpenAdrSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """OpenADR 3 (docs/openadr.md). Nothing is done while no VTN is named."""

    vtns: Annotated[tuple[VtnSettings, ...], Meta(description="VTNs, each an [[openadr.vtns]] entry.", extra={"unit": "-"})] = ()


def complaints(settings: OpenAdrSettings, programs: Iterable[Program]) -> Iterator[str]:
    """A sentence for everything that does not fit; `programs` are those whose wire is OpenADR."""
    known = {program.name: program for program in programs}
    followed: dict[str, str] = {}
    for vtn in settings.vtns:
        if sum(other.name == vtn.name for other in settings.vtns) > 1:
            yield f"[[openadr.vtns]] '{vtn.name}' is given twice."
        yield from _of_vtn(vtn)
        for one in vtn.programs:
            yield from _of_program(vtn, one, known)
            if one.program in followed:
                yield f"The program '{one.program}' is followed at '{vtn.name}' and at '{followed[one.program]}': name it once."
            followed[one.program] = vtn.name
    for name in known:
        if settings.vtns and name not in followed:
            yield f"The program '{name}' comes by OpenADR, and no [[openadr.vtns]] follows it: name it in the 'programs' of its VTN."


def _of_vtn(vtn: VtnSettings) -> Iterator[str]:
    where = f"[[openadr.vtns]] '{vtn.name}'"
    for setting, url in (("url", vtn.url), ("token_url", vtn.token_url), ("webhook.url", vtn.webhook.url)):
        if url and not re.fullmatch(r"https?://\S+", url):
            yield f"{where}: {setting} is no http(s) address."
        elif url.startswith("http:") and not on_this_machine(url):
            yield f"{where}: {setting} must be https; plain http is for a VTN on this machine only."
    if vtn.client_id and bool(vtn.client_secret_file) == bool(vtn.client_secret_env):
        yield f"{where}: name the client secret by one of client_secret_file and client_secret_env."
    if vtn.key_file and not vtn.certificate_file:
        yield f"{where}: key_file is the key of certificate_file, which is not given."
    if not set(vtn.reports.confidences) <= set(LEVELS):
        yield f"{where}: reports.confidences are of {', '.join(f'{level:g}' for level in LEVELS)}, which offers know."
    if not vtn.programs:
        yield f"{where} follows no program: name one of the [[programs]] in its 'programs'."


def _of_program(vtn: VtnSettings, one: FollowedProgram, known: dict[str, Program]) -> Iterator[str]:
    where = f"[[openadr.vtns]] '{vtn.name}' follows the program '{one.program}'"
    program = known.get(one.program)
    if program is None:
        yield f'{where}, and there is no [[programs]] entry of that name with wire = "openadr".'
        return
    if one.simple_power_w and (len(one.simple_power_w) != 3 or any(not 0.0 <= power_w < float("inf") for power_w in one.simple_power_w)):
        yield f"{where}: simple_power_w needs three powers of zero or more, for the levels 1, 2 and 3."


def on_this_machine(url: str) -> bool:
    """Whether what it names is on this machine, where nobody else listens in."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
