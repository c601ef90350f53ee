"""Settings from a file, the environment and flags: what goes before what, and what is wrong with others."""

from __future__ import annotations

import json
import typing
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from ringcast import ServerConfig
from ringcast.operations.logs import LogConfig
from ringcast.operations.settings import SETTINGS, Effective, Setting, SettingsError, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ringcast.toml"


def loaded(
    file: Path | None = None,
    text: str = "",
    environment: dict[str, str] | None = None,
    config: ServerConfig | None = None,
    **flags: Any,
) -> Effective:
    if file is not None:
        file.write_text(text)
    name = None if file is None else str(file)
    return load(config or ServerConfig(), file=name, environment=environment or {}, flags=flags)


def another(setting: Setting) -> Any:
    """Return a value that the setting may have, another one than its default where that is easy to tell."""
    if isinstance(setting.default, tuple):
        return setting.default
    if typing.get_origin(setting.type) is typing.Literal:
        return typing.get_args(setting.type)[-1]
    if isinstance(setting.default, bool):
        return not setting.default
    return setting.default - 1 if setting.default > 1 else setting.default + 1


def written(value: Any) -> str:
    """Return a value as variables and flags have it."""
    if isinstance(value, tuple):
        return ",".join(value)
    return "none" if value is None else str(value)


def refused(*arguments: Any, **flags: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(*arguments, **flags)
    return str(caught.value)


def test_flags_go_before_variables_before_the_file_before_the_code(file: Path) -> None:
    text = "port = 2\nheartbeat_s = 2\nsession_window_s = 2\n"
    variables = {"RINGCAST_PORT": "3", "RINGCAST_HEARTBEAT_S": "3"}
    code = ServerConfig(port=1, heartbeat_s=1, session_window_s=1, drain_batch=1)
    found = loaded(file, text, variables, code, port=4)
    server = found.server
    assert (server.port, server.heartbeat_s, server.session_window_s, server.drain_batch) == (4, 3, 2, 1)
    assert found.origins == {
        "port": "--port",
        "heartbeat_s": "RINGCAST_HEARTBEAT_S",
        "session_window_s": str(file),
    }


def test_without_anything_the_code_holds() -> None:
    code = ServerConfig(port=1)
    assert loaded(config=code) == Effective(code, LogConfig(), {})


def test_every_setting_can_be_given_in_every_way(file: Path) -> None:
    others: dict[str, Any] = {
        "host": "0.0.0.0",
        "port": 9,
        "tls_certificate": "chain.pem",
        "tls_key": "key.pem",
        "store_path": "other.db",
        "metrics_port": 9100,
        "metrics_host": "::1",
        "sleep_after_s": None,
        "log_level": "debug",
        "log_format": "json",
    }
    for name, setting in SETTINGS.items():
        if name not in others:
            others[name] = another(setting)
    as_text = {name: written(value) for name, value in others.items()}
    text = "".join(
        f"{name} = {json.dumps('none' if value is None else value)}\n" for name, value in others.items()
    )
    variables = {SETTINGS[name].variable: text for name, text in as_text.items()}
    for found in (loaded(file, text), loaded(environment=variables), loaded(**as_text)):
        assert {name: found.value(name) for name in SETTINGS} == others
        assert set(found.origins) == set(SETTINGS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trusted_proxies", ("10.0.0.0/8", "unix")),
        ("allowed_origins", ("https://app.example.com", "http://localhost:3000")),
        ("uncounted_networks", ()),
        ("forwarded_header", "forwarded"),
    ],
)
def test_lists_and_choices_can_be_given_in_every_way(file: Path, name: str, value: Any) -> None:
    variable, text = SETTINGS[name].variable, written(value)
    in_file = json.dumps(list(value) if isinstance(value, tuple) else value)
    for effective in (
        loaded(file, f"{name} = {in_file}\n"),
        loaded(environment={variable: text}),
        loaded(**{name: text}),
    ):
        assert effective.value(name) == value
        assert loaded(file, f"{name} = {effective.shown(name)}\n").value(name) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [("trusted_proxies", "10.0.0.0/8,nowhere"), ("allowed_origins", "app"), ("forwarded_header", "via")],
)
def test_what_is_wrong_in_lists_and_choices_names_where_it_is(file: Path, name: str, value: str) -> None:
    setting = SETTINGS[name]
    listed = value.split(",") if typing.get_origin(setting.type) is tuple else value
    assert str(file) in refused(file, f"{name} = {json.dumps(listed)}\n")
    assert setting.variable in refused(environment={setting.variable: value})
    assert setting.flag in refused(**{name: value})


def test_settings_are_the_fields_of_the_configuration_and_each_is_described() -> None:
    assert list(SETTINGS) == [each.name for each in (*fields(ServerConfig), *fields(LogConfig))]
    assert [name for name, setting in SETTINGS.items() if not setting.text] == []


def test_the_variable_config_names_the_file(file: Path) -> None:
    file.write_text("port = 2\n")
    found = load(ServerConfig(), environment={"RINGCAST_CONFIG": str(file)})
    assert found.server.port == 2


def test_a_shown_value_is_read_as_the_same(file: Path) -> None:
    found = loaded(sleep_after_s="none", host='a"\\b', compression="yes", save_interval_s="0.5")
    text = "".join(f"{name} = {found.shown(name)}\n" for name in SETTINGS)
    assert loaded(file, text).server == found.server


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prot = 1", "{file}: there is no setting 'prot'; did you mean port?"),
        ("zebra = 1", "{file}: there is no setting 'zebra'"),
        ("[server]\nport = 1", "{file}: there is no setting 'server'"),
        ("port = 'many'", "port in {file} should be a valid integer"),
        ("port = 'none'", "port in {file} should be a valid integer"),
        ("port = -1", "port is -1, which is too small ({file})"),
        ("port = 70000", "port is 70000, which is too much ({file})"),
        ("log_format = 'xml'", "log_format in {file} should be 'plain' or 'json', not 'xml'"),
        ("port = ", "{file} is not TOML: "),
        ("max_connections = true", "max_connections in {file} should be a number, not true"),
        ("sleep_after_s = false", "sleep_after_s in {file} should be a number, not false"),
        ("writer_threads = 100000", "writer_threads is 100000, which is too much: 1024 at most ({file})"),
        (
            "host = ''",
            "host is empty: give an address, such as 0.0.0.0 for all of IPv4, or :: for all of IPv6 ({file})",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said(file: Path, text: str, message: str) -> None:
    assert refused(file, text).startswith(message.format(file=file))


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(SettingsError, match="there is no file"):
        load(ServerConfig(), file=str(file), environment={})
    variables = {"ringcast_config": str(file)}
    assert refused(environment=variables) == f"there is no file {file} (ringcast_config)"


def test_a_file_without_a_name_says_what_should_have_named_it() -> None:
    assert refused(environment={"RINGCAST_CONFIG": ""}).startswith("RINGCAST_CONFIG is empty: name a file")
    with pytest.raises(SettingsError, match="--config is empty"):
        load(ServerConfig(), file="", environment={"RINGCAST_CONFIG": "other.toml"})


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RINGCAST_PROT": "1"}, "there is no setting RINGCAST_PROT; did you mean RINGCAST_PORT?"),
        ({"RINGCAST_CONFIGS": "1"}, "there is no setting RINGCAST_CONFIGS; did you mean RINGCAST_CONFIG?"),
        ({"RINGCAST_STORE": "x"}, "there is no setting RINGCAST_STORE; did you mean RINGCAST_STORE_PATH?"),
        ({"ringcast_store": "x"}, "there is no setting ringcast_store; did you mean RINGCAST_STORE_PATH?"),
        ({"RINGCAST_NO_DOCS": "1"}, "there is no setting RINGCAST_NO_DOCS; did you mean RINGCAST_DOCS?"),
        (
            {"RINGCAST_TLS_CERT": "x"},
            "there is no setting RINGCAST_TLS_CERT; did you mean RINGCAST_TLS_CERTIFICATE?",
        ),
        (
            {"RINGCAST_ORIGINS": "x"},
            "there is no setting RINGCAST_ORIGINS; did you mean RINGCAST_ALLOWED_ORIGINS?",
        ),
        (
            {"RINGCAST_PROXIES": "x"},
            "there is no setting RINGCAST_PROXIES; did you mean RINGCAST_TRUSTED_PROXIES?",
        ),
        (
            {"RINGCAST_LOG": "x"},
            "there is no setting RINGCAST_LOG; "
            "did you mean RINGCAST_LOG_LEVEL, or RINGCAST_LOG_FORMAT, or RINGCAST_ACCESS_LOG?",
        ),
        ({"RINGCAST_HOST": ""}, "host is empty: give an address"),
        ({"RINGCAST_HEARTBEAT_S": "40"}, "dead_peer_timeout_s must exceed two heartbeats (heartbeat_s)"),
    ],
)
def test_what_is_wrong_in_the_environment_is_said(variables: dict[str, str], message: str) -> None:
    assert refused(environment=variables).startswith(message)


def as_variable(setting: Setting) -> str:
    """Return a flag as somebody writes it who takes its name for the variable's."""
    return "RINGCAST_" + setting.flag.removeprefix("--").replace("-", "_").upper()


@pytest.mark.parametrize(
    "name", [name for name, setting in SETTINGS.items() if as_variable(setting) != setting.variable]
)
def test_a_flag_that_is_written_as_a_variable_names_the_variable(name: str) -> None:
    setting = SETTINGS[name]
    message = f"there is no setting {as_variable(setting)}; did you mean {setting.variable}?"
    assert refused(environment={as_variable(setting): "1"}) == message


# Those of the tests of this project, and what Kubernetes says of somebody's service.
OF_OTHERS = (
    "RINGCAST_CHROMIUM", "RINGCAST_DELIVERY", "RINGCAST_DEMO_PORT", "RINGCAST_DEMO_PORT_80_TCP_ADDR",
    "RINGCAST_DEMO_SERVICE_HOST", "RINGCAST_HOSTILE", "RINGCAST_PYTHON", "RINGCAST_SEED",
)  # fmt: skip


@pytest.mark.parametrize("name", [each.name for each in SETTINGS.values() if isinstance(each.default, tuple)])
def test_none_is_a_list_without_anything(file: Path, name: str) -> None:
    config = ServerConfig(trusted_proxies=("unix",), allowed_origins=("null",))
    for found in (
        loaded(file, f"{name} = 'none'", config=config),
        loaded(environment={SETTINGS[name].variable: "none"}, config=config),
        loaded(config=config, **{name: "none"}),
    ):
        assert found.value(name) == ()
    assert f"{name}: " in refused(**{name: "10.0.0.0/8,none"})


def test_variables_that_look_like_none_of_ours_are_somebody_else_s_and_are_named() -> None:
    found = loaded(environment={"PORT": "9", **dict.fromkeys(OF_OTHERS, "7")})
    assert found.origins == {}
    assert found.unknown == OF_OTHERS


def test_what_kubernetes_says_of_services_of_our_name_is_passed_over() -> None:
    links = {
        "RINGCAST_METRICS_PORT": "tcp://10.0.0.7:80",
        "RINGCAST_METRICS_SERVICE_PORT": "80",
        "RINGCAST_PORT": "tcp://10.0.0.7:80",
        "RINGCAST_PORT_80_TCP_PROTO": "tcp",
        "RINGCAST_SERVICE_HOST": "10.0.0.7",
        "RINGCAST_SERVICE_PORT": "80",
        "RINGCAST_SERVICE_PORT_HTTP": "80",
    }
    found = loaded(environment={**links, "RINGCAST_HOST": "::"})
    assert found.unknown == tuple(links)
    assert (found.server.port, found.server.host) == (ServerConfig().port, "::")


def test_what_is_wrong_with_a_flag_names_it() -> None:
    assert refused(max_message_bytes="lots").startswith("--max-message-bytes should be a valid integer")
    assert refused(metrics_port="9") == "metrics_port is for metrics, which are off (--metrics-port)"


def test_a_certificate_does_not_keep_the_key_of_another() -> None:
    code = ServerConfig(tls_certificate="a.pem", tls_key="a.key")
    assert loaded(config=code, tls_certificate="b.pem").server.tls_key is None
    assert loaded(config=code, tls_key="b.key").server.tls_certificate == "a.pem"
