"""An actor's connections: the live collection of all, and selections of some.

One of them by itself is in `connection.py`, and how a filter selects is in `running/matching.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic

from .connection import JOINED, LEFT, Connection, require_reason
from .filters import where
from .running.touched import is_fixed, is_read_plainly
from .typevars import ConnStateT

if TYPE_CHECKING:
    from .filters import Filter
    from .running.event import Emitter

__all__ = ["Connections", "Selection", "numbers_of"]


def numbers_of(connections: Connection[Any] | Iterable[Connection[Any]], emitter: Emitter) -> tuple[int, ...]:
    """Return the numbers that the stream of `emitter` knows the connections by, to leave them out.

    Those of another actor, or of this one before it was started again, get nothing from this stream: their
    numbers may be those of others here. Raises `TypeError` for what is no connection.
    """
    if isinstance(connections, Connection):
        return (connections._number,) if connections._emitter is emitter else ()
    if not isinstance(connections, Iterable):
        raise _no_connection(connections)
    numbers = []
    for connection in connections:
        if not isinstance(connection, Connection):
            raise _no_connection(connection)
        if connection._emitter is emitter:
            numbers.append(connection._number)
    return tuple(numbers)


def _no_connection(value: object) -> TypeError:
    # Without the value itself, which may be a secret or long.
    return TypeError(f"exclude takes connections, not a value of the type {type(value).__name__}")


class Selection(Generic[ConnStateT]):
    """Some of an actor's connections, worked out anew each time it is looked at."""

    __slots__ = ("_all", "_excluded", "_filter")

    def __init__(
        self,
        everyone: Connections[ConnStateT],
        excluded: frozenset[Connection[ConnStateT]],
        wanted: Filter | None = None,
    ) -> None:
        self._all = everyone
        self._excluded = excluded
        self._filter = wanted

    def __iter__(self) -> Iterator[Connection[ConnStateT]]:
        if self._filter is None:
            found: Iterator[Connection[ConnStateT]] = iter(self._all)
        else:
            matching = self._all._emitter.matching().select(self._filter)
            found = (connection for connection in matching if connection in self._all)
        return iter([connection for connection in found if connection not in self._excluded])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, connection: object) -> bool:
        if self._filter is not None:
            return any(each is connection for each in self)
        return connection in self._all and connection not in self._excluded

    def where(self, *filters: Filter, **comparisons: Any) -> Selection[ConnStateT]:
        """Select those of these whose state matches: ``c.conns.where(role="admin", level__ge=3)``.

        Takes what `ringcast.where` takes. It costs what matches, and not all that are there. Raises
        `InvalidFilter`.
        """
        wanted = where(*filters, **comparisons)
        if self._filter is not None:
            wanted &= self._filter
        self._all._emitter.matching().require(wanted)
        return Selection(self._all, self._excluded, wanted)

    def exclude(self, *connections: Connection[ConnStateT]) -> Selection[ConnStateT]:
        """Select those of these that are not among `connections`. Raises `TypeError` for anything else."""
        for connection in connections:
            if not isinstance(connection, Connection):
                raise _no_connection(connection)
        return Selection(self._all, self._excluded.union(connections), self._filter)

    def find(
        self, predicate: Callable[[Connection[ConnStateT]], object] | None = None, /, **equal: Any
    ) -> Connection[ConnStateT] | None:
        """Return the first connection that fits, in the order of connecting, or None.

        It fits if `predicate(connection)` is true and every keyword equals the field of that name in its
        state, in Python's sense: an enum's member is not its value, as it is to `where`. What a dict does not
        have is None; raises `AttributeError` for a keyword that any other state does not have.
        """
        for connection in self:
            if all(_field(connection, name) == value for name, value in equal.items()) and (
                predicate is None or predicate(connection)
            ):
                return connection
        return None

    def send(self, name: str, *data: Any) -> None:
        """Send an event to each of these, subscribed or not; encoded once, however many they are.

        Raises as `ActorScope.broadcast`.
        """
        numbers = tuple(connection._number for connection in self)
        if numbers:
            self._all._emitter.emit(name, data, only=numbers)
        else:
            self._all._emitter.check(name, data)

    def disconnect(self, reason: str = "") -> None:
        """End each of these for good, as `Connection.disconnect` does; raises as that, also for none."""
        require_reason(reason)
        for connection in self:
            connection.disconnect(reason)


class Connections(Selection[ConnStateT]):
    """All connections of an actor whose connect hooks have passed, in the order of connecting; live."""

    __slots__ = ("_by_id", "_emitter")

    def __init__(self, emitter: Emitter) -> None:
        super().__init__(self, frozenset())
        self._emitter = emitter
        self._by_id: dict[str, Connection[ConnStateT]] = {}

    def __iter__(self) -> Iterator[Connection[ConnStateT]]:
        # A copy: connections may come and go at an await inside the caller's loop.
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, connection: object) -> bool:
        return isinstance(connection, Connection) and self._by_id.get(connection.id) is connection

    def get(self, id: str) -> Connection[ConnStateT] | None:
        """Return the connection with this id, or None."""
        return self._by_id.get(id)

    def admit(self, connection: Connection[ConnStateT]) -> None:
        """Make the connection visible. For the actor's instance only."""
        connection._phase = JOINED
        self._by_id[connection.id] = connection
        if self._emitter.filtered is not None:
            self._emitter.filtered.admit(connection)

    def release(self, connection: Connection[ConnStateT]) -> bool:
        """Take the connection out; tell whether it had joined and not left. For the actor's instance only."""
        joined = connection._phase is JOINED
        connection._phase = LEFT
        self._by_id.pop(connection.id, None)
        if self._emitter.filtered is not None:
            self._emitter.filtered.remove(connection)
        if self._emitter.permission is not None:
            self._emitter.permission.remove(connection)
        return joined


def _field(connection: Connection[Any], name: str) -> Any:
    """Return a field of a connection's state to compare it.

    That is an access only if some code could change the state by it: that of a property, or of the value that
    it is compared with, which gets what is returned. Otherwise all would count as changed that are looked at.
    """
    state = connection._state
    if is_read_plainly(type(state), name):  # type: ignore[arg-type]  # types are hashable
        value = state.get(name) if type(state) is dict else getattr(state, name)
        if is_fixed(value):
            return value
    state = connection.state
    return state.get(name) if isinstance(state, Mapping) else getattr(state, name)
