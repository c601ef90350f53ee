"""A server's settings from a file, the environment and flags, over what its code says.

What each setting means stands in `config.py`, whose fields these are, and in `logs.py`. Reading files and
variables is the work of `pydantic-settings`; which flags there are is the command line's.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import json
import os
import re
import textwrap
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import ValidationError, create_model
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ..config import ServerConfig
from .logs import LogConfig

__all__ = ["PREFIX", "SETTINGS", "Effective", "Setting", "SettingsError", "load"]

PREFIX: Final = "RINGCAST_"
"""Of the environment's variables."""

_CONFIG: Final = f"{PREFIX}CONFIG"
"""The variable that names the file, where no flag does."""

_OF_A_SERVICE: Final = re.compile(r"\w+_SERVICE_(HOST|PORT(_\w+)?)|\w+_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?")
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://")
"""Names and values of variables by which Kubernetes tells pods of a service."""

_NONE: Final = "none"
"""How files, variables and flags write that there is no value, and a list without anything in it."""

_MOST_NAMED: Final = 3
"""Of the variables that one may have been meant for."""
_SHORTEST: Final = 3
"""Letters of a word's beginning that stand for the word."""

_SECRET: Final = re.compile(r"secret|password|token")


class SettingsError(ValueError):
    """A setting that is not known, or has no value that it may have; the message says which, and where."""


@dataclass(slots=True, frozen=True)
class Setting:
    """One setting, as all ways of giving it know it."""

    name: str
    type: Any
    default: Any
    text: str
    """What it means: the docstring of the field, on one line."""

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The flag: the name without its unit, unless it is a rate; the store is called by what it is."""
        name = self.name if self.name.endswith("_per_s") else self.name.removesuffix("_s")
        name = "store" if name == "store_path" else name
        return "--" + name.replace("_", "-")

    @property
    def is_secret(self) -> bool:
        return _SECRET.search(self.name) is not None

    @property
    def may_be_none(self) -> bool:
        return type(None) in typing.get_args(self.type)

    @property
    def plain_type(self) -> Any:
        """The type of a value that is not None."""
        rest = [each for each in typing.get_args(self.type) if each is not type(None)]
        return rest[0] if self.may_be_none else self.type


def _described(cls: type[Any]) -> dict[str, Setting]:
    """Read the fields of a dataclass, each with the docstring that follows it."""
    [body] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    hints = typing.get_type_hints(cls)
    texts: dict[str, str] = {}
    for statement, following in zip(body.body, body.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            value = following.value if isinstance(following, ast.Expr) else None
            text = value.value if isinstance(value, ast.Constant) else ""
            texts[statement.target.id] = " ".join(str(text).split())
    return {
        each.name: Setting(each.name, hints[each.name], each.default, texts.get(each.name, ""))
        for each in fields(cls)
    }


SETTINGS: Final[dict[str, Setting]] = {**_described(ServerConfig), **_described(LogConfig)}
"""Every setting, by name."""


class _Prefixed(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX)


_FIELDS: Final[dict[str, Any]] = {name: (each.type, each.default) for name, each in SETTINGS.items()}

# One to read with, and one to check with, which reads nothing by itself.
_UNREAD: Final[dict[str, Any]] = {
    name: (Annotated[each.type, NoDecode], each.default) for name, each in SETTINGS.items()
}
_Sources: Final = create_model("Settings", __base__=_Prefixed, **_UNREAD)
_Values: Final = create_model("Settings", **_FIELDS)


@dataclass(slots=True, frozen=True)
class Effective:
    """The settings that a server runs with, and where each of them comes from."""

    server: ServerConfig
    log: LogConfig
    origins: dict[str, str]
    """By name, of those that are not as the code has them: a flag, a variable, or the file."""
    unknown: tuple[str, ...] = ()
    """Variables with our prefix that are no settings and look like none: somebody else's, or a mistake."""

    def value(self, name: str) -> Any:
        holder = self.server if hasattr(self.server, name) else self.log
        return getattr(holder, name)

    def shown(self, name: str) -> str:
        """Return a value as a file has it; that of a secret is hidden."""
        value = self.value(name)
        if SETTINGS[name].is_secret and value is not None:
            return '"(hidden)"'
        if value is None:
            return f'"{_NONE}"'
        return json.dumps(value, ensure_ascii=False)


def load(
    config: ServerConfig,
    *,
    file: str | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Effective:
    """Return what holds: flags before variables before the file before `config`, which is the code's.

    `file` is TOML, with settings by their names; without it the variable `RINGCAST_CONFIG` names it. Raises
    `SettingsError` for a setting that is not known, a value that it cannot have, and a file that cannot be
    read.
    """
    variables = dict(os.environ if environment is None else environment)
    named_by, file = ("--config", file) if file is not None else _named_file(variables)
    found_there = {} if file is None else _from_file(file, named_by)
    in_environment, unknown = _from_environment(variables)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for found, origin in (
        (found_there, str(file)),
        (in_environment, "the environment"),
        (dict(flags or {}), "a flag"),
    ):
        for name, value in _checked(found, origin).items():
            setting = SETTINGS[name]
            values[name] = value
            origins[name] = _origin(setting, origin)
    return replace(_applied(config, values, origins), unknown=unknown)


def _applied(config: ServerConfig, values: dict[str, Any], origins: dict[str, str]) -> Effective:
    server = {name: value for name, value in values.items() if hasattr(config, name)}
    if server.get("tls_certificate") is not None:
        # The key of another certificate is not this one's.
        server.setdefault("tls_key", None)
    try:
        return Effective(
            replace(config, **server),
            LogConfig(**{name: value for name, value in values.items() if name not in server}),
            origins,
        )
    except ValueError as error:
        named = [name for name in server if re.search(rf"\b{name}\b", str(error))]
        where = ", ".join(origins[name] for name in named if name in origins)
        raise SettingsError(f"{error} ({where})" if where else str(error)) from None


def _named_file(variables: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the variable that names the file, and the file; None if there is no such variable."""
    given = [(name, file) for name, file in variables.items() if name.upper() == _CONFIG]
    return given[0] if given else (_CONFIG, None)


def _from_file(file: str, named_by: str) -> dict[str, Any]:
    if not file.strip():
        raise SettingsError(f"{named_by} is empty: name a file of settings, or leave it out")
    path = Path(file)
    if not path.is_file():
        raise SettingsError(f"there is no file {file} ({named_by})")
    try:
        found = TomlConfigSettingsSource(_Sources, path).toml_data
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML: {error}") from None
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from None
    for name in found:
        if name not in SETTINGS:
            raise SettingsError(f"{file}: there is no setting {name!r}{_meant(name, list(SETTINGS))}")
    return dict(found)


def _from_environment(variables: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what variables say, and those that say nothing to us.

    Raises `SettingsError` for one that looks like a setting's.
    """
    known = {*(each.variable for each in SETTINGS.values()), _CONFIG}
    unknown = []
    for variable in (each for each in variables if each.upper().startswith(PREFIX)):
        if _tells_of_a_service(variable, variables[variable]):
            unknown.append(variable)
        elif variable.upper() not in known:
            # Others may use the prefix for what is theirs. What looks like one of ours is a slip.
            hint = _meant_variable(variable.upper().removeprefix(PREFIX))
            if hint:
                raise SettingsError(f"there is no setting {variable}{hint}")
            unknown.append(variable)
    source = EnvSettingsSource(_Sources)
    source.env_vars = {name.lower(): value for name, value in variables.items() if name not in unknown}
    return dict(source()), tuple(sorted(unknown))


def _tells_of_a_service(variable: str, value: str) -> bool:
    """Tell whether a variable, by its name or its value, is what Kubernetes tells pods of a service.

    ``RINGCAST_PORT=tcp://10.0.0.7:80`` is that, where a service has our name.
    """
    return bool(_OF_A_SERVICE.fullmatch(variable) or _SERVICE_ADDRESS.match(value))


def _meant_variable(name: str) -> str:
    """Return a question that names the variables that `name`, without our prefix, looks like, or nothing.

    It does if it is a flag's name, if it is nearly a variable's, or if its words are some of one's: as
    `TLS_CERT` and `LOG` are.
    """
    flags = {
        word: each.variable
        for each in SETTINGS.values()
        for flag in (each.flag.removeprefix("--").replace("-", "_").upper(),)
        for word in ((flag, f"NO_{flag}") if each.plain_type is bool else (flag,))
    }
    if name in flags:
        return f"; did you mean {flags[name]}?"
    close = _meant(PREFIX + name, [*(each.variable for each in SETTINGS.values()), _CONFIG], prefix=PREFIX)
    if close:
        return close
    parted = [each.variable for each in SETTINGS.values() if _is_part(name, each.name.upper())]
    if not parted:
        return ""
    rest = " or another" if len(parted) > _MOST_NAMED else ""
    return f"; did you mean {', or '.join(parted[:_MOST_NAMED])}{rest}?"


def _is_part(name: str, of: str) -> bool:
    """Tell whether the words of a name are words of the other one, or begin such, in the same order."""
    others = iter(of.split("_"))
    return all(
        any(other == word or (len(word) >= _SHORTEST and other.startswith(word)) for other in others)
        for word in name.split("_")
    )


def _checked(found: dict[str, Any], origin: str) -> dict[str, Any]:
    """Return the values as their settings have them. Raises `SettingsError`."""
    for name, value in found.items():
        if isinstance(value, bool) and SETTINGS[name].plain_type in (int, float):
            # To whom it is a number: 1, which nobody has meant.
            raise SettingsError(f"{name} in {origin} should be a number, not {json.dumps(value)}")
    values = {name: _read(SETTINGS[name], value) for name, value in found.items()}
    try:
        checked = _Values.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        setting = SETTINGS[str(first["loc"][0])]
        message = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
        shown = "" if setting.is_secret else f", not {first['input']!r}"
        where = _origin(setting, origin)
        named = where if where != origin else f"{setting.name} in {origin}"
        raise SettingsError(f"{named} {message}{shown}") from None
    return {name: getattr(checked, name) for name in values}


def _read(setting: Setting, value: Any) -> Any:
    """Return a value that is written as text, where there is no other way, as what it stands for."""
    if value == _NONE and setting.may_be_none:
        return None
    if typing.get_origin(setting.type) is tuple and isinstance(value, str):
        if value == _NONE:
            return ()
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _origin(setting: Setting, origin: str) -> str:
    """Name what gave a setting, as precisely as it is known."""
    return {"the environment": setting.variable, "a flag": setting.flag}.get(origin, origin)


def _meant(name: str, known: list[str], prefix: str = "") -> str:
    """Return a question that names what `name` looks like; nothing if it looks like none of `known`."""
    # Without what all of them have in common.
    close = difflib.get_close_matches(
        name.removeprefix(prefix), [each.removeprefix(prefix) for each in known], n=1, cutoff=0.75
    )
    return f"; did you mean {prefix}{close[0]}?" if close else ""
