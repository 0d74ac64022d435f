"""What no single setting can tell: whether settings fit each other, and whether the names in them are names of something."""

import os
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from ipaddress import ip_address
from math import isfinite
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

from counterflow.adapters.iec104.checks import mistakes as iec104_mistakes
from counterflow.adapters.ocpp.messages import MeasurandEnumType
from counterflow.adapters.openadr.settings import complaints as openadr_complaints
from counterflow.adapters.openadr2.settings import LEVELS, OpenAdr2Settings
from counterflow.domain.grid import Wire
from counterflow.domain.ids import SiteId
from counterflow.engine.fleet.topology import Topology

if TYPE_CHECKING:
    from counterflow.app.config import Settings

ORDERED = (
    ("control.hold_min_s", "control.hold_max_s"),
    ("response.gain_min", "response.gain_max"),
    ("refusals.short_rest_s", "refusals.long_rest_s"),
)
"""Pairs of which the first must not be the larger one."""


def complaints(settings: "Settings") -> Iterator[str]:
    """A sentence for everything that is wrong; none for settings that fit each other."""
    try:
        topology = Topology(settings.sites, settings.feeders)
    except ValueError as error:
        yield f"The {'[[sites]] or [[feeders]]' if settings.feeders else '[[sites]]'} are wrong: {error}."
        return
    yield from _sites(settings, topology)
    for pool in settings.telemetry.pools:
        if pool not in topology.pools():
            yield f"The setting 'telemetry.pools' names the pool '{pool}', and no [[sites]] entry does.{_meant(pool, topology.pools())}"
    yield from _pairs(settings)
    for name in ("forecast_windows_s", "forecast_modes"):
        named = getattr(settings.dispatcher.offers, name)
        if len(set(named)) < len(named):
            yield f"The setting 'dispatcher.offers.{name}' names one twice, and its forecasts would count twice; keep one of the two."
    for number, listener in enumerate(settings.gateway.listeners, start=1):
        if listener.keys and len(listener.keys) != len(listener.certificates):
            yield (
                f"[[gateway.listeners]] number {number} names {len(listener.certificates)} certificates and {len(listener.keys)} keys: "
                "name a key for each, or none where the keys are in the same files."
            )
        if listener.revocation_lists and not listener.client_authority:
            yield (
                f"[[gateway.listeners]] number {number} names revocation lists and no 'client_authority' whose they are; the built-in "
                "authority keeps its own (counterflow certificates revoke)."
            )
    if settings.certificates.signer == "call-out" and not settings.certificates.call_out_url:
        yield "The setting 'certificates.signer' is 'call-out'; then 'certificates.call_out_url' must say where to ask."
    yield from _api(settings)
    yield from _negative_limits(settings)
    yield from _programs(settings, topology)
    yield from _unheard(settings)
    yield from _mqtt(settings)
    yield from _webhooks(settings)
    yield from _openadr2(settings)
    yield from openadr_complaints(settings.openadr, [program for program in settings.programs if program.wire is Wire.OPENADR])
    yield from iec104_mistakes(settings.iec104, settings.programs)
    known = get_args(MeasurandEnumType)
    for name in settings.ocpp.measurands:
        if name not in known:
            yield f"The setting 'ocpp.measurands' names '{name}', which is no measurand of OCPP 2.1.{_meant(name, known)}"


def _sites(settings: "Settings", topology: Topology) -> Iterator[str]:
    named: tuple[tuple[str, Iterable[SiteId]], ...] = (
        ("stations.default_site", (SiteId(settings.stations.default_site),)),
        ("drivers.sites", settings.drivers.sites),
    )
    for setting, sites in named:
        for name in sites:
            if name not in topology.site_ids:
                yield (
                    f"The setting '{setting}' names the site '{name}', and there is no [[sites]] entry of that name "
                    f"(there are: {', '.join(topology.site_ids)})."
                )
    named_connections = [(f"site '{site.site_id}'", site.uncontrolled_load_w) for site in settings.sites]
    named_connections += [(f"feeder '{feeder.feeder_id}'", feeder.uncontrolled_load_w) for feeder in settings.feeders]
    for connection, load_w in named_connections:
        if not isfinite(load_w):
            yield f"The setting 'uncontrolled_load_w' of the {connection} must be a number of watts."


def _pairs(settings: "Settings") -> Iterator[str]:
    for lower, upper in ORDERED:
        least, most = _value(settings, lower), _value(settings, upper)
        if least > most:
            yield f"The setting '{lower}' ({least:g}) must not be larger than '{upper}' ({most:g})."


def _negative_limits(settings: "Settings") -> Iterator[str]:
    seen: set[str] = set()
    for named in settings.ocpp.negative_limit_models:
        name = named.model.strip()
        entry = f"The [[ocpp.negative_limit_models]] entry '{name}'"
        vendor, slash, model = name.partition("/")
        if not (slash and vendor.strip() and model.strip()):
            yield f"{entry} must name vendor and model with a slash between, as 'counterflow stations show' lists them: 'Vendor/Model'."
        if name.casefold() in seen:
            yield f"{entry} is there twice; keep one of the two."
        seen.add(name.casefold())
        if (named.max_discharge_power_w is None) != (named.capacity_wh is None):
            given, missing = (
                ("max_discharge_power_w", "capacity_wh") if named.capacity_wh is None else ("capacity_wh", "max_discharge_power_w")
            )
            yield (
                f"{entry} names {given} and not {missing}: a station that cannot tell the one cannot tell the other. Name both, or neither "
                "for a model that tells both by itself (OCPP 2.0.1)."
            )


def _api(settings: "Settings") -> Iterator[str]:
    api = settings.api
    if bool(api.tls_certificate) != bool(api.tls_key):
        yield "The settings 'api.tls_certificate' and 'api.tls_key' go together: name both files, or neither."
    for setting in ("tls_certificate", "tls_key"):
        name = getattr(api, setting)
        if name and not os.access(name, os.R_OK):
            yield f"The setting 'api.{setting}' names the file {name}, which cannot be read."
    if not (api.tls_certificate or api.plain_http_beyond_this_host or _is_loopback(api.host)):
        yield (
            f"The API would send its tokens in the clear on {api.host}. Set 'api.tls_certificate' and 'api.tls_key', listen on 127.0.0.1 "
            "behind a TLS proxy, or set 'api.plain_http_beyond_this_host' where nobody else can listen in."
        )
    if api.max_event_streams >= api.max_connections:
        yield (
            f"The setting 'api.max_event_streams' ({api.max_event_streams}) must be smaller than 'api.max_connections' "
            f"({api.max_connections}): each stream takes a connection, and orders and the emergency stop need some, too."
        )


def _programs(settings: "Settings", topology: Topology) -> Iterator[str]:
    """Sign and unit of what a grid operator writes are agreed, never guessed."""
    names = [program.name for program in settings.programs]
    for program in settings.programs:
        entry = f"The [[programs]] entry '{program.name}'"
        if names.count(program.name) > 1:
            yield f"{entry} is there more than once; give each program a name of its own."
        if program.sign is None:
            yield f'{entry} must say what a positive power means: sign = "load" (consumption) or sign = "generator" (export).'
        if program.unit is None and program.wire not in (Wire.OPENADR, Wire.OPENADR2):
            yield f'{entry} must say in which unit its powers are: unit = "W", "kW" or "MW".'
        least_s, most_s = settings.orders.targets.min_timeout_s, settings.orders.targets.max_timeout_s
        if not least_s <= program.stream_timeout_s <= most_s:
            yield f"{entry} has a 'stream_timeout_s' of {program.stream_timeout_s:g}; choose between {least_s:g} s and {most_s:g} s."
        if program.pool not in topology.pools():
            yield f"{entry} names the pool '{program.pool}'; known pools: {', '.join(sorted(topology.pools()))}."


def _unheard(settings: "Settings") -> Iterator[str]:
    """Programs by which nothing could ever be ordered: their operators would wait in vain."""
    served = {station.program for station in settings.iec104.stations}
    followed = {one.program for vtn in settings.openadr.vtns for one in vtn.programs}
    for program in settings.programs:
        if program.wire is Wire.IEC104 and program.name not in served:
            yield f"The [[programs]] entry '{program.name}' comes by IEC 104, and no [[iec104.stations]] entry serves it."
        if program.wire is Wire.OPENADR and program.name not in followed:
            yield f"The [[programs]] entry '{program.name}' comes by OpenADR, and no [[openadr.vtns]] entry follows it."


def _mqtt(settings: "Settings") -> Iterator[str]:
    mqtt = settings.mqtt
    for program in settings.programs:
        if program.wire is Wire.MQTT and not mqtt.host:
            yield f"The [[programs]] entry '{program.name}' comes by MQTT, and [mqtt] names no 'host'."
        if program.wire is Wire.MQTT and program.name not in mqtt.programs and not re.fullmatch(r"[A-Za-z0-9._:-]+", program.called):
            yield (
                f"The [[programs]] entry '{program.name}' is called '{program.called}', which makes no topic: take letters, digits and "
                ". _ : - only (external_id)."
            )
    ours = [program for program in settings.programs if program.wire is Wire.MQTT]
    for name in mqtt.programs:
        if name not in {program.name for program in ours}:
            yield f"[mqtt.programs] names '{name}', and no [[programs]] entry of that name comes by MQTT."
    roots = [mqtt.topics_of(program) for program in ours]
    if shared := next((root for root in roots if roots.count(root) > 1), None):
        yield f"Two programs have the same MQTT topics, below '{shared}': whose an order is could not be told."
    if mqtt.host and not mqtt.tls and not _is_loopback(mqtt.host) and not mqtt.plain_beyond_this_host:
        yield (
            f"The setting 'mqtt.tls' is false, and the broker {mqtt.host} is not on this host: orders and the password would be readable "
            "on the way. Set mqtt.tls = true, or mqtt.plain_beyond_this_host = true where a closed network lies between."
        )
    if mqtt.password_file and mqtt.password_variable:
        yield "Name either 'mqtt.password_file' or 'mqtt.password_variable'."


def _openadr2(settings: "Settings") -> Iterator[str]:
    """The VEN of OpenADR 2.0b: its extra, its programs, its certificates, its levels."""
    ven = settings.openadr2
    named = [program.name for program in settings.programs if program.wire is Wire.OPENADR2]
    if ven is None:
        if named:
            yield f"The [[programs]] entry '{named[0]}' comes by openadr2, and there is no [openadr2] section that says where its VTN is."
        return
    if find_spec("openleadr") is None:
        yield "The [openadr2] section needs the package openleadr; install counterflow[openadr2]."
    if not named:
        yield 'There is an [openadr2] section and no [[programs]] entry with wire = "openadr2": nothing could be ordered by it.'
    yield from _openadr2_files(ven)
    if len(ven.simple_discharge_frac) not in (0, LEVELS):
        yield f"The setting 'openadr2.simple_discharge_frac' has {len(ven.simple_discharge_frac)} shares; there are four levels, 0 to 3."
    if ven.sampling_min_s > ven.sampling_max_s:
        yield "The setting 'openadr2.sampling_min_s' must not be larger than 'openadr2.sampling_max_s'."
    address = urlsplit(ven.vtn_url)
    if address.scheme == "http" and not ven.plain_http_beyond_this_host and not _is_loopback(address.hostname or ""):
        yield (
            f"The VTN at {ven.vtn_url} would be spoken to in the clear. Use https://, or set 'openadr2.plain_http_beyond_this_host' where "
            "nobody else can listen in."
        )


def _openadr2_files(ven: OpenAdr2Settings) -> Iterator[str]:
    if len({bool(ven.certificate), bool(ven.key), bool(ven.authority)}) > 1:
        yield "The settings 'openadr2.certificate', 'openadr2.key' and 'openadr2.authority' go together: name all three files, or none."
    if ven.sign and not ven.certificate:
        yield "The setting 'openadr2.sign' needs 'openadr2.certificate' and 'openadr2.key' to sign with."
    for setting in ("certificate", "key", "authority"):
        if (name := getattr(ven, setting)) and not os.access(name, os.R_OK):
            yield f"The setting 'openadr2.{setting}' names the file {name}, which cannot be read."


def _webhooks(settings: "Settings") -> Iterator[str]:
    programs = {program.name: program for program in settings.programs}
    names = [one.name for one in settings.webhooks]
    for one in settings.webhooks:
        entry = f"The [[webhooks]] entry '{one.name}'"
        if names.count(one.name) > 1:
            yield f"{entry} is there more than once; give each a name of its own."
        if one.program not in programs:
            yield f"{entry} names the program '{one.program}', and there is no [[programs]] entry of that name."
        elif programs[one.program].unit is None:
            yield f"{entry} needs a unit to write in: give the program '{one.program}' its unit."
        if one.secret_file and one.secret_variable:
            yield f"{entry} names a 'secret_file' and a 'secret_variable'; name one."
        url = urlsplit(one.url)
        if not url.hostname or url.username or url.password:
            yield f"{entry} needs an address such as https://receiver.example/hook, without a name and password in it."
        elif url.scheme == "http" and not one.plain_http and not _is_near(url.hostname):
            yield (
                f"{entry} goes by plain HTTP to {url.hostname}: what is said would be readable on the way. Write https, or set "
                "plain_http = true where a closed network lies between."
            )


def _is_near(host: str) -> bool:
    """This host, or an address of a private network; a name may lead anywhere."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


def _value(settings: "Settings", path: str) -> float:
    section, _, name = path.partition(".")
    return float(getattr(getattr(settings, section), name))


def _meant(name: str, known: Iterable[str]) -> str:
    """Stations spell them with capitals, people often do not."""
    match = next((one for one in known if one.casefold() == name.casefold()), None)
    return f" Did you mean '{match}'?" if match else ""
