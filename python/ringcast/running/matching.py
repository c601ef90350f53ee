"""What filters see of an actor's connections, kept up to date in its stream from the first filter on.

How filters are written is in `filters.py`; they are evaluated by the core.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConnectionGone, InvalidFilter
from ..faults import ActorLog
from ..filters import MAX_BYTES, Filter
from ..schema.attributes import attributes_of, largest_field
from ..schema.filterable import StateFields
from ..seam import EventStream, Node
from .touched import Touched

if TYPE_CHECKING:
    from ..connection import Connection
    from .instance import ActorInstance

__all__ = ["Matching"]

_MOST_CHECKED: Final = 256
"""How many filters are remembered to fit: an actor that makes up new ones has each of them checked."""
_MOST_CHECKED_BYTES: Final = 4 * MAX_BYTES
"""What they take at most. The core keeps as many, as it has read them (`MAX_FILTER_BYTES`)."""
_TOO_LARGE: Final = "its state is too large for filters"
"""What a client is told."""


class Matching:
    """The attributes of one actor's connections. Lives on one event loop.

    An actor that uses no filter has none of this. With the first one, all connections tell of their state;
    from then on those do, before each filter, whose state may have changed since the one before. So a filter
    sees what was assigned last, by whatever code.
    """

    def __init__(self, stream: EventStream, fields: StateFields, log: ActorLog, node: Node) -> None:
        """`node` says how much the attributes of one connection may take, and counts those that take more."""
        self._stream = stream
        self._max_bytes = node.config.max_attributes_bytes
        self._limits_hit = node.limits_hit
        self._fields = fields
        self._log = log
        # In their compiled forms: of many values, those take the least.
        self._checked: set[bytes] = set()
        self._checked_bytes = 0
        self._touched: Touched[Connection[Any]] = Touched(bool)
        # By number, those that are open in the stream, each with its place in the order of connecting.
        self._open: dict[int, tuple[int, Connection[Any]]] = {}
        self._places = itertools.count()
        # By number, those that are being ended.
        self._too_large: set[int] = set()

    @classmethod
    def begin(cls, instance: ActorInstance) -> Matching:
        """Take all connections that a running actor has by now; it tells of others."""
        matching = cls(instance.stream, instance.definition.state_fields, instance.log, instance.node)
        for connection in instance.open_connections:
            matching.add(connection)
        return matching

    def add(self, connection: Connection[Any]) -> None:
        """A connection is open in the stream from now on."""
        self._open[connection._number] = next(self._places), connection
        self._touched.add(connection)

    def admit(self, connection: Connection[Any]) -> None:
        """Its connect hooks have passed: in this order connections are selected."""
        if connection._number in self._open:
            self._open[connection._number] = next(self._places), connection

    def touch(self, connection: Connection[Any]) -> None:
        """The state of a connection may have changed."""
        if connection.is_open:
            self._touched.add(connection)

    def remove(self, connection: Connection[Any]) -> None:
        """A connection has ended."""
        self._open.pop(connection._number, None)
        self._too_large.discard(connection._number)
        self._touched.discard(connection)

    def require(self, wanted: Filter) -> bytes:
        """Return a filter as the stream takes it. Raises `InvalidFilter` for one that fits no state."""
        if not isinstance(wanted, Filter):
            raise InvalidFilter(f"a filter is made by where(…), unlike {wanted!r:.60}")
        compiled = wanted.compiled
        if compiled not in self._checked:
            self._fields.require(wanted)
            size = self._checked_bytes + len(compiled)
            if len(self._checked) == _MOST_CHECKED or size > _MOST_CHECKED_BYTES:
                self._checked.clear()
                size = len(compiled)
            self._checked.add(compiled)
            self._checked_bytes = size
        return compiled

    def compiled(self, wanted: Filter) -> bytes:
        """Do the same, and have the stream know by then all that the filter can see."""
        compiled = self.require(wanted)
        for connection in self._touched.take():
            if connection._number in self._open:
                self._tell(connection)
        return compiled

    def select(self, wanted: Filter) -> Iterator[Connection[Any]]:
        """Return the connections that match now, in the order of connecting. Raises as `compiled`."""
        numbers: Iterable[int] = self._stream.select(self.compiled(wanted))
        found = sorted(self._open[number] for number in numbers if number in self._open)
        return iter([connection for _, connection in found])

    def _tell(self, connection: Connection[Any]) -> None:
        attributes: bytes | None = None
        try:
            attributes = attributes_of(connection._state)
        except Exception:  # of the author's types, which may raise anything
            self._log.exception("the state of connection %s cannot be read, no filter sees it", connection.id)
        if attributes is not None and len(attributes) > self._max_bytes:
            self._send_away(connection, attributes)
            attributes = None
        try:
            self._stream.set_attributes(connection._number, attributes)
        except ConnectionGone:
            self.remove(connection)

    def _send_away(self, connection: Connection[Any], attributes: bytes) -> None:
        """End a connection whose attributes take too much: it would silently get nothing any more.

        It is not the fault of who uses the filter, who may be anybody: for the others everything goes on.
        """
        if connection._number in self._too_large:
            return
        self._too_large.add(connection._number)
        self._limits_hit["max_attributes_bytes"] += 1
        self._log.error(
            "the state of connection %s takes %d bytes for filters, most of them for %r, and may take %d "
            "(max_attributes_bytes): the connection is ended",
            connection.id,
            len(attributes),
            largest_field(attributes),
            self._max_bytes,
        )
        connection.disconnect(_TOO_LARGE)
