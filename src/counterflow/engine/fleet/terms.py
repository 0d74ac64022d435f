"""What drivers and sites agreed to. Narrowing goes default -> site -> contract -> driver -> vehicle, field by field.

Caps of a day or year hold for contract, driver and vehicle at once, each counted on the account of its subject. Those of default and
site count for each driver who has none of his own (for each vehicle, or else session, where no driver is known). The cap of a session
narrows like any other field.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from counterflow.domain.drivers import AgreedTerms, EnergyCap, PartialTerms, Scope
from counterflow.domain.ids import SiteId
from counterflow.domain.resources import DriverTerms

__all__ = ["PartialTerms", "TermsResolver", "TermsSettings", "account_of"]

Caps = tuple[float | None, float | None, float | None]
NOBODY = ""
"""The account of a session whose driver and vehicle are unknown: the session counts for itself."""
_NO_CAPS: Caps = (None, None, None)


class TermsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Terms by scope. A driver is known by the id token that the station reports (case does not matter, as in OCPP)."""

    default: Annotated[DriverTerms, Meta(description="Terms of everyone.", extra={"unit": "-"})] = DriverTerms()
    sites: Annotated[dict[SiteId, PartialTerms], Meta(description="What sites agreed to, by site id.", extra={"unit": "-"})] = (
        msgspec.field(default_factory=dict)
    )
    drivers: Annotated[dict[str, PartialTerms], Meta(description="What drivers agreed to, by id token.", extra={"unit": "-"})] = (
        msgspec.field(default_factory=dict)
    )
    vehicles: Annotated[dict[str, PartialTerms], Meta(description="What holds for vehicles, by EVCCID.", extra={"unit": "-"})] = (
        msgspec.field(default_factory=dict)
    )
    contracts: Annotated[
        dict[str, PartialTerms], Meta(description="What contracts say; drivers and vehicles name theirs.", extra={"unit": "-"})
    ] = msgspec.field(default_factory=dict)


def account_of(scope: Scope, subject: str) -> str:
    """The name of the account on which a subject's energy counts."""
    return f"{scope.value}:{subject}"


class TermsResolver:
    """The look-up `(site id, driver, vehicle) -> AgreedTerms`; driver and vehicle are pseudonyms, "" = not known.

    What is in the settings counts like an agreement; a stored one replaces it whole.
    """

    def __init__(
        self,
        settings: TermsSettings,
        pseudonym: Callable[[str], str],
        authorized: Callable[[str], bool | None] = lambda _driver: None,
    ) -> None:
        """`authorized(driver)` is what the authorization said of discharge; None = nobody was asked."""
        self._authorized = authorized
        self._settings = settings
        self._agreed: dict[Scope, dict[str, PartialTerms]] = {
            Scope.CONTRACT: dict(settings.contracts),
            Scope.DRIVER: {pseudonym(token): part for token, part in settings.drivers.items()},
            Scope.VEHICLE: {pseudonym(evccid): part for evccid, part in settings.vehicles.items()},
        }
        self._stored: dict[Scope, dict[str, PartialTerms]] = {scope: {} for scope in Scope}

    def store(self, scope: Scope, subject: str, terms: PartialTerms | None) -> None:
        """An agreement was set, or removed (None)."""
        if terms is None:
            self._stored[scope].pop(subject, None)
        else:
            self._stored[scope][subject] = terms

    def in_settings(self, scope: Scope) -> Mapping[str, PartialTerms]:
        """Agreements that the settings hold, by subject."""
        return self._agreed[scope]

    def agreement(self, scope: Scope, subject: str) -> PartialTerms | None:
        """What one subject agreed to."""
        if not subject:
            return None
        return self._stored[scope].get(subject) or self._agreed[scope].get(subject)

    def __call__(self, site_id: SiteId, driver: str, vehicle: str) -> AgreedTerms:
        """Everything that holds for a session of this driver and vehicle at this site."""
        default, site = self._settings.default, self._settings.sites.get(site_id)
        own = {Scope.DRIVER: self.agreement(Scope.DRIVER, driver), Scope.VEHICLE: self.agreement(Scope.VEHICLE, vehicle)}
        contract = next((part.contract for part in (own[Scope.VEHICLE], own[Scope.DRIVER]) if part is not None and part.contract), None)
        own[Scope.CONTRACT] = None if contract is None else self.agreement(Scope.CONTRACT, contract)
        subjects = {Scope.CONTRACT: contract or "", Scope.DRIVER: driver, Scope.VEHICLE: vehicle}
        narrowed = msgspec.structs.asdict(default)
        for part in (site, own[Scope.CONTRACT], own[Scope.DRIVER], own[Scope.VEHICLE]):
            if part is not None:
                narrowed |= {name: value for name, value in msgspec.structs.asdict(part).items() if value is not None and name in narrowed}
        general = _caps_of(default) if site is None else _narrower(_caps_of(default), _caps_of(site))
        person = Scope.DRIVER if driver else Scope.VEHICLE
        caps = [] if driver or vehicle else [_cap(NOBODY, general)]
        for scope, subject in subjects.items():
            if subject:
                part = own[scope]
                mine = _NO_CAPS if part is None else _caps_of(part)
                if scope is person:
                    mine = _narrower(general, mine)
                caps.append(_cap(account_of(scope, subject), mine))
        authorized = self._authorized(driver) if driver else None
        narrowed["consent"] = narrowed["consent"] and authorized is not False
        return AgreedTerms(caps=tuple(caps), authorized=authorized, **narrowed)


def _cap(account: str, caps: Caps) -> EnergyCap:
    return EnergyCap(account=account, day_wh=caps[0], year_wh=caps[1], year_cycles=caps[2])


def _caps_of(terms: DriverTerms | PartialTerms) -> Caps:
    return terms.max_day_discharge_wh, terms.max_year_discharge_wh, terms.max_year_cycles


def _narrower(wider: Caps, narrower: Caps) -> Caps:
    day, year, cycles = (general if own is None else own for general, own in zip(wider, narrower, strict=True))
    return day, year, cycles
