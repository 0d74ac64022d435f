"""Terms of drivers, vehicles, contracts and sites: what narrows what."""

import msgspec
import pytest

from counterflow.domain.drivers import AgreedTerms, EnergyCap, Scope
from counterflow.domain.ids import SiteId
from counterflow.domain.resources import DriverTerms
from counterflow.engine.fleet.terms import PartialTerms, TermsResolver, TermsSettings

NORTH, SOUTH = SiteId("north"), SiteId("south")
SETTINGS = TermsSettings(
    default=DriverTerms(min_soc_frac=0.4),
    sites={NORTH: PartialTerms(consent=True, target_soc_frac=0.9)},
    drivers={"Tag-1": PartialTerms(consent=False, departure_after_s=60.0)},
)


def resolver(settings: TermsSettings = SETTINGS) -> TermsResolver:
    return TermsResolver(settings, str.casefold)


def plain(terms: AgreedTerms) -> DriverTerms:
    return DriverTerms(**{name: value for name, value in msgspec.structs.asdict(terms).items() if name not in ("caps", "authorized")})


def caps(terms: AgreedTerms) -> dict[str, EnergyCap]:
    return {cap.account: cap for cap in terms.caps}


def test_no_driver_is_discharged_by_default() -> None:
    assert not resolver(TermsSettings())(NORTH, "anyone", "").consent


def test_no_car_is_paused_by_default_and_what_is_agreed_narrows_like_any_other_term() -> None:
    assert not resolver(TermsSettings(default=DriverTerms(consent=True)))(NORTH, "anyone", "").pausing
    look = resolver(
        TermsSettings(
            sites={NORTH: PartialTerms(pausing=True, max_pause_s=600.0)},
            drivers={"Tag-1": PartialTerms(pausing=False), "Tag-2": PartialTerms(max_pause_s=60.0)},
        )
    )
    said = {driver: look(NORTH, driver, "") for driver in ("other", "tag-1", "tag-2")}
    assert [(terms.pausing, terms.max_pause_s) for terms in said.values()] == [(True, 600.0), (False, 600.0), (True, 60.0)]
    assert not look(SOUTH, "tag-2", "").pausing


def test_the_narrower_scope_wins_field_by_field() -> None:
    look = resolver()
    assert plain(look(SOUTH, "", "")) == DriverTerms(min_soc_frac=0.4)
    assert plain(look(NORTH, "other", "")) == DriverTerms(consent=True, min_soc_frac=0.4, target_soc_frac=0.9)
    driver = DriverTerms(consent=False, min_soc_frac=0.4, target_soc_frac=0.9, departure_after_s=60.0)
    assert plain(look(NORTH, "tag-1", "")) == driver


def test_id_tokens_of_the_settings_are_kept_as_pseudonyms() -> None:
    look = TermsResolver(SETTINGS, lambda token: f"#{token.casefold()}")
    assert look(NORTH, "#tag-1", "").departure_after_s == 60.0
    assert look(NORTH, "Tag-1", "").departure_after_s == 3600.0


def test_the_order_is_default_site_contract_driver_vehicle() -> None:
    look = resolver(
        TermsSettings(
            default=DriverTerms(min_soc_frac=0.1, timezone="UTC"),
            sites={NORTH: PartialTerms(min_soc_frac=0.2, timezone="Europe/Berlin")},
            contracts={"fleet": PartialTerms(min_soc_frac=0.3, consent=True)},
            drivers={"d": PartialTerms(min_soc_frac=0.4, contract="fleet")},
            vehicles={"v": PartialTerms(min_soc_frac=0.5)},
        )
    )
    assert [look(*who).min_soc_frac for who in ((SOUTH, "", ""), (NORTH, "x", ""), (NORTH, "d", ""), (NORTH, "d", "v"))] == [
        0.1,
        0.2,
        0.4,
        0.5,
    ]
    both = look(NORTH, "d", "v")
    assert both.consent
    assert both.timezone == "Europe/Berlin"


def test_a_stored_agreement_replaces_that_of_the_settings_until_it_is_removed() -> None:
    look = resolver()
    look.store(Scope.DRIVER, "tag-1", PartialTerms(consent=True))
    assert look(SOUTH, "tag-1", "").consent
    assert look(SOUTH, "tag-1", "").departure_after_s == 3600.0
    look.store(Scope.DRIVER, "tag-1", None)
    assert look(SOUTH, "tag-1", "").departure_after_s == 60.0


def test_caps_of_contract_driver_and_vehicle_hold_at_once_each_on_its_own_account() -> None:
    look = resolver(
        TermsSettings(
            default=DriverTerms(max_day_discharge_wh=9_000.0, max_year_discharge_wh=90_000.0),
            contracts={"fleet": PartialTerms(max_year_discharge_wh=500_000.0)},
            drivers={"d": PartialTerms(max_day_discharge_wh=5_000.0, contract="fleet")},
            vehicles={"v": PartialTerms(max_year_cycles=20.0)},
        )
    )
    assert caps(look(NORTH, "d", "v")) == {
        "contract:fleet": EnergyCap(account="contract:fleet", year_wh=500_000.0),
        "driver:d": EnergyCap(account="driver:d", day_wh=5_000.0, year_wh=90_000.0),
        "vehicle:v": EnergyCap(account="vehicle:v", year_cycles=20.0),
    }
    assert caps(look(NORTH, "", "w"))["vehicle:w"].day_wh == 9_000.0
    assert caps(look(NORTH, "", ""))[""].day_wh == 9_000.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"drivers": {"x": {"min_soc": 0.3}}},
        {"sites": {"x": {"min_soc_frac": 1.3}}},
        {"drivers": {"x": {"blackouts": ["sometimes"]}}},
        {"default": {"timezone": "Mars/Base"}},
        {"default": {"max_day_discharge_wh": -1.0}},
        {"vehicles": {"x": {"max_year_cycles": -1.0}}},
    ],
)
def test_settings_with_unknown_or_wrong_fields_are_refused(wrong: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, TermsSettings)


def test_an_authorization_that_says_no_takes_the_consent_back_and_never_gives_it() -> None:
    agreed = TermsSettings(default=DriverTerms(consent=True), drivers={"never": PartialTerms(consent=False)})
    said = {"no": False, "yes": True, "never": True}
    look = TermsResolver(agreed, str.casefold, said.get)
    assert [look(NORTH, driver, "").consent for driver in ("no", "yes", "never", "unasked", "")] == [False, True, False, True, True]
    assert look(NORTH, "no", "").authorized is False
