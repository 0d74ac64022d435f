"""Settings: what is wrong with them stops the start with one sentence, in words of TOML; what fits is taken as it stands."""

import re
from pathlib import Path

import pytest

from counterflow.app import setting_checks
from counterflow.app.config import Settings, SettingsError, load

SITE = '[[sites]]\nsite_id = "depot"\n'

PROGRAM = "[[programs]]\nname = 'north'\nwire = 'mqtt'\nmax_discharge_power_w = 1e6\n"
NEGATIVE = "[[ocpp.negative_limit_models]]\n"
VEN = PROGRAM.replace("mqtt", "openadr2") + "sign = 'load'\n[openadr2]\nven_name = 'v'\n"
URL = "vtn_url = 'https://vtn.example/OpenADR2/Simple/2.0b'\n"
WRONG = [
    (VEN.partition("[openadr2]")[0], "'north' comes by openadr2, and there is no [openadr2] section"),
    (f"[openadr2]\nven_name = 'v'\n{URL}", 'and no [[programs]] entry with wire = "openadr2"'),
    (VEN, "[openadr2] needs the setting 'vtn_url'; "),
    (VEN + "vtn_url = 'vtn.example'", "vtn_url"),
    (VEN + "vtn_url = 'http://vtn.example/'", "The VTN at http://vtn.example/ would be spoken to in the clear."),
    (VEN + URL + "certificate = 'no.pem'", "'openadr2.certificate', 'openadr2.key' and 'openadr2.authority' go together"),
    (
        VEN + URL + "certificate = 'no.pem'\nkey = 'no.pem'\nauthority = 'no.pem'",
        "The setting 'openadr2.certificate' names the file no.pem, which cannot be read.",
    ),
    (VEN + URL + "sign = true", "The setting 'openadr2.sign' needs 'openadr2.certificate'"),
    (VEN + URL + "simple_discharge_frac = [0.0, 1.0]", "has 2 shares; there are four levels, 0 to 3."),
    (VEN + URL + "sampling_min_s = 60\nsampling_max_s = 10", "'openadr2.sampling_min_s' must not be larger than"),
    (SITE + SITE, "The [[sites]] are wrong: the site 'depot' is given twice."),
    (SITE + "max_export_power_w = -30000", "The setting 'max_export_power_w' of [[sites]] number 1 must be at least 0; "),
    (SITE + 'max_import_power_w = "30kW"', "'max_import_power_w' of [[sites]] number 1 must be a number, not a text; "),
    (SITE + "max_export_power_w = nan", "'max_export_power_w' of [[sites]] number 1 must be at least 0; "),
    (
        SITE + "feeder = 'north'",
        "The [[sites]] are wrong: the site 'depot' hangs on the feeder 'north', which is not given.",
    ),
    (SITE + "uncontrolled_load_p5_w = [1.0]", "the site depot needs uncontrolled_load_p5_w and uncontrolled_load_p95_w of the same length"),
    (SITE + "phases = 'L4'", "phases"),
    ("[[feeders]]\nfeeder_id = 'a'\nparent = 'a'", "the feeder 'a' hangs on itself"),
    ("[[feeders]]\nfeeder_id = 'a'\nuncontrolled_load_w = nan", "of the feeder 'a' must be a number of watts"),
    (SITE + "uncontrolled_load_w = inf", "'uncontrolled_load_w' of the site 'depot' must be a number of watts."),
    ("[[sites]]\nmax_export_power_w = 1", "[[sites]] number 1 needs the setting 'site_id'; "),
    (SITE + "limit_w = 1", "There is no setting 'limit_w' in [[sites]] number 1; "),
    (PROGRAM, "The [[programs]] entry 'north' must say what a positive power means: sign = \"load\""),
    (PROGRAM + "sign = 'load'", "The [[programs]] entry 'north' must say in which unit its powers are"),
    (PROGRAM + "sign = 'load'\nunit = 'kW'\n" + PROGRAM, "The [[programs]] entry 'north' is there more than once"),
    (PROGRAM + "sign = 'load'\nunit = 'kW'\npool = 'south'", "names the pool 'south'; known pools: all."),
    (PROGRAM + "sign = 'load'\nunit = 'kW'\nstream_timeout_s = 3", "has a 'stream_timeout_s' of 3; choose between 4 s and 900 s."),
    (
        PROGRAM + "sign = 'minus'",
        "The setting 'sign' of [[programs]] number 1 knows no 'minus'; the table tells which words it takes; see docs/settings.md.",
    ),
    ("sites = 3", "The setting 'sites' must be a list in brackets, not a whole number; "),
    (
        '[stations]\ndefault_site = "nowhere"',
        "The setting 'stations.default_site' names the site 'nowhere', and there is no [[sites]]",
    ),
    (SITE + "[drivers.sites.depto]\nconsent = true", "The setting 'drivers.sites' names the site 'depto', and there is no [[sites]]"),
    ("[response]\ngain_min = 2.0", "The setting 'response.gain_min' (2) must not be larger than 'response.gain_max' (1.15)."),
    ("[control]\nhold_max_s = 10.0", "The setting 'control.hold_min_s' (20) must not be larger than 'control.hold_max_s' (10)."),
    ('[ocpp]\nmeasurands = ["soc"]', "names 'soc', which is no measurand of OCPP 2.1. Did you mean 'SoC'?"),
    ('[ocpp]\nmeasurands = ["Power.Active"]', "names 'Power.Active', which is no measurand of OCPP 2.1."),
    (NEGATIVE + "model = 'Elm'", "entry 'Elm' must name vendor and model with a slash between"),
    (
        NEGATIVE + "model = 'Elm/Post'\nmax_discharge_power_w = 5000.0",
        "entry 'Elm/Post' names max_discharge_power_w and not capacity_wh: a station that cannot tell the one cannot tell the other.",
    ),
    (NEGATIVE + "model = 'Elm/Post'\ncapacity_wh = 40000.0", "names capacity_wh and not max_discharge_power_w"),
    (NEGATIVE + "model = 'Elm/Post'\n" + NEGATIVE + "model = 'elm/post'", "entry 'elm/post' is there twice"),
    (NEGATIVE + "model = 'Elm/Post'\ncapacity_wh = 0.0\nmax_discharge_power_w = 1.0", "must be above 0"),
    ("[ocpp]\nmeasurands = []", "The setting 'ocpp.measurands' must have at least 1 entry; "),
    ("[feasibility]\nheadroom_factor = 1.2", "The setting 'feasibility.headroom_factor' must be at most 1; "),
    ("[control]\ntick_interval_s = 0", "The setting 'control.tick_interval_s' must be above 0; "),
    ("[gateway]\nport = 8.5", "The setting 'gateway.port' must be a whole number, not one with a fraction; "),
    ('[server]\nlog_level = "loud"', "The setting 'server.log_level' must be one of debug, info, warning, error; "),
    ('[server]\ndata_dir = ""', "The setting 'server.data_dir' must have at least 1 character; "),
    ("[drivers.drivers.abc]\nmin_soc_frac = 3.0", "The setting 'min_soc_frac' of [drivers.drivers.<name>] must be at most 1; "),
    ("[drivers.drivers.abc]\nconset = true", "There is no setting 'conset' in [drivers.drivers.<name>]; "),
    ('[api]\nhost = "0.0.0.0"', "The API would send its tokens in the clear on 0.0.0.0. Set 'api.tls_certificate'"),
    ('[api]\nhost = "depot.example"', "The API would send its tokens in the clear on depot.example."),
    ("[api]\nmax_connections = 64", "The setting 'api.max_event_streams' (64) must be smaller than 'api.max_connections' (64)"),
    ('[api]\ntls_key = "key.pem"', "The settings 'api.tls_certificate' and 'api.tls_key' go together"),
    (
        '[api]\ntls_certificate = "no.pem"\ntls_key = "no.pem"',
        "The setting 'api.tls_certificate' names the file no.pem, which cannot be read.",
    ),
    (
        '[dispatcher.offers]\nforecast_modes = ["relative", "relative"]',
        "The setting 'dispatcher.offers.forecast_modes' names one twice, and its forecasts would count twice; keep one of the two.",
    ),
    ("[dispatcher.offers]\nforecast_windows_s = [900, 900.0]", "The setting 'dispatcher.offers.forecast_windows_s' names one twice"),
    ("[nothing]", "There is no setting 'nothing'; "),
]


@pytest.mark.parametrize(("text", "sentence"), WRONG, ids=[text.replace("\n", " ") for text, _ in WRONG])
def test_what_is_wrong_with_settings_is_one_sentence_without_names_of_python(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "counterflow.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as raised:
        load(file, {}, {})
    said = str(raised.value)
    assert sentence in said
    assert not re.search(r"`|Expected|\b(?:str|int|float|object|array|null)\b", said), said
    assert said.endswith((".", "?"))
    assert "\n" not in said


def test_settings_that_fit_each_other_are_taken(tmp_path: Path) -> None:
    file = tmp_path / "counterflow.toml"
    file.write_text(
        SITE + 'max_export_power_w = 30000\npools = ["north"]\n[stations]\ndefault_site = "depot"\n'
        "[drivers.sites.depot]\nconsent = true\n[control]\nhold_min_s = 80.0\n",
        encoding="utf-8",
    )
    settings = load(file, {}, {})
    assert settings.sites[0].max_export_power_w == 30_000.0
    assert settings.drivers.sites[settings.sites[0].site_id].consent is True
    assert load(None, {}, {}) == Settings()
    for host in ("127.0.0.1", "::1", "localhost"):
        assert load(None, {"COUNTERFLOW_API_HOST": host}, {}).api.host == host
    file.write_text('[api]\nhost = "0.0.0.0"\nplain_http_beyond_this_host = true\n', encoding="utf-8")
    assert load(file, {}, {}).api.plain_http_beyond_this_host


PROGRAM = '[[programs]]\nname = "{name}"\nwire = "mqtt"\nsign = "load"\nunit = "kW"\nmax_discharge_power_w = 1\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (PROGRAM.format(name="p"), "The [[programs]] entry 'p' comes by MQTT, and [mqtt] names no 'host'."),
        (PROGRAM.format(name="a/b") + '[mqtt]\nhost = "x"\n', "is called 'a/b', which makes no topic"),
        ('[mqtt]\nhost = "broker.example"\ntls = false\n', "the broker broker.example is not on this host"),
        (PROGRAM.format(name="p") + '[mqtt]\nhost = "x"\n[mqtt.programs.q]\ntopics = "a"\n', "names 'q', and no [[programs]] entry"),
        (
            PROGRAM.format(name="p") + PROGRAM.format(name="q") + '[mqtt]\nhost = "x"\n[mqtt.programs.q]\ntopics = "counterflow/p"\n',
            "Two programs have the same MQTT topics, below 'counterflow/p'",
        ),
        (PROGRAM.format(name="p") + '[mqtt]\nhost = "x"\n[mqtt.programs.p]\ntopics = "a/#"\n', "topics"),
        ('[mqtt]\nhost = "x"\npassword_file = "a"\npassword_variable = "B"\n', "Name either"),
    ],
)
def test_an_mqtt_broker_that_cannot_be_meant_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "counterflow.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(file, {}, {})
    assert sentence in str(caught.value)


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "counterflow.toml"
    file.write_text(VEN + URL, encoding="utf-8")
    assert load(file, {}, {}).openadr2 is not None
    monkeypatch.setattr(setting_checks, "find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"needs the package openleadr; install counterflow\[openadr2\]\."):
        load(file, {}, {})


@pytest.mark.parametrize(
    ("wire", "sentence"),
    [
        ("iec104", "The [[programs]] entry 'p' comes by IEC 104, and no [[iec104.stations]] entry serves it."),
        ("openadr", "The [[programs]] entry 'p' comes by OpenADR, and no [[openadr.vtns]] entry follows it."),
        ("openadr2", "The [[programs]] entry 'p' comes by openadr2, and there is no [openadr2] section that says where its VTN is."),
        ("mqtt", "The [[programs]] entry 'p' comes by MQTT, and [mqtt] names no 'host'."),
    ],
)
def test_a_program_by_which_nothing_could_be_ordered_stops_the_start(tmp_path: Path, wire: str, sentence: str) -> None:
    file = tmp_path / "counterflow.toml"
    file.write_text(f'[[programs]]\nname = "p"\nwire = "{wire}"\nsign = "load"\nunit = "kW"\nmax_discharge_power_w = 1\n')
    with pytest.raises(SettingsError) as caught:
        load(file, {}, {})
    assert sentence in str(caught.value)


@pytest.mark.parametrize("wire", ["openadr", "openadr2", "iec104", "mqtt", "http"])
def test_a_program_that_leaves_its_sign_open_stops_the_start_whatever_its_wire(tmp_path: Path, wire: str) -> None:
    file = tmp_path / "counterflow.toml"
    file.write_text(f'[[programs]]\nname = "p"\nwire = "{wire}"\nunit = "kW"\nmax_discharge_power_w = 1\n')
    with pytest.raises(SettingsError) as caught:
        load(file, {}, {})
    assert "must say what a positive power means" in str(caught.value)
