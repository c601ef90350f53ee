"""`ringcast serve`: a user's module, the state it leaves behind, and having nothing to serve."""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import httpx
import pytest

import programs
from certificates import Certificates


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A directory with the module `counter`, whose registry is `registry`."""
    readme = (programs.PROJECT / "README.md").read_text()
    source = re.search(r"<!-- tested: counter.py -->\n```python\n(.*?)```", readme, re.DOTALL)
    assert source is not None
    (tmp_path / "counter.py").write_text(source[1])
    return tmp_path


def increase(url: str, by: int) -> int:
    ended = programs.run("call", url, "counter", "visits", "increase", str(by))
    assert ended.code == 0, ended
    return int(ended.out[0])


def test_serves_a_module_and_keeps_its_state(module: Path) -> None:
    with programs.serve("counter:registry", "--store", "kept.db", cwd=module) as server:
        assert "serving Counter at http://127.0.0.1:" in server.said
        assert increase(server.url, 2) == 2
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=30) == 0
    assert (module / "kept.db").is_file()
    with programs.serve("counter:registry", "--store", "kept.db", cwd=module) as server:
        assert increase(server.url, 3) == 5


@pytest.mark.parametrize(("options", "status"), [((), 404), (("--docs",), 200)])
def test_it_tells_of_its_actors_only_if_asked_to(module: Path, options: tuple[str, ...], status: int) -> None:
    with programs.serve("counter:registry", *options, cwd=module) as server:
        for path in ("docs", "openapi.json", "asyncapi.json"):
            assert httpx.get(f"{server.url}/{path}").status_code == status


def test_the_session_window_can_be_set(module: Path) -> None:
    with programs.serve("counter:registry", "--session-window", "0", cwd=module) as server:
        listening = programs.start(
            programs.RINGCAST, "listen", server.url, "counter", "visits", "--event", "increased",
            "--cut-every", "0.05", "--cut-for", "0.05",
        )  # fmt: skip
        listening.err.until("gap: session_expired")
        assert listening.finish(signal.SIGINT).code == 130


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere:registry", "there is no module nowhere here or installed"),
        ("counter:app", "counter:app is not a Registry; did you mean counter:registry?"),
        ("json:loads", "json:loads is not a Registry"),
        ("broken:registry", "ZeroDivisionError: division by zero (--debug shows where)"),
        ("needy:registry", "ModuleNotFoundError: No module named 'not_installed' (--debug shows where)"),
    ],
)
def test_nothing_to_serve_is_one_line(module: Path, place: str, message: str) -> None:
    (module / "broken.py").write_text("registry = 1 / 0\n")
    (module / "needy.py").write_text("import not_installed\n")
    ended = programs.run("serve", place, cwd=module)
    assert (ended.code, ended.out, ended.err) == (1, [], [f"error: {message}"])


def test_a_store_that_is_none_is_one_line_that_names_it(module: Path) -> None:
    (module / "notes.txt").write_text("no database " * 100)
    for place, message in (
        ("notes.txt", "the store notes.txt cannot be used: file is not a database"),
        ("no/where.db", "cannot open the store no/where.db: No such file or directory"),
    ):
        ended = programs.run("serve", "counter:registry", "--port", "0", "--store", place, cwd=module)
        assert (ended.code, ended.out, ended.err) == (1, [], [f"error: {message}"])


def test_two_servers_on_one_store_are_one_too_many(module: Path) -> None:
    with programs.serve("counter:registry", "--store", "kept.db", cwd=module):
        ended = programs.run("serve", "counter:registry", "--port", "0", "--store", "kept.db", cwd=module)
        assert (ended.code, ended.err) == (1, ["error: the store kept.db is in use by another server"])


def test_an_action_that_is_not_there_says_how_a_key_is_written(module: Path) -> None:
    with programs.serve("counter:registry", cwd=module) as server:
        ended = programs.run("call", server.url, "counter", "eu", "visits", "increase", "2")
    assert ended.err == [
        "error: Counter has no action 'visits' (unknown_action); KEY is one word here, 'eu': "
        "write a key of several parts with slashes (eu/visits)"
    ]


def test_a_taken_port_is_one_line(module: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = programs.run("serve", "counter:registry", "--port", port, cwd=module)
    assert ended.code == 1
    assert ended.err == [f"error: port {port} of 127.0.0.1 is in use; choose another with --port"]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_metrics_on_the_server_s_own_port_are_one_line(module: Path, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    places = ("--host", host, "--port", port, "--metrics", "--metrics-port", port)
    ended = programs.run("serve", "counter:registry", *places, cwd=module)
    assert (ended.code, ended.out, ended.err) == (
        1,
        [],
        [
            f"error: port {port} of 127.0.0.1, for metrics: that is the server's own port; "
            "choose another with --metrics-port"
        ],
    )


def test_who_waits_for_a_server_that_does_not_start_is_told_what_it_said(module: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(AssertionError, match=r"did not start.*is in use; choose another"),
        programs.serve("counter:registry", "--port", str(taken.getsockname()[1]), cwd=module),
    ):
        pytest.fail("it has started")


def test_a_certificate_makes_it_speak_tls(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = Certificates.make(module)
    # What the other commands trust, as any program that uses OpenSSL.
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    with programs.serve("counter:registry", *certificates.options, cwd=module) as server:
        assert server.url.startswith("https://127.0.0.1:")
        listening = programs.start(
            *(programs.RINGCAST, "listen", server.url, "counter", "visits", "--event", "increased")
        )
        listening.err.until("connected")
        assert increase(server.url, 2) == 2
        assert "2" in listening.out.line()
        assert listening.finish(signal.SIGINT).code == 130


def test_a_certificate_that_does_not_fit_is_one_line(module: Path) -> None:
    (module / "notes.txt").write_text("no certificate")
    for path, message in (
        ("missing.pem", "the TLS certificate missing.pem cannot be read: No such file or directory"),
        ("notes.txt", "there is no certificate in PEM form in notes.txt"),
    ):
        ended = programs.run("serve", "counter:registry", "--tls-certificate", path, cwd=module)
        assert (ended.code, ended.out, ended.err) == (1, [], [f"error: {message}"])
    ended = programs.run("serve", "counter:registry", "--tls-key", "key.pem", cwd=module)
    assert ended.code == 2
    assert ended.err[-1] == (
        "error: tls_key needs a tls_certificate that it belongs to (--tls-key) (try 'ringcast serve --help')"
    )
