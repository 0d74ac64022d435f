"""Terms of drivers and sites."""

import msgspec
import pytest

from counterflow.domain.ids import SiteId
from counterflow.domain.resources import DriverTerms
from counterflow.engine.fleet.terms import PartialTerms, TermsSettings, terms_for, terms_resolver

NORTH = SiteId("north")
SETTINGS = TermsSettings(
    default=DriverTerms(min_soc_frac=0.4),
    sites={NORTH: PartialTerms(consent=True, target_soc_frac=0.9)},
    drivers={"Tag-1": PartialTerms(consent=False, departure_after_s=60.0)},
)


def test_no_driver_is_discharged_by_default() -> None:
    assert not terms_for(TermsSettings(), NORTH, "anyone").consent


def test_the_narrower_scope_wins_field_by_field() -> None:
    assert terms_for(SETTINGS, SiteId("south"), "") == DriverTerms(min_soc_frac=0.4)
    assert terms_for(SETTINGS, NORTH, "other") == DriverTerms(consent=True, min_soc_frac=0.4, target_soc_frac=0.9)
    assert terms_for(SETTINGS, NORTH, "Tag-1") == DriverTerms(consent=False, min_soc_frac=0.4, target_soc_frac=0.9, departure_after_s=60.0)


def test_id_tokens_are_compared_without_case() -> None:
    assert terms_resolver(SETTINGS)(NORTH, "TAG-1").departure_after_s == 60.0


def test_settings_with_unknown_or_wrong_fields_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"drivers": {"x": {"min_soc": 0.3}}}, TermsSettings)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"sites": {"x": {"min_soc_frac": 1.3}}}, TermsSettings)
