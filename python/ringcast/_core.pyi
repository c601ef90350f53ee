"""The native module: connection tables, rings, the sweep, and every byte that goes to a client.

`Core` owns the writer threads. A `Stream` is one running actor's ring and its table of connections. A
`Sink` is where one client's frames go. A connection (an `int` id, generation-checked, unique within its
stream) outlives its sink: it is opened once, attached to a sink, detached when the network is lost, attached
to another one on resume, and closed when its session ends.

All methods may be called from any thread. None blocks on a socket; `Stream.publish` may wait, without the
GIL, for the sweep to catch up.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, final

__all__ = [
    "BUILD_PROFILE",
    "Attributes",
    "Core",
    "Filter",
    "Listened",
    "Sink",
    "Stream",
    "Tally",
    "run_limit",
    "run_load",
]

BUILD_PROFILE: Final[str]
"""`release` or `debug`."""

def run_load() -> None:
    """Receive, as standard input says, until it ends: the load of `ringcast bench`."""

def run_limit() -> None:
    """Send ready-made frames, as standard input says, until it ends: what `ringcast bench` compares with."""

@final
class Core:
    """Start the writer threads.

    `writer_threads` is at least 1. `max_unswept_bytes` is how far `Stream.publish` may run ahead of the sweep
    before it waits. `close_timeout_s` is how long a socket that would block may delay a close, a day at most.
    Messages to sinks that take compressed ones, and arguments of events, are compressed if they have at least
    `compress_min_bytes`.
    Raises `ValueError` for a value out of range.
    """

    def __new__(
        cls,
        *,
        writer_threads: int = 1,
        max_unswept_bytes: int = 131_072,
        close_timeout_s: float = 5.0,
        compress_min_bytes: int = 256,
    ) -> Core: ...
    def open_stream(
        self,
        epoch: str,
        *,
        max_events: int = 8192,
        max_bytes: int = 8_388_608,
        slow_reader: Literal["disconnect", "skip"] = "disconnect",
        base: int = 0,
        tally: Tally | None = None,
    ) -> Stream:
        """Open a stream without events.

        With `base`, at most 2**62, it goes on with what is kept of the same epoch: its first event gets the
        offset `base + 1`. Open the connections, change their subscriptions and publish the kept events again,
        in the order in which all that happened. What lies at or below `base` is gone; tell `Stream.open` what
        of it was for a connection. With `tally`, what happens is counted there. Raises `ValueError` for a
        value out of range, and for a tally of a core with fewer writer threads.
        """
    def open_sink(self, fd: int, encoding: int, compressed: bool = False) -> Sink:
        """Take an own duplicate of the socket `fd`. `encoding`: 0 JSON (text frames), 1 MessagePack (binary).

        `compressed` says that permessage-deflate was negotiated, without context takeover and with a window
        of at least 12 bits for the server. A connection may use sinks of both kinds, one after the other:
        events that were published before one of this kind was attached go out as they are.
        Raises `OSError` if it cannot be duplicated.
        """
    def open_relayed_sink(self, key: int, encoding: int, compressed: bool = False) -> Sink:
        """Open a sink whose bytes the event loop writes, where they have to go through a transport.

        They come out of `take_relayed` under `key`, which must not be used twice. Otherwise as `open_sink`.
        """
    def open_event_stream(self, fd: int) -> Sink:
        """Take an own duplicate of the socket `fd`, whose client reads server-sent events, in JSON.

        The head of the response is written already. An event is `id: <epoch>:<offset>`, which is where its
        reader is then, and one line of `data`, the message. So is what `Stream.attach` sends first, and a
        notice of a gap; other messages are `data` alone. A ping and a pong are a comment. What `Sink.close`
        says goes out as `event: close` with `[code, reason]`, before the writing side is shut down. A
        connection may use sinks of all kinds, one after the other, and miss nothing.
        Raises `OSError` if it cannot be duplicated.
        """
    def open_relayed_event_stream(self, key: int) -> Sink:
        """The same, written by the event loop: see `open_relayed_sink`."""
    def open_message_sink(self, key: int, encoding: int, joined: bool = False) -> Sink:
        """Open a sink for a WebSocket whose frames somebody else makes, one of each message.

        `take_relayed` gives a list of messages under `key`, and nothing more until `Sink.resume_writing` says
        that they are sent. With `joined` they are one message: JSON separated by line feeds, of which there
        are no others, and MessagePack one behind the other.
        """
    def open_tally(self) -> Tally:
        """Open counters for any number of this core's streams."""
    def take_relayed(
        self,
    ) -> list[
        tuple[
            int,
            bytes | list[str] | list[bytes],
            Literal["close", "abort", "forget"] | None,
            tuple[int | None, str] | None,
        ]
    ]:
        """Return what the loop has to write now: for some of the keys, what it is and what follows it.

        Write each to its transport before the next call. `close`: close the transport behind that, a
        WebSocket with the code and reason that stand last. `abort`: cut it off. `forget`: the sink was
        dropped. Nothing comes for a key after any of these. If there is more, `relay_fd` is readable.
        """
    def write_relayed_with(self, write: Callable[[], bool] | None) -> None:
        """Say how what is relayed gets written: `write` calls `take_relayed` once, and tells if it got
        anything.

        It is called on the thread that calls this, inside `Stream.publish` and `Sink.send`, when sinks wait
        for the loop alone and more is put behind that.
        """
    @property
    def relay_fd(self) -> int:
        """A readable descriptor: it turns readable when there is something to take. Owned by the core.

        Read it empty, then call `take_relayed`.
        """
    @property
    def wake_fd(self) -> int:
        """A readable descriptor: it turns readable when a `Stream.notify_when_swept` came true.

        Read it empty, then look at `Stream.swept`. Owned by the core: never close it.
        """
    def close(self) -> None:
        """Stop the writer threads, after what the sockets take at once has been written. Idempotent.

        Nobody waits for a sweep from here on, and closes that the sockets hold up end at once. A core that is
        not held any more stops by itself.
        """

@final
class Stream:
    """One running actor's ring and its connections. Close it when the actor stops."""

    @property
    def id(self) -> int:
        """The small integer that event frames name the stream by."""
    @property
    def epoch(self) -> str: ...
    @property
    def head(self) -> int:
        """Offset of the newest event; the base of the stream before the first, else offsets count from 1."""
    @property
    def first(self) -> int:
        """Offset of the oldest event that is retained; `head + 1` when none is."""
    @property
    def swept(self) -> int:
        """Every ready connection has been offered every event up to this offset."""
    @property
    def retained_bytes(self) -> int: ...
    @property
    def filters(self) -> int:
        """Number of distinct filters that connections listen with now."""
    def has_filter(self, topic: str) -> bool:
        """Whether one of them is that of this topic."""
    @property
    def lag(self) -> int:
        """By how many events the client that is furthest behind is behind, of those that are attached.

        Looks at every connection: for those who measure.
        """
    @property
    def encodings(self) -> int:
        """Bit set of the encodings that open connections use: `1 << encoding`."""
    def publish(
        self,
        name: str,
        json: bytes | None,
        msgpack: bytes | None,
        *,
        only: Sequence[int] | None = None,
        exclude: Sequence[int] | None = None,
        matching: bytes | None = None,
    ) -> int:
        """Append an event and return its offset. The sweep delivers it.

        `json` and `msgpack` are the encoded array of the event's arguments; pass None for an encoding that
        `encodings` does not name. Without `only`, the event is for the connections that are subscribed to
        `name` at this moment, except those in `exclude`. With `only`, it is for those connections,
        subscribed or not; ids of connections that have ended are ignored. With `matching`, a compiled filter,
        it is for those of the subscribers whose attributes match. Returns 0, and publishes nothing,
        if an encoding that is in use by now was not given: a thread may be told of a new connection late;
        encode for it and call again. Raises `ringcast.errors.EventTooLarge` when one event exceeds the
        ring's `max_bytes`, and `ValueError` for what is no filter.
        """
    def notify_when_swept(self, offset: int) -> bool:
        """Make `Core.wake_fd` readable once `swept >= offset`.

        Returns False if that is already so, or never will be because the core is closed.
        """
    def open(self, encoding: int, subscriptions: Sequence[str] | None = None, *, lost: int = 0) -> int:
        """Open a connection without a socket, entitled to what is published from now on; return its id.

        `lost` is for one that was open before the stream went on after a base: the newest event at or below
        that base that was for it. Raises `ValueError` if it is above the base.
        """
    def attach(self, connection: int, sink: Sink, offset: int, message: bytes) -> None:
        """Deliver through `sink` from now on: first `message`, then the events after `offset`.

        Replaces (and does not close) the sink that was attached before.
        Raises `ringcast.errors.ConnectionGone`; `ValueError` if the encodings differ or `offset > head`.
        """
    def detach(self, connection: int, sink: Sink) -> bool:
        """The network is lost: keep the connection, drop the sink. False if `sink` is not attached."""
    def close(self, connection: int) -> bool:
        """End the connection. False if it has ended already. Its sink, if any, stays open for a last
        message.
        """
    def resume(self, connection: int, offset: int) -> tuple[int, int, int]:
        """Tell what a client that has seen everything up to `offset` has missed: `(replayed, lost_first,
        lost_last)`.

        `replayed` counts the retained events after `offset` that the connection is entitled to.
        `lost_first` is 0 when nothing is lost; otherwise offsets `lost_first` to `lost_last` are no longer
        retained and at least one of them was for this connection.
        Raises `ringcast.errors.ConnectionGone`; `ValueError` if `offset > head`.
        """
    def let_go(
        self, after: int, connections: Sequence[int]
    ) -> tuple[int, list[tuple[str, int]], list[tuple[int, int]]]:
        """Return what is no longer retained, as far as it matters: `(first, names, lost)`.

        `first` is the oldest offset that is retained. `names` has names in use, with the newest event of each
        to subscribers that is gone, if it is above `after`. `lost` has connections, with the newest event
        that was for them and is gone, 0 if there is none: those in `connections` that are open, and those by
        whose id something was published that is gone. Others have lost the newest of a name that they listen
        for, if it came after they began to, and unless they have unsubscribed since.
        """
    def subscribe(self, connection: int, topic: str) -> bool:
        """Entitle the connection to the events of a topic from now on. False if it already was.

        A topic is an event name, or the text that `topics.py` makes for one with a filter: then to those
        whose first argument's fields match. Raises `ValueError` for a long text that is no topic.
        """
    def unsubscribe(self, connection: int, topic: str) -> bool: ...
    def hold(self, connection: int, names: Sequence[str]) -> None:
        """Deliver nothing after the newest event until `answer` says whether the connection may still listen
        for `names`, those of them that it is subscribed to; nothing is lost meanwhile.

        Called again before that, the answer holds up to here, and another one has to follow. Raises
        `ringcast.errors.ConnectionGone`.
        """
    def answer(self, connection: int, allowed: Sequence[str], chosen: Sequence[int] | None = None) -> bool:
        """Decide what `hold` has asked: events of the names that are `allowed` are for the connection as if
        it had been subscribed all the time, those of the others are not.

        `chosen` are offsets of events that were published with `only` without this connection, and are for it
        after all. Returns True if `hold` was called again meanwhile: another answer is due, about the names
        that were allowed and those that came with that call. Raises `ringcast.errors.ConnectionGone`.
        """
    def unsubscribe_all(self, connection: int) -> bool:
        """Unsubscribe a connection that is to end, before its sink is closed: what comes after the close
        frame is not for it, and no gap tells of it. False if it has ended already.
        """
    def set_attributes(self, connection: int, attributes: bytes | None) -> bool:
        """Set all attributes of a connection, which filters see from now on: a MessagePack map of fields to
        values. None: no filter matches it. False if they were the same. Raises `ValueError` for no such map,
        and `ringcast.errors.ConnectionGone`.
        """
    def select(self, matching: bytes) -> list[int]:
        """Return the connections whose attributes match a compiled filter now, subscribed or not.

        Raises `ValueError` for what is no filter.
        """
    def is_attached(self, connection: int) -> bool: ...
    def connections(self) -> int:
        """Number of open connections, attached or not."""
    def shut(self) -> None:
        """End all connections and forget all events. Sinks stay open for their close frames."""

@final
class Sink:
    """Where one client's frames go: a socket, written by the core alone, or a relay to the event loop."""

    def send(self, message: bytes, flush: bool = True) -> None:
        """Queue a whole message, after every event that was published to this sink's connection so far.

        With `flush` it is written now if the socket takes it; without, at the next flush. Never dropped
        while the socket lives; ignored after `close` or a lost socket.
        """
    def send_framed(self, event: bytes, flush: bool = True) -> None:
        """Queue whole server-sent events or comments, where and when `send` would queue a message.

        They end with an empty line. Raises `ValueError` unless the sink is an event stream.
        """
    def send_heartbeat(self, fields: bytes | None = None) -> None:
        """Queue a comment whose `id` is where its reader is then: behind every event that was published so
        far. Nothing without a connection; forgotten where a gap takes the reader further.

        `fields` are whole lines. Raises `ValueError` unless the sink is an event stream.
        """
    def pong(self, payload: bytes) -> None:
        """Answer a ping at the next frame boundary."""
    def ping(self, payload: bytes | None = None) -> None: ...
    def flush(self) -> None: ...
    def pause_writing(self) -> None:
        """The transport that this sink is relayed to is full: nothing is relayed until `resume_writing`.

        The client is then as slow as one whose socket would block. Nothing for a sink with a socket.
        """
    def resume_writing(self) -> None:
        """The transport takes bytes again."""
    def close(self, code: int | None, reason: str = "") -> None:
        """Queue a close frame behind everything queued so far, then shut down the writing side of the
        socket.

        `code` None sends an empty close frame. A socket that would block longer than `close_timeout_s` is
        shut down without it. Idempotent.
        """
    def drop(self) -> None:
        """Let go of the socket at once: call it when the transport is lost. Idempotent."""
    @property
    def end_reason(self) -> str | None:
        """None while open, else `closed`, `dropped`, `slow_reader`, `close_timeout` or `write_error`."""
    @property
    def queued_bytes(self) -> int:
        """Bytes of messages that wait for the socket, and of keeping them (events are never queued)."""
    @property
    def written_bytes(self) -> int:
        """Bytes that the socket or the transport has taken so far, events and all: it grows as long as the
        client reads."""

@final
class Tally:
    """Counters of streams, which outlive them. Counting takes a few nanoseconds; nothing is locked."""

    def counts(self) -> tuple[int, int, int, int, int]:
        """Return `(events, deliveries, bytes, disconnected, skipped)`.

        Events published; events that began to go out to a client, each time; bytes of all frames handed to
        the sockets and transports of attached connections; slow readers that were closed, and gaps that
        others were told of.
        """

@final
class Filter:
    """Compile a filter over the attributes of connections.

    `compiled` is MessagePack: `["and", [filter, …]]`, `["or", [filter, …]]`, `["not", filter]`,
    `["eq" | "lt" | "le" | "gt" | "ge", field, value]`, `["in", field, [value, …]]`,
    `["has" | "prefix", field, text]`. A field is a str of 1 to 128 characters; a value None, a bool, an int,
    a float, or a str; an int of more than 64 bits is of extension type 1: its bytes in two's complement,
    big-endian. Strings are encoded with "surrogatepass". `["and", []]` matches all, `["or", []]` nothing.

    Values compare as in Python, and what cannot be ordered does not match: bools, ints and floats exactly and
    with each other, NaN with nothing; strings by code point; a missing attribute is None.

    Raises `ValueError`, which says what is wrong and where, for anything else, for more than 32 filters in
    each other, 1,024 in all, or 64 KiB. Hold on to it: its results are kept by its identity.
    """

    def __new__(cls, compiled: bytes) -> Filter: ...
    def matches(self, json: bytes | None, msgpack: bytes | None) -> bool:
        """Whether an event with these encoded arguments matches, by the fields of the first.

        In whichever encoding: the fields are what a client with JSON sees of them. What cannot be filtered
        counts as missing.
        """

@final
class Listened:
    """Topics that are listened for, each as often as it was added. It contains, and counts, the filtered."""

    def __new__(cls) -> Listened: ...
    def add(self, topic: str) -> None:
        """Raise `ValueError` for what is longer than a name and no topic."""
    def remove(self, topic: str) -> bool:
        """Take one back; False if there was none."""
    def matching(self, name: str, json: bytes | None, msgpack: bytes | None) -> list[str]:
        """Return those with filters that an event of this name with these encoded arguments matches."""
    def __contains__(self, topic: str, /) -> bool: ...
    def __len__(self) -> int: ...

@final
class Attributes:
    """The attributes of connections, by slot (0 to 2**32 - 1), indexed by value."""

    def __new__(cls) -> Attributes: ...
    def set(self, slot: int, attributes: bytes) -> bool:
        """Set all attributes of a connection; False if they are what they were.

        `attributes` is a MessagePack map of fields to values, as in a `Filter`, or to an array of str: a set.
        Raises `ValueError` for anything else; nothing has changed then.
        """
    def remove(self, slot: int) -> bool:
        """Forget a connection. False if it had no attributes set; an empty map counts as set."""
    def select(self, compiled: Filter) -> list[int]:
        """Return the slots of those that match, in order. The answer is kept until something changes."""
    def __len__(self) -> int: ...
