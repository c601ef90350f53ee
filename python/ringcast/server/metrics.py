"""What a server has counted, as Prometheus reads it; counting is the work of `metrics.py` and of the core.

Everything is read when somebody asks, from one router. Each server has a registry of its own in the sense of
`prometheus_client`, so that several in a process, and an application with metrics of its own, do not meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from ..errors import RingcastError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

    from ..gateway.places import Places
    from ..operations.metrics import ActorCounts, Metrics
    from ..router import Router
    from ..running.instance import ActorInstance

__all__ = ["METRICS", "Described", "Exposition", "MetricsUnavailable", "RouterCollector"]


class MetricsUnavailable(RingcastError):  # noqa: N818 - named for what has happened
    """Metrics are asked for, and the package that writes them is not installed."""

    code = "metrics_unavailable"


@dataclass(slots=True, frozen=True)
class Described:
    """One metric: its kind, what it says, and its labels."""

    kind: str
    text: str
    labels: tuple[str, ...] = ()


METRICS: Final[dict[str, Described]] = {
    "ringcast_build_info": Described("gauge", "The version that runs", ("version",)),
    "ringcast_ready": Described("gauge", "1 when /ready says yes, else 0"),
    "ringcast_sockets": Described(
        "gauge",
        "Clients' sockets, connected to an actor or not yet: websocket, or sse (server-sent events)",
        ("transport",),
    ),
    "ringcast_places_taken": Described(
        "gauge", "Sockets that are open, whatever for: max_connections at most"
    ),
    "ringcast_actors": Described("gauge", "Actors that run", ("actor",)),
    "ringcast_stored_actors": Described("gauge", "Actors that the store has, those asleep included"),
    "ringcast_connections": Described(
        "gauge", "Connections, attached to a client or waiting for it to come back", ("actor", "state")
    ),
    "ringcast_connects": Described(
        "counter", "Connects that were let in: new, or taking up an earlier connection", ("actor", "outcome")
    ),
    "ringcast_refusals": Described("counter", "Connects that were refused, by close code", ("code",)),
    "ringcast_events": Described("counter", "Events that actors have sent", ("actor",)),
    "ringcast_deliveries": Described("counter", "Events handed to sockets, once for each client", ("actor",)),
    "ringcast_sent_bytes": Described(
        "counter",
        "Bytes of frames handed to the sockets of connected clients, events, replies and all",
        ("actor",),
    ),
    "ringcast_ring_events": Described("gauge", "Events that rings hold", ("actor",)),
    "ringcast_ring_bytes": Described("gauge", "Bytes that rings hold", ("actor",)),
    "ringcast_ring_occupancy_ratio": Described(
        "gauge", "How full the fullest ring is, by events or by bytes", ("actor",)
    ),
    "ringcast_lag_events": Described(
        "gauge", "Events by which the client that is furthest behind is behind", ("actor",)
    ),
    "ringcast_slow_readers": Described(
        "counter",
        "Times that a client lost events because it read too slowly, by what its actor does then",
        ("actor", "policy"),
    ),
    "ringcast_replayed_events": Described(
        "counter", "Missed events that clients have come back to and found", ("actor",)
    ),
    "ringcast_gaps": Described(
        "counter", "Gaps that clients were told of as they connected, by reason", ("actor", "reason")
    ),
    "ringcast_actions": Described(
        "counter",
        "Calls that were answered: ok, refused (an error made for the caller), failed (any other), timeout, "
        "unknown (nobody knows what it did)",
        ("actor", "action", "outcome"),
    ),
    "ringcast_action_seconds": Described(
        "histogram", "How long calls took, from when they began to run to their answer", ("actor", "action")
    ),
    "ringcast_event_loop_lag_seconds": Described(
        "histogram", "How late the event loop does what is due, looked at four times a second"
    ),
    "ringcast_store_failures": Described("counter", "Writes that the store has not taken"),
    "ringcast_keyed_answers": Described("gauge", "Answers kept for calls over HTTP that are repeated"),
    "ringcast_repeated_calls": Described("counter", "Calls over HTTP that were answered from what is kept"),
    "ringcast_limits_hit": Described("counter", "Requests past a limit, by the setting", ("limit",)),
}
"""By name; names of counters go out with `_total` behind them."""


@dataclass(slots=True)
class _Measured:
    """What the running actors of one class hold at the moment."""

    actors: int = 0
    connections: dict[str, int] = field(default_factory=lambda: {"attached": 0, "away": 0})
    events: int = 0
    bytes: int = 0
    fullest: float = 0.0
    lag: int = 0

    def add(self, actor: ActorInstance) -> None:
        stream, options = actor.stream, actor.definition.stream
        events, held = stream.head + 1 - stream.first, stream.retained_bytes
        self.actors += 1
        self.events += events
        self.bytes += held
        self.fullest = max(self.fullest, events / options.max_events, held / options.max_bytes)
        if not len(actor.conns):
            return
        self.lag = max(self.lag, stream.lag)
        for connection in actor.conns:
            self.connections["attached" if connection.connected else "away"] += 1


class RouterCollector:
    """Gives what one router has counted; for a `CollectorRegistry`, on the router's event loop."""

    def __init__(self, router: Router, places: Places) -> None:
        self._router = router
        self._places = places

    def collect(self) -> Iterator[Metric]:
        """Read everything. Takes about a microsecond for each running actor and each connection."""
        from prometheus_client import Metric  # noqa: PLC0415 - an extra of the package

        router, metrics = self._router, self._router.metrics
        if metrics is None:
            return
        found = {
            name: Metric(name, described.text, described.kind, "seconds" if name.endswith("_seconds") else "")
            for name, described in METRICS.items()
        }

        def put(name: str, value: float, *labels: str, suffix: str = "") -> None:
            found[name].add_sample(
                name + suffix, dict(zip(METRICS[name].labels, labels, strict=True)), float(value)
            )

        put("ringcast_build_info", 1, version("ringcast"))
        put("ringcast_ready", router.unready is None)
        for transport, count in router.sockets_by_transport().items():
            put("ringcast_sockets", count, transport)
        put("ringcast_places_taken", self._places.taken)
        put("ringcast_stored_actors", router.stored_actors)
        put("ringcast_store_failures", router.store.failures, suffix="_total")
        put("ringcast_keyed_answers", len(router.answers))
        put("ringcast_repeated_calls", router.answers.repeats, suffix="_total")
        for code, count in router.refusals.items():
            put("ringcast_refusals", count, code, suffix="_total")
        for limit, count in router.limits_hit.items():
            put("ringcast_limits_hit", count, limit, suffix="_total")
        _put_measured(put, router, metrics)
        for actor, counts in metrics.actors.items():
            _put_counts(put, actor, counts)
            for action, calls in counts.actions.items():
                _put_histogram(found["ringcast_action_seconds"], calls.latency, actor=actor, action=action)
        _put_histogram(found["ringcast_event_loop_lag_seconds"], metrics.lag.histogram)
        yield from found.values()


def _put_measured(put: Any, router: Router, metrics: Metrics) -> None:
    measured = {actor: _Measured() for actor in metrics.actors}
    for running in router.running:
        measured[running.definition.name].add(running)
    for actor, held in measured.items():
        put("ringcast_actors", held.actors, actor)
        for state, count in held.connections.items():
            put("ringcast_connections", count, actor, state)
        put("ringcast_ring_events", held.events, actor)
        put("ringcast_ring_bytes", held.bytes, actor)
        put("ringcast_ring_occupancy_ratio", held.fullest, actor)
        put("ringcast_lag_events", held.lag, actor)


def _put_counts(put: Any, actor: str, counts: ActorCounts) -> None:
    events, deliveries, sent, disconnected, skipped = counts.tally.counts()
    put("ringcast_events", events - counts.restored, actor, suffix="_total")
    put("ringcast_deliveries", deliveries, actor, suffix="_total")
    put("ringcast_sent_bytes", sent, actor, suffix="_total")
    put("ringcast_slow_readers", disconnected, actor, "disconnect", suffix="_total")
    put("ringcast_slow_readers", skipped, actor, "skip", suffix="_total")
    put("ringcast_replayed_events", counts.replayed, actor, suffix="_total")
    for outcome in ("new", "resumed"):
        put("ringcast_connects", counts.connects[outcome], actor, outcome, suffix="_total")
    for reason, count in counts.gaps.items():
        put("ringcast_gaps", count, actor, reason, suffix="_total")
    for action, calls in counts.actions.items():
        for outcome, count in (("ok", calls.succeeded), *calls.failures.items()):
            put("ringcast_actions", count, actor, action, outcome, suffix="_total")


def _put_histogram(metric: Metric, histogram: Any, **labels: str) -> None:
    buckets = histogram.cumulated()
    for bound, count in buckets:
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, count)
    metric.add_sample(f"{metric.name}_count", labels, buckets[-1][1])
    metric.add_sample(f"{metric.name}_sum", labels, histogram.seconds)


class Exposition:
    """Writes what `/metrics` says about one router and its server's places. Raises `MetricsUnavailable`."""

    def __init__(self, router: Router, places: Places) -> None:
        try:
            from prometheus_client import CollectorRegistry, ProcessCollector  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise MetricsUnavailable(
                "metrics need the package prometheus-client: pip install 'ringcast[metrics]'"
            ) from error
        self._registry: CollectorRegistry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._registry.register(RouterCollector(router, places))

    def __call__(self, accept: str) -> tuple[bytes, str]:
        """Return the text, and its media type, which is chosen from what a client accepts."""
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415

        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type
