"""Values from outside, checked against a function's annotations: pydantic does the checking.

Knows nothing of actors: `action.py` and `definition.py` say which functions, and what the errors are called.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, Final

import pydantic

from ..errors import DefinitionError, ValidationError
from .generic import Scope, substituted

__all__ = ["Arguments", "Check", "check_for", "invalid", "resolve_hints"]

Check = Callable[[Any], Any]
"""Returns the value as its annotation wants it, or raises `pydantic.ValidationError`."""

_MAX_PROBLEMS: Final = 10
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def resolve_hints(function: Callable[..., Any], wanted: Iterable[str], names: Scope) -> dict[str, Any]:
    """Return the annotations of the `wanted` parameters of `function` as types; the others do not matter.

    `names` are further names that the annotations may use: those of the scope that the class was defined in,
    and what stands for its type parameters.
    Raises `DefinitionError` for an annotation that cannot be resolved.
    """
    inner = inspect.unwrap(function)
    written = inspect.get_annotations(inner)
    holder = SimpleNamespace(__annotations__={name: written[name] for name in wanted if name in written})
    scope = getattr(inner, "__globals__", {})
    try:
        hints = typing.get_type_hints(holder, globalns=scope, localns=dict(names), include_extras=True)
    except Exception as error:  # evaluating an annotation can raise anything
        raise DefinitionError(
            f"the annotations of {inner.__qualname__} cannot be resolved: {error}"
        ) from error
    given = names.given_to(function)
    return {name: substituted(hint, given) for name, hint in hints.items()}


def check_for(annotation: Any, where: str) -> Check | None:
    """Return the check that an annotation asks for, None when it asks for nothing.

    `where` names the place in the `DefinitionError` that is raised for a type that pydantic does not know.
    """
    if annotation is Any or annotation is inspect.Parameter.empty or isinstance(annotation, typing.TypeVar):
        return None
    try:
        return pydantic.TypeAdapter(annotation).validator.validate_python
    except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticUndefinedAnnotation) as error:
        hint = str(error).partition("\n")[0]
        raise DefinitionError(
            f"{where} has the type {annotation!r}, which cannot be validated: {hint}"
        ) from error


def invalid(where: str, name: str, error: pydantic.ValidationError) -> ValidationError:
    """Build the error for a value that does not fit: its message has the first problem, its metadata all."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    path = ".".join((name, *(str(part) for part in problems[0]["loc"])))
    return ValidationError(
        f"{where}: {path}: {problems[0]['msg']}",
        metadata={
            "argument": name,
            "problems": [
                {
                    "path": [str(part) for part in problem["loc"]],
                    "message": problem["msg"],
                    "type": problem["type"],
                }
                for problem in problems[:_MAX_PROBLEMS]
            ],
        },
    )


class Arguments:
    """The positional arguments that a function takes after its first `skip` parameters, and their checks."""

    __slots__ = ("_checks", "_least", "_most", "_names", "_rest", "_where")

    def __init__(self, function: Callable[..., Any], skip: int, where: str, names: Scope) -> None:
        parameters = list(inspect.signature(function).parameters.values())[skip:]
        hints = resolve_hints(function, [parameter.name for parameter in parameters], names)
        self._where = where
        self._names: list[str] = []
        # Of those that are checked: which one, and its check.
        self._checks: list[tuple[int, Check]] = []
        self._least = 0
        self._rest: tuple[str, Check | None] | None = None
        for parameter in parameters:
            self._add(parameter, hints.get(parameter.name, parameter.empty))
        self._most = len(self._names)

    def _add(self, parameter: inspect.Parameter, annotation: Any) -> None:
        name = parameter.name
        if parameter.kind is parameter.VAR_POSITIONAL:
            self._rest = name, check_for(annotation, f"{self._where}: {name}")
        elif parameter.kind in _POSITIONAL:
            check = check_for(annotation, f"{self._where}: {name}")
            if check is not None:
                self._checks.append((len(self._names), check))
            self._names.append(name)
            if parameter.default is parameter.empty:
                self._least = len(self._names)
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise DefinitionError(f"{self._where}: {name} is keyword-only; arguments arrive by position")

    def bind(self, values: Sequence[Any]) -> list[Any]:
        """Return the values as annotated. Raises `ValidationError` that names the argument."""
        count = len(values)
        if count < self._least or (count > self._most and self._rest is None):
            raise self._wrong_count(count)
        bound = list(values)
        position = 0
        try:
            for position, check in self._checks:
                if position >= count:
                    break  # defaults stand for what is missing
                bound[position] = check(bound[position])
        except pydantic.ValidationError as error:
            raise invalid(self._where, self._names[position], error) from None
        if count > self._most:
            self._bind_rest(bound)
        return bound

    def _bind_rest(self, bound: list[Any]) -> None:
        assert self._rest is not None
        name, check = self._rest
        if check is None:
            return
        for position in range(self._most, len(bound)):
            try:
                bound[position] = check(bound[position])
            except pydantic.ValidationError as error:
                raise invalid(self._where, f"{name}.{position - self._most}", error) from None

    def _wrong_count(self, count: int) -> ValidationError:
        if count < self._least:
            missing = self._names[count]
            message = (
                f"{self._where}: {missing}: Field required ({count} given, at least {self._least} needed)"
            )
            return ValidationError(message, metadata={"argument": missing})
        takes = "no arguments" if self._most == 0 else f"at most {self._most}"
        return ValidationError(f"{self._where} takes {takes}, and {count} were given")
