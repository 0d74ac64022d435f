"""Settings that do not fit stop the start with a sentence."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from counterflow.adapters.openadr.report_settings import ReportSettings
from counterflow.adapters.openadr.settings import FollowedProgram, OpenAdrSettings, VtnSettings, WebhookSettings, complaints
from counterflow.app.config import SettingsError, load
from counterflow.domain.grid import Program, Sign, Wire

NORTH = Program(name="north", wire=Wire.OPENADR, sign=Sign.LOAD, max_discharge_power_w=1e6)
GOOD = VtnSettings(
    name="dso",
    url="https://vtn.example/openadr3/3.1.0",
    programs=(FollowedProgram(program="north", simple_power_w=(0.0, 1e3, 2e3)),),
    client_id="ven",
    client_secret_file="secret",
)


def said(*vtns: VtnSettings, programs: tuple[Program, ...] = (NORTH,)) -> str:
    return "\n".join(complaints(OpenAdrSettings(vtns=vtns), programs))


def test_what_fits_is_fine() -> None:
    assert said(GOOD) == ""
    assert said() == ""
    assert said(replace(GOOD, url="http://127.0.0.1:8080/api")) == ""
    assert said(replace(GOOD, url="http://localhost/api", client_id="", client_secret_file="")) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://vtn.example/api"}, "url must be https"),
        ({"url": "vtn.example"}, "url is no http(s) address"),
        ({"token_url": "http://auth.example/token"}, "token_url must be https"),
        ({"webhook": WebhookSettings(url="http://vpp.example/oadr")}, "webhook.url must be https"),
        ({"client_secret_file": ""}, "client_secret_file and client_secret_env"),
        ({"client_secret_env": "BOTH"}, "client_secret_file and client_secret_env"),
        ({"key_file": "key.pem"}, "certificate_file, which is not given"),
        ({"programs": ()}, "follows no program"),
        ({"reports": ReportSettings(confidences=(0.9, 0.8))}, "reports.confidences are of 0.5, 0.9, 0.95, 0.99"),
        ({"programs": (FollowedProgram(program="south"),)}, 'no [[programs]] entry of that name with wire = "openadr"'),
        ({"programs": (FollowedProgram(program="north", simple_power_w=(1.0,)),)}, "three powers of zero or more"),
        ({"programs": (FollowedProgram(program="north", simple_power_w=(1.0, -1.0, 2.0)),)}, "three powers of zero or more"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, Any], words: str) -> None:
    assert words in said(replace(GOOD, **changes))


def test_names_are_given_once_and_every_program_has_its_vtn() -> None:
    assert "'dso' is given twice" in said(GOOD, GOOD)
    assert "followed at 'other' and at 'dso'" in said(GOOD, replace(GOOD, name="other"))
    assert "no [[openadr.vtns]] follows it" in said(GOOD, programs=(NORTH, replace(NORTH, name="south")))


@pytest.mark.parametrize(
    ("line", "words"),
    [('unit = "kW"', "must say what a positive power means"), ('sign = "load"', "[[openadr.vtns]] 'dso': url must be https")],
)
def test_a_start_is_refused_where_it_is_not_said_which_way_is_up(tmp_path: Path, line: str, words: str) -> None:
    file = tmp_path / "counterflow.toml"
    file.write_text(
        f'[[programs]]\nname = "north"\nwire = "openadr"\nmax_discharge_power_w = 1e6\n{line}\n'
        '[[openadr.vtns]]\nname = "dso"\nurl = "http://vtn.example"\nprograms = [{ program = "north" }]\n'
    )
    with pytest.raises(SettingsError) as caught:
        load(file, {}, {})
    assert words in str(caught.value)
