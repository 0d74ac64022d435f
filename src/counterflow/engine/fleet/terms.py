"""What drivers and sites agreed to: defaults, narrowed by the site, narrowed by the driver, field by field."""

from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from counterflow.domain.ids import SiteId
from counterflow.domain.resources import Consent, DepartureAfter, DriverTerms, MinSoc, TargetSoc, TransferByEvseAlone


class PartialTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of `DriverTerms` that a site or driver sets; what is left out comes from the wider scope."""

    consent: Consent | None = None
    min_soc_frac: MinSoc | None = None
    target_soc_frac: TargetSoc | None = None
    departure_after_s: DepartureAfter | None = None
    transfer_by_evse_alone: TransferByEvseAlone | None = None


class TermsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Terms by scope. A driver is known by the id token that the station reports (case does not matter, as in OCPP)."""

    default: Annotated[DriverTerms, Meta(description="Terms of everyone.", extra={"unit": "-"})] = DriverTerms()
    sites: Annotated[dict[SiteId, PartialTerms], Meta(description="What sites agreed to, by site id.", extra={"unit": "-"})] = (
        msgspec.field(default_factory=dict)
    )
    drivers: Annotated[dict[str, PartialTerms], Meta(description="What drivers agreed to, by id token.", extra={"unit": "-"})] = (
        msgspec.field(default_factory=dict)
    )


def terms_for(settings: TermsSettings, site_id: SiteId, id_token: str) -> DriverTerms:
    """The terms of one driver at one site; for many look-ups make a `terms_resolver` once."""
    return terms_resolver(settings)(site_id, id_token)


def terms_resolver(settings: TermsSettings) -> Callable[[SiteId, str], DriverTerms]:
    """A look-up `(site id, id token) -> DriverTerms`; an unknown site or token ("" too) falls to the wider scope."""
    drivers = {token.casefold(): part for token, part in settings.drivers.items()}

    def resolve(site_id: SiteId, id_token: str) -> DriverTerms:
        terms = _narrowed(settings.default, settings.sites.get(site_id))
        return _narrowed(terms, drivers.get(id_token.casefold()))

    return resolve


def _narrowed(terms: DriverTerms, part: PartialTerms | None) -> DriverTerms:
    if part is None:
        return terms
    said = {name: value for name, value in msgspec.structs.asdict(part).items() if value is not None}
    return msgspec.structs.replace(terms, **said)
