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
    ],
)
def test_what_is_wrong_in_a_file_is_said(file: Path, text: str, message: str) -> None:
    assert refused(file, text).startswith(message.format(file=file))


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    with pytest.raises(SettingsError, match="there is no file"):
        load(ServerConfig(), file=str(file), environment={})


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RINGCAST_PROT": "1"}, "there is no setting RINGCAST_PROT; did you mean RINGCAST_PORT?"),
        ({"RINGCAST_CONFIGS": "1"}, "there is no setting RINGCAST_CONFIGS; did you mean RINGCAST_CONFIG?"),
        ({"RINGCAST_PORT": "tcp://10.0.0.1:80"}, "RINGCAST_PORT should be a valid integer"),
        ({"RINGCAST_HEARTBEAT_S": "40"}, "dead_peer_timeout_s must exceed two heartbeats (heartbeat_s)"),
    ],
)
def test_what_is_wrong_in_the_environment_is_said(variables: dict[str, str], message: str) -> None:
    assert refused(environment=variables).startswith(message)


def test_variables_that_look_like_none_of_ours_are_somebody_else_s() -> None:
    assert loaded(environment={"RINGCAST_SEED": "7", "PORT": "9"}).origins == {}


def test_what_is_wrong_with_a_flag_names_it() -> None:
    assert refused(max_message_bytes="lots").startswith("--max-message-bytes should be a valid integer")
    assert refused(metrics_port="9") == "metrics_port is for metrics, which are off (--metrics-port)"


def test_a_certificate_does_not_keep_the_key_of_another() -> None:
    code = ServerConfig(tls_certificate="a.pem", tls_key="a.key")
    assert loaded(config=code, tls_certificate="b.pem").server.tls_key is None
    assert loaded(config=code, tls_key="b.key").server.tls_certificate == "a.pem"
