"""The price series: all of it, in order, and without loading pandas."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter
from datetime import date

import pytest

from ringcast import RingcastError
from ringcast.demo.prices import Price, read_prices


def test_the_series_is_complete_and_in_order_of_dates() -> None:
    prices = read_prices()
    assert Counter(price.symbol for price in prices) == {
        "MSFT": 123,
        "AMZN": 123,
        "IBM": 123,
        "AAPL": 123,
        "GOOG": 68,
    }
    assert len(prices) == 560
    assert prices[0] == Price("MSFT", date(2000, 1, 1), 39.81)
    assert prices[-1] == Price("AAPL", date(2010, 3, 1), 223.02)
    assert [price.date for price in prices] == sorted(price.date for price in prices)


def test_reading_it_does_not_import_pandas() -> None:
    program = "import sys, ringcast.demo.prices as p; p.read_prices(); print('pandas' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert ended.stdout == "False\n"


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RingcastError, match=r"pip install 'ringcast\[demo\]'"):
        read_prices()
