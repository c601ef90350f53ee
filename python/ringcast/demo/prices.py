"""The real price series that the ticker plays: monthly prices of five shares from 2000 to 2010.

They come with the `vega_datasets` package (560 rows). Only its data file is read: importing the package would
load pandas, which takes longer than everything else here.
"""

from __future__ import annotations

import csv
import importlib.resources
import importlib.util
from dataclasses import dataclass
from datetime import date, datetime

from ringcast import RingcastError

__all__ = ["Price", "read_prices"]


@dataclass(slots=True, frozen=True)
class Price:
    symbol: str
    date: date
    price: float
    """In US dollars."""


def read_prices() -> list[Price]:
    """Return all prices in the order of their dates, and within a date in the order of the file.

    Raises `RingcastError` if `vega_datasets` is not installed.
    """
    spec = importlib.util.find_spec("vega_datasets")
    if spec is None:
        raise RingcastError(
            "the demo plays data of the vega_datasets package: pip install 'ringcast[demo]'",
            code="missing_dependency",
        )
    # A module that is made but never run has its files all the same.
    package = importlib.resources.files(importlib.util.module_from_spec(spec))
    lines = (package / "_data" / "stocks.csv").read_text(encoding="utf-8").splitlines()
    prices = [
        Price(row["symbol"], datetime.strptime(row["date"], "%b %d %Y").date(), float(row["price"]))
        for row in csv.DictReader(lines)
    ]
    return sorted(prices, key=lambda price: price.date)
