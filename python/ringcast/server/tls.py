"""Certificate files, read before a port is opened: what TLS in the server's own process needs.

Encrypting is the event loop's, and what is written over it comes from the core by way of `gateway/relay.py`.
"""

from __future__ import annotations

import ssl
from typing import Final, NoReturn

__all__ = ["CertificateFileError", "server_context"]

_OTHERS_KEY: Final = frozenset(
    {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED", "UNKNOWN_CERTIFICATE_TYPE"}
)
"""What OpenSSL says of a key of another certificate: of the same kind, and of other kinds (RSA, EC)."""


class CertificateFileError(ValueError):
    """The certificate or its key cannot be used; the message names the file and says why."""


def server_context(certificate: str, key: str | None = None) -> ssl.SSLContext:
    """Return what a server with this certificate speaks TLS with: version 1.2 or newer.

    `certificate` is a PEM file with the server's certificate and those that vouch for it, in this order;
    `key` one with its private key, which may also be in the first. Raises `CertificateFileError`.
    """
    _check_readable(certificate, "certificate")
    if key is not None:
        _check_readable(key, "key")
    _check_has_certificates(certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # Of some builds of Python the default is whatever OpenSSL has been configured with.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # WebSockets need HTTP/1.1, and nothing else is spoken here.
    context.set_alpn_protocols(["http/1.1"])
    holder = certificate if key is None else key
    try:
        context.load_cert_chain(certificate, key, password=_refuse_passphrase)
    except _Protected:
        raise CertificateFileError(
            f"the TLS key {holder} is protected by a passphrase, which nobody could enter"
        ) from None
    except ssl.SSLError as error:
        if error.reason in _OTHERS_KEY:
            raise CertificateFileError(
                f"the TLS key {holder} does not belong to the certificate {certificate}"
            ) from error
        if error.reason is None or error.library == "PEM":
            raise CertificateFileError(f"there is no private key in PEM form in {holder}") from error
        why = error.reason.replace("_", " ").lower()
        raise CertificateFileError(f"the TLS certificate {certificate} cannot be used: {why}") from error
    return context


class _Protected(Exception):  # noqa: N818 - caught where it is turned into an error
    """A passphrase was asked for. OpenSSL would ask at the terminal, and wait there."""


def _refuse_passphrase() -> NoReturn:
    raise _Protected


def _check_readable(path: str, what: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise CertificateFileError(
            f"the TLS {what} {path} cannot be read: {error.strerror or error}"
        ) from error


def _check_has_certificates(path: str) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise CertificateFileError(f"there is no certificate in PEM form in {path}") from error
