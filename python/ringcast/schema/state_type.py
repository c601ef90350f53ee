"""The type of a state: how one is made, written down as JSON, and read back as it was.

Pydantic writes more than it reads back. A state that would come back as another one, or not at all, is found
out here when it is written and not after a restart. Which types need no such look is in `readable.py`, and
what comes back as another type in `retyped.py`; when a state is saved is the work of `running/state.py`.
"""

from __future__ import annotations

import secrets
import typing
from typing import Any, Final

import pydantic
import pydantic_core

from ..errors import DefinitionError
from .arguments import invalid
from .readable import difference, is_plain, keys_that_cannot_be_read, path_of, shown
from .retyped import Doubt, doubt_about, retyped

__all__ = ["StateType"]

_CONFIG: Final = pydantic.ConfigDict(
    # By default the first are written as null, and bytes that are not UTF-8 cannot be written.
    ser_json_inf_nan="constants",
    ser_json_bytes="base64",
    val_json_bytes="base64",
)
"""Holds for dataclasses and plain types; pydantic's models have their own."""


class StateType:
    """The type of an actor's or a connection's state."""

    __slots__ = ("_adapter", "_doubt", "_plain", "_where", "annotation")

    def __init__(self, annotation: Any, where: str) -> None:
        self.annotation = None if annotation is type(None) else annotation
        self._where = where
        self._adapter: pydantic.TypeAdapter[Any] | None = None
        self._plain = True
        self._doubt = Doubt(False, False, ())
        if self.annotation is not None:
            # Under another name, because a dataclass by itself takes no configuration from outside.
            State = typing.NewType("State", annotation)  # type: ignore[valid-newtype]
            try:
                self._adapter = pydantic.TypeAdapter(State, config=_CONFIG)
            except pydantic.errors.PydanticUserError as error:
                hint = str(error).partition("\n")[0]
                raise DefinitionError(f"{where}: {annotation!r} cannot be a state: {hint}") from error
            self._plain = is_plain(self._adapter.core_schema)
            self._doubt = doubt_about(self._adapter.core_schema)

    def require_keepable(self) -> None:
        """Raise `DefinitionError` for a type that JSON can never give back."""
        if self._adapter is None:
            return
        kind = keys_that_cannot_be_read(self._adapter.core_schema)
        if kind is not None:
            raise DefinitionError(
                f"{self._where}: a dict whose keys are of the kind {kind!r} cannot be read back from JSON: "
                "use strings, numbers or dates as keys, or a list of pairs"
            )

    def construct(self) -> Any:
        """Return a state made without arguments, None where there is no type. Raises what the type raises."""
        if self.annotation is None or self.annotation is Any:
            return None
        return (typing.get_origin(self.annotation) or self.annotation)()

    def validate(self, value: Any, what: str) -> Any:
        """Return `value` as a state. Raises `ValidationError`, which calls the value `what`."""
        if self._adapter is None:
            return value
        try:
            return self._adapter.validate_python(value)
        except pydantic.ValidationError as error:
            raise invalid(self._where, what, error) from None

    def validated_or_constructed(self, value: Any, what: str) -> Any:
        """Return `value` as a state; for None, a state made without arguments where the type allows it."""
        if self.annotation is None:
            return None
        if value is not None:
            return self.validate(value, what)
        try:
            return self.construct()
        except (TypeError, pydantic.ValidationError):
            # The type needs something: let the error say what, as it would for an empty object.
            return self.validate({}, what)

    def dump(self, state: Any) -> bytes:
        """Return the state as JSON, to be compared. Raises what pydantic raises for what has no JSON."""
        return b"null" if self._adapter is None else self._adapter.dump_json(state, warnings=False)

    def dump_to_keep(self, state: Any, kept: bytes | None = None) -> bytes:
        """Return the state as JSON that `load` reads back; `kept` was returned earlier.

        Raises `ValueError`, which names the field, for a state that has no JSON, or none that can be read
        back.
        """
        if self._adapter is None:
            return b"null"
        fits = True
        try:
            written = self._adapter.dump_json(state, warnings="error")
        except pydantic_core.PydanticSerializationError:
            # Something in it is not of its type: it may do, as a list does for a set.
            fits = False
            try:
                written = self._adapter.dump_json(state, warnings=False)
            except Exception as error:  # writing calls user code
                raise self._unwritable(state, error) from error
        doubtful = self._doubt.is_present()
        if doubtful or (written != kept and not (self._plain and fits)):
            compares = doubtful or self._doubt.is_open or not fits
            self._require_readable(self._adapter, state, written, compares)
        return written

    def load(self, stored: bytes) -> Any:
        """Return the state that `dump_to_keep` wrote. Raises `ValueError` when it no longer fits the type."""
        if self._adapter is None:
            return None
        try:
            return self._adapter.validate_json(stored)
        except pydantic.ValidationError as error:
            # No fault of the client that happens to wake the actor: this is for the log alone.
            raise ValueError(invalid(self._where, "stored state", error).message) from None

    def _require_readable(
        self, adapter: pydantic.TypeAdapter[Any], state: Any, written: bytes, compares: bool
    ) -> None:
        """Raise for what would be another state. `compares`: also if it differs in nothing but types."""
        try:
            again = adapter.validate_json(written)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            reason = f"{shown(first['loc'])} could not be read back: {first['msg']}"
            raise ValueError(f"{self._where}: {reason}") from None
        strict = self._doubt.look_alikes
        if (
            # With null in it, that might stand for another value before and for itself now.
            b"null" not in written
            and adapter.dump_json(again, warnings=False) == written
            and not (compares and retyped(state, again, strict))
        ):
            return
        # Not the states themselves: they need not have an equality, and NaN has none.
        before, after = (adapter.dump_python(each, mode="json", warnings=False) for each in (state, again))
        path = difference(before, after)
        if path is not None:
            raise ValueError(f"{self._where}: {shown(path)} would be another one when it is read back")
        found = retyped(state, again, strict, before) if compares else None
        if found is not None:
            path, was, now = found
            kinds = "" if was is now else f": {now.__qualname__} instead of {was.__qualname__}"
            raise ValueError(f"{self._where}: {shown(path)} would be another one when it is read back{kinds}")

    def _unwritable(self, state: Any, error: Exception) -> ValueError:
        assert self._adapter is not None
        mark = secrets.token_hex(8)
        try:
            written = self._adapter.dump_python(
                state, mode="json", warnings=False, fallback=lambda value: mark
            )
            path = path_of(mark, written)
        except Exception:  # whatever it is that cannot be written
            path = None
        return ValueError(f"{self._where}: {shown(path)} cannot be written as JSON: {error}")
