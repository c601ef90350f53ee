"""What somebody who runs a server sees of it: its log as JSON, and its settings, from a real process."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import HERE

import programs
from ringcast import Client


def serve(*options: str) -> programs.Program:
    return programs.start(*(programs.RINGCAST, "serve", "actors:registry", "--port", "0", *options), cwd=HERE)


async def test_the_log_is_json_and_tells_who_comes_and_goes_but_no_secrets() -> None:
    program = serve("--log-format", "json", "--access-log")
    first = json.loads(program.err.line())
    try:
        assert (first["event"], first["level"]) == ("listening", "info")
        url = first["message"].rpartition(" ")[2]
        async with Client(url) as client:
            connection = client.chat_room.get_or_create(["lobby"]).connect({"password": "SECRET-1"})
            await connection.ready()
            await connection.say("SECRET-2")
            await client.chat_room.get(["lobby"]).say("SECRET-3")
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{url}/health?token=SECRET-4")).status_code == 200
    finally:
        ended = program.finish(signal.SIGTERM)
    assert ended.code == 0
    lines: list[dict[str, Any]] = [json.loads(line) for line in ended.err]
    assert "SECRET" not in str(lines)
    by_event = {line["event"]: line for line in lines if line["logger"] == "ringcast.access"}
    assert set(by_event) == {"new", "closed_by_client", "request"}
    new, closed = by_event["new"], by_event["closed_by_client"]
    assert (new["actor"], new["key"]) == ("ChatRoom", ["lobby"])
    assert new["connection"] == closed["connection"] and closed["code"] == 1000
    assert (by_event["request"]["method"], by_event["request"]["path"]) == ("GET", "/health")
    assert by_event["request"]["code"] == 200 and by_event["request"]["client"] == "127.0.0.1"


async def test_without_being_asked_nobody_s_coming_is_logged() -> None:
    program = serve()
    try:
        url = program.err.until("serving ").split(" at ")[1].split(" ")[0]
        async with Client(url) as client:
            await client.chat_room.get_or_create(["lobby"]).say("word")
    finally:
        ended = program.finish(signal.SIGTERM)
    assert (ended.code, ended.err) == (0, [])


async def test_settings_come_from_flags_variables_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ringcast.toml"
    file.write_text("session_window_s = 12\nmetrics = true\nheartbeat_s = 4\nlog_level = 'warning'\n")
    monkeypatch.setenv("RINGCAST_HEARTBEAT_S", "5")
    shown = programs.run("settings", "actors:registry", "--config", str(file), "--drain-batch", "7", cwd=HERE)
    assert shown.code == 0
    said = {line.split()[0]: line.split("=", 1)[1].split() for line in shown.out}
    assert said["session_window_s"] == ["12.0", "#", str(file)]
    assert said["heartbeat_s"] == ["5.0", "#", "RINGCAST_HEARTBEAT_S"]
    assert said["drain_batch"] == ["7", "#", "--drain-batch"]
    assert said["port"] == ["8080", "#", "default"]
    with programs.serve("actors:registry", "--config", str(file), cwd=HERE) as server:
        async with httpx.AsyncClient() as http:
            assert "ringcast_ready 1.0" in (await http.get(f"{server.url}/metrics")).text


async def test_variables_that_are_no_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGCAST_DEMO_SERVICE_HOST", "10.0.0.1")
    said = "these variables are no settings, and mean nothing here: RINGCAST_DEMO_SERVICE_HOST"
    shown = programs.run("settings", "actors:registry", cwd=HERE)
    assert (shown.code, shown.err) == (0, [said])
    program = serve()
    try:
        assert program.err.until("these variables").endswith(said)
        program.err.until("serving ")
    finally:
        assert program.finish(signal.SIGTERM).code == 0


def test_a_setting_that_is_none_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "ringcast.toml"
    file.write_text("compresion = true\n")
    for command in ("serve", "settings"):
        ended = programs.run(command, "actors:registry", "--config", str(file), cwd=HERE)
        assert (ended.code, ended.out) == (2, [])
        [line] = ended.err
        assert line.startswith(f"error: {file}: there is no setting 'compresion'; did you mean compression?")
