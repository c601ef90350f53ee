"""Certificate files: what is wrong with them is said before a port is opened."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from certificates import Certificates
from ringcast import Actor, MemoryStore, Registry, ServerConfig
from ringcast.server.serve import run as run_server
from ringcast.server.tls import CertificateFileError, server_context


class Nothing(Actor):
    pass


def test_files_that_fit(certificates: Certificates, tmp_path: Path) -> None:
    context = server_context(str(certificates.certificate), str(certificates.key))
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    together = tmp_path / "together.pem"
    together.write_bytes(certificates.certificate.read_bytes() + certificates.key.read_bytes())
    assert server_context(str(together)).cert_store_stats()["x509"] == 0, "clients need no certificate"


def test_what_is_wrong_is_said(certificates: Certificates, tmp_path: Path) -> None:
    certificate, key = str(certificates.certificate), str(certificates.key)
    missing, empty = str(tmp_path / "missing.pem"), tmp_path / "empty.pem"
    empty.touch()
    other_directory = tmp_path / "other"
    other_directory.mkdir()
    other = str(Certificates.make(other_directory).key)
    other_kind = str(certificates.make_rsa_key())
    protected = str(certificates.protect_key("secret"))
    wrong = {
        (missing, key): f"the TLS certificate {missing} cannot be read: No such file or directory",
        (certificate, missing): f"the TLS key {missing} cannot be read: No such file or directory",
        (str(tmp_path), key): f"the TLS certificate {tmp_path} cannot be read: Is a directory",
        (str(empty), key): f"there is no certificate in PEM form in {empty}",
        (key, key): f"there is no certificate in PEM form in {key}",
        (certificate, str(empty)): f"there is no private key in PEM form in {empty}",
        (certificate, None): f"there is no private key in PEM form in {certificate}",
        (certificate, other): f"the TLS key {other} does not belong to the certificate {certificate}",
        (
            certificate,
            other_kind,
        ): f"the TLS key {other_kind} does not belong to the certificate {certificate}",
        (certificate, protected): f"the TLS key {protected} is protected by a passphrase, "
        "which nobody could enter",
    }
    for files, message in wrong.items():
        with pytest.raises(CertificateFileError) as error:
            server_context(*files)
        assert str(error.value) == message


def test_a_certificate_that_openssl_refuses(tmp_path: Path) -> None:
    small = str(Certificates.make_small(tmp_path))
    with pytest.raises(CertificateFileError) as error:
        server_context(small)
    assert str(error.value) == f"the TLS certificate {small} cannot be used: ee key too small"


def test_nothing_listens_with_files_that_do_not_fit(certificates: Certificates) -> None:
    config = ServerConfig(tls_certificate=str(certificates.key), port=0)
    registry = Registry(Nothing, store=MemoryStore(), config=config)
    with pytest.raises(CertificateFileError):
        run_server(registry, on_listening=pytest.fail)
    assert not registry.router.started


def test_the_key_goes_with_its_certificate(certificates: Certificates) -> None:
    registry = Registry(Nothing, store=MemoryStore(), config=ServerConfig(tls_certificate="a", tls_key="b"))
    with pytest.raises(CertificateFileError, match="the TLS certificate c cannot be read"):
        registry.serve(port=0, tls_certificate="c")
    assert (registry.config.tls_certificate, registry.config.tls_key) == ("c", None)
    with pytest.raises(ValueError, match="tls_key needs a tls_certificate"):
        Registry(Nothing, store=MemoryStore()).serve(port=0, tls_key=str(certificates.key))
