"""Certificates for tests that speak TLS, made by `openssl`: an authority, and one that it vouches for."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Certificates"]

_KEY: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
_DAYS: Final = ("-days", "2")


@dataclass(frozen=True)
class Certificates:
    """Files in PEM form."""

    authority: Path
    """What clients trust."""
    certificate: Path
    """The server's, for `localhost` and 127.0.0.1."""
    key: Path

    @classmethod
    def make(cls, directory: Path) -> Certificates:
        """Make new ones in a directory that is there."""
        made = cls(directory / "authority.pem", directory / "certificate.pem", directory / "key.pem")
        authority_key, request = directory / "authority-key.pem", directory / "request.pem"
        extensions = directory / "extensions.cnf"
        extensions.write_text("subjectAltName = DNS:localhost, IP:127.0.0.1\n")
        subject = ("-subj", "/CN=tests of ringcast")
        _openssl(
            "req",
            "-x509",
            *_KEY,
            "-nodes",
            *_DAYS,
            *subject,
            "-keyout",
            authority_key,
            "-out",
            made.authority,
        )
        _openssl("req", *_KEY, "-nodes", *subject, "-keyout", made.key, "-out", request)
        _openssl(
            *("x509", "-req", *_DAYS, "-in", request, "-out", made.certificate),
            *("-CA", made.authority, "-CAkey", authority_key, "-CAcreateserial", "-extfile", extensions),
        )
        return made

    def protect_key(self, passphrase: str) -> Path:
        """Return a file with the key, which needs a passphrase."""
        protected = self.key.with_name("protected-key.pem")
        _openssl("ec", "-aes256", "-passout", f"pass:{passphrase}", "-in", self.key, "-out", protected)
        return protected

    def make_rsa_key(self) -> Path:
        """Return a file with a key of another kind than the certificate's."""
        made = self.key.with_name("rsa-key.pem")
        _openssl("genpkey", "-algorithm", "RSA", "-out", made)
        return made

    @staticmethod
    def make_small(directory: Path) -> Path:
        """Return a file with key and certificate, of a size that nobody takes any more."""
        key, made = directory / "small-key.pem", directory / "small.pem"
        small = ("-newkey", "rsa:512", "-nodes", *_DAYS, "-subj", "/CN=small")
        _openssl("req", "-x509", *small, "-keyout", key, "-out", made)
        made.write_bytes(made.read_bytes() + key.read_bytes())
        return made

    def client_context(self) -> ssl.SSLContext:
        """Return what a client trusts the server with."""
        return ssl.create_default_context(cafile=str(self.authority))

    @property
    def options(self) -> tuple[str, ...]:
        """What `ringcast serve` is given."""
        return "--tls-certificate", str(self.certificate), "--tls-key", str(self.key)


def _openssl(*arguments: str | Path) -> None:
    ended = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
