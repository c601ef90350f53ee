"""Tables of connections without a plain socket: what `tls.py` and `foreign.py` have answered."""

from __future__ import annotations

from collections.abc import Iterator

from beside import row
from kept import Reports

__all__ = ["relayed"]


def relayed(reports: Reports) -> Iterator[str]:
    """Give a row for each kind of connection. The first has a plain socket, and the others are held to it."""
    report = reports["flood"]
    options, medians = report["options"], report["median"]
    plain = next(iter(medians.values()))
    runs = len(next(iter(report["runs"].values())))
    yield (
        f"{options['connections']:,} connections, {options['events']:,} events of {options['event_bytes']} "
        f"bytes, {options['burst']} in each turn of the event loop; medians of {runs}."
    )
    yield from (
        "",
        row(
            "",
            "deliveries/s",
            "to the first",
            "server, µs of CPU for each",
            "to the first",
            "deliveries a write",
            "server, of its core",
            "receivers, of theirs",
        ),
    )
    yield row("---", *["---:"] * 7)
    for name, of in medians.items():
        per_write = of["deliveries_per_write"]
        yield row(
            name,
            f"{of['deliveries_per_s']:,.0f}",
            f"{of['deliveries_per_s'] / plain['deliveries_per_s']:.2f}",
            f"{of['server_us']:.3f}",
            f"{of['server_us'] / plain['server_us']:.2f}",
            "" if per_write is None else f"{per_write:.1f}",
            f"{of['server_share']:.2f}",
            f"{of['receiver_share']:.2f}",
        )
