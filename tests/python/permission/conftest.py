"""Fixtures of the tests of permission: which actor, and what its hook was asked."""

from __future__ import annotations

from typing import Any

import pytest
from vaults import ALL, DurablePondering, Pondering, Vault, told

from ringcast import MemoryStore, SqliteStore
from ringcast.store import Store


@pytest.fixture(params=ALL, ids=[cls.__name__ for cls in ALL])
def vault(request: pytest.FixtureRequest) -> type[Vault]:
    found: type[Vault] = request.param
    return found


@pytest.fixture(autouse=True)
def asked() -> list[str]:
    Vault.asked.clear()
    told.clear()
    return Vault.asked


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Any) -> Store:
    return MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "store.db")


@pytest.fixture(params=[Pondering, DurablePondering], ids=["ordinary", "durable"])
def pondering(request: pytest.FixtureRequest) -> Any:
    found: type[Pondering] = request.param
    Pondering.gates.clear()
    yield found
    Pondering.ponders = False
