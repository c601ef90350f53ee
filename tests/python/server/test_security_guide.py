"""`docs/security.md` held against the code: its program runs, its names and numbers exist."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from raw_socket import opened

from ringcast import Registry, Request, ServerConfig
from ringcast.server.serve import serving

PAGE = (Path(__file__).parents[3] / "docs" / "security.md").read_text()


@pytest.fixture
async def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    [program] = re.findall(
        r"<!-- tested: lounge.py -->\n```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE
    )
    monkeypatch.chdir(tmp_path)
    module: dict[str, Any] = {"__name__": "lounge"}
    exec(compile(program, "lounge.py", "exec", dont_inherit=True), module)
    registry = module["registry"]
    assert isinstance(registry, Registry)
    async with serving(registry) as url:
        yield url


async def test_the_program(url: str) -> None:
    async with opened(url) as socket:
        await socket.connect("lounge", params={"token": "t0ken-of-ann"})
        assert await socket.ask("call", "whoAmI", []) == "ann"
    async with opened(url, {"Cookie": "sid=t0ken-of-ann"}) as socket:
        await socket.connect("lounge")
        assert await socket.ask("call", "whoAmI", []) == "ann"
    for params, code in (({"token": "t0ken-of-mallory"}, "forbidden"), (None, "unauthorized")):
        async with opened(url) as socket:
            assert (await socket.connect("lounge", params=params))[2]["code"] == code
            assert await socket.closed_with() == 4000
    async with httpx.AsyncClient(base_url=url) as client:
        for token, status in (("t0ken-of-ann", 200), ("made up", 401)):
            response = await client.post(
                "/actors/lounge/actions/whoAmI",
                json={"key": ["k"]},
                headers={"Authorization": f"Bearer {token}"},
            )
            assert response.status_code == status


def test_its_limits_are_those_of_the_configuration() -> None:
    [table] = re.findall(r"\| threat \| limit \| default \|\n(.*?)\n\n", PAGE, re.DOTALL)
    scale = {"KiB": 1024, "MiB": 1024**2}
    seen = 0
    for row in table.splitlines()[1:]:
        _, limits, defaults = (cell.strip() for cell in row.strip("|").split("|"))
        names = re.findall(r"`(\w+)`", limits)
        numbers = re.findall(r"([\d,]*\d)(?: (KiB|MiB))?", defaults)
        assert len(names) == len(numbers)
        for name, (number, unit) in zip(names, numbers, strict=True):
            assert getattr(ServerConfig(), name) == int(number.replace(",", "")) * scale.get(unit, 1), name
            seen += 1
    assert seen > 10


def test_what_it_says_of_a_request_is_there() -> None:
    [table] = re.findall(r"\| of `c.request` \| is \|\n(.*?)\n\n", PAGE, re.DOTALL)
    named = [name for row in table.splitlines()[1:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert named and all(hasattr(Request(), name) for name in named)
    settings = {"allowed_origins", "trusted_proxies", "forwarded_header", "uncounted_networks"}
    assert all(f"`{name}" in PAGE or f"{name}=" in PAGE for name in settings)
    assert settings <= set(ServerConfig.__dataclass_fields__)


def test_the_tests_that_it_names_are_there() -> None:
    [table] = re.findall(r"\| attack \| what limits it \| test \|\n(.*?)\n\n", PAGE, re.DOTALL)
    tests = Path(__file__).parents[2]
    for row in table.splitlines()[1:]:
        _, limits, named = (cell.strip() for cell in row.strip("|").split("|"))
        places = re.findall(r"`([\w/]+\.py)::(\w+)`", named)
        assert places, row
        for file, name in places:
            assert f"def {name}(" in (tests / file).read_text(), (file, name)
        for limit in re.findall(r"`(\w+)`", limits):
            assert limit in ServerConfig.__dataclass_fields__, limit
