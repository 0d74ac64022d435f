"""All settings in one tree: one section a room, read from TOML, then the environment, then the command line.

An unknown or wrong setting stops the start with one sentence that names it (`SettingsError`).
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from counterflow.adapters.iec104.settings import Iec104Settings
from counterflow.adapters.mqtt.settings import MqttSettings
from counterflow.adapters.ocpp.settings import OcppSettings
from counterflow.adapters.ocpp.transport import GatewaySettings
from counterflow.adapters.openadr.settings import OpenAdrSettings
from counterflow.adapters.openadr2.settings import OpenAdr2Settings
from counterflow.adapters.storage.settings import StorageSettings
from counterflow.adapters.web.settings import ApiSettings
from counterflow.adapters.webhooks.settings import WebhookSettings
from counterflow.app.dispatching.dispatcher_settings import DispatcherSettings
from counterflow.app.dispatching.setpoint_commands import PlacingSettings
from counterflow.app.drivers.authorizing import AuthorizationSettings
from counterflow.app.security.certificate_settings import CertificateSettings
from counterflow.app.setting_checks import complaints
from counterflow.app.setting_words import sentence_of
from counterflow.app.stations.doubtful_sessions import DoubtSettings
from counterflow.app.stations.registry import RegistrySettings
from counterflow.console.settings import ConsoleSettings
from counterflow.domain.grid import Program
from counterflow.domain.resources import Feeder, Site
from counterflow.engine.conflicts.settings import ConflictSettings
from counterflow.engine.control.book import BookSettings
from counterflow.engine.control.curves import CurveSettings
from counterflow.engine.control.feasibility import FeasibilitySettings
from counterflow.engine.control.lead import ScheduledStartSettings
from counterflow.engine.control.ledger import LedgerSettings
from counterflow.engine.control.priors import PriorSettings
from counterflow.engine.control.refusals import RefusalSettings
from counterflow.engine.control.resume import ResumeSettings
from counterflow.engine.control.settings import ControlSettings, ResponseSettings
from counterflow.engine.fleet.settings import CapabilitySettings, FleetSettings
from counterflow.engine.fleet.terms import TermsSettings
from counterflow.engine.grid.telemetry import TelemetrySettings
from counterflow.engine.settlement.settings import SettlementSettings

ENVIRONMENT_PREFIX = "COUNTERFLOW_"


class SettingsError(ValueError):
    """One sentence: which setting, what is wrong with it."""


class ServerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The process as a whole."""

    data_dir: Annotated[
        str, Meta(description="Folder of the database, raw frames, reports and the API token.", extra={"unit": "-"}, min_length=1)
    ] = "counterflow-data"
    log_level: Annotated[
        str, Meta(description="Least severe log line that is written.", extra={"unit": "-"}, pattern="^(debug|info|warning|error)$")
    ] = "info"


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every section. Each field is a table of the TOML file; `sites`, `feeders`, `programs` and `webhooks` are arrays of tables."""

    server: ServerSettings = ServerSettings()
    gateway: GatewaySettings = GatewaySettings()
    api: ApiSettings = ApiSettings()
    ocpp: OcppSettings = OcppSettings()
    stations: RegistrySettings = RegistrySettings()
    certificates: CertificateSettings = CertificateSettings()
    sites: tuple[Site, ...] = ()
    feeders: tuple[Feeder, ...] = ()
    programs: tuple[Program, ...] = ()
    openadr2: OpenAdr2Settings | None = None
    drivers: TermsSettings = TermsSettings()
    authorization: AuthorizationSettings = AuthorizationSettings()
    fleet: FleetSettings = FleetSettings()
    conflicts: ConflictSettings = ConflictSettings()
    doubts: DoubtSettings = DoubtSettings()
    capability: CapabilitySettings = CapabilitySettings()
    dispatcher: DispatcherSettings = DispatcherSettings()
    control: ControlSettings = ControlSettings()
    response: ResponseSettings = ResponseSettings()
    priors: PriorSettings = PriorSettings()
    feasibility: FeasibilitySettings = FeasibilitySettings()
    orders: BookSettings = BookSettings()
    placing: PlacingSettings = PlacingSettings()
    scheduled_start: ScheduledStartSettings = ScheduledStartSettings()
    curves: CurveSettings = CurveSettings()
    refusals: RefusalSettings = RefusalSettings()
    ledger: LedgerSettings = LedgerSettings()
    resume: ResumeSettings = ResumeSettings()
    settlement: SettlementSettings = SettlementSettings()
    console: ConsoleSettings = ConsoleSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    mqtt: MqttSettings = MqttSettings()
    webhooks: tuple[WebhookSettings, ...] = ()
    openadr: OpenAdrSettings = OpenAdrSettings()
    iec104: Iec104Settings = Iec104Settings()
    storage: StorageSettings = StorageSettings()


SHORTCUTS: dict[str, tuple[str, str]] = {
    "ocpp_host": ("gateway", "host"),
    "ocpp_port": ("gateway", "port"),
    "api_host": ("api", "host"),
    "api_port": ("api", "port"),
    "data_dir": ("server", "data_dir"),
    "accept_unknown_stations": ("stations", "accept_unknown"),
    "default_consent": ("drivers.default", "consent"),
    "console": ("console", "enabled"),
    "console_port": ("console", "port"),
}
"""Settings that also have an option of `serve` and an environment variable of their own."""

OTHER_VARIABLES = frozenset({"COUNTERFLOW_CONFIG", "COUNTERFLOW_API_URL", "COUNTERFLOW_TOKEN"})
"""Variables that are read elsewhere: the settings file, and what the client commands use."""


def load(config: Path | None, environment: Mapping[str, str], options: Mapping[str, object]) -> Settings:
    """Defaults, then the file, then `COUNTERFLOW_...` variables, then options (None = not given). Raises `SettingsError`."""
    tree: dict[str, Any] = _read(config) if config is not None else {}
    for name, text in environment.items():
        if name.startswith(ENVIRONMENT_PREFIX) and name not in OTHER_VARIABLES:
            shortcut = name.removeprefix(ENVIRONMENT_PREFIX).lower()
            if shortcut not in SHORTCUTS:
                known = ", ".join(sorted({*OTHER_VARIABLES, *(ENVIRONMENT_PREFIX + key.upper() for key in SHORTCUTS)}))
                raise SettingsError(f"The environment variable {name} is not known; known are {known}.")
            _set(tree, shortcut, _from_text(shortcut, text))
    for shortcut, value in options.items():
        if value is not None:
            _set(tree, shortcut, value)
    try:
        settings = msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(sentence_of(str(error))) from None
    for complaint in complaints(settings):
        raise SettingsError(complaint)
    return settings


def _read(config: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"The settings file {config} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {config} is not valid TOML: {error}.") from None


def _set(tree: dict[str, Any], shortcut: str, value: object) -> None:
    path, name = SHORTCUTS[shortcut]
    table = tree
    for part in path.split("."):
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise SettingsError(f"The setting '{part}' must be a table.")
    table[name] = value


def _from_text(shortcut: str, text: str) -> object:
    """The text of an environment variable as the kind of value that its setting wants; what does not fit is left for `convert` to name."""
    words = {"yes": True, "on": True, "no": False, "off": False}
    wanted = type(_default_of(shortcut))
    if wanted is bool and text.strip().lower() in words:
        return words[text.strip().lower()]
    try:
        return msgspec.convert(text.strip(), wanted, strict=False)
    except msgspec.ValidationError:
        return text


def _default_of(shortcut: str) -> object:
    path, name = SHORTCUTS[shortcut]
    section: object = Settings()
    for part in path.split("."):
        section = getattr(section, part)
    return getattr(section, name)
