"""Listening sockets and the certificate that is shown on them."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from pathlib import Path

from relay.errors import CannotListen, CertificateUnusable, ConfigInvalid

BACKLOG = 2048  # connections that may wait while the loop is busy


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on an address.

    Raises:
        CannotListen: the address is in use, or not this machine's, or needs more rights.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise CannotListen(
            f"cannot listen on {host}:{port}: {_explain(error)}", hint=_advise(error)
        ) from error
    return sock


def inherit_socket(fd: int) -> socket.socket:
    """A listening socket that the parent process left open under this number.

    Raises:
        ConfigInvalid: it is not one.
    """
    try:
        sock = socket.socket(fileno=fd)
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(errno.EINVAL, "it does not listen")
    except OSError as error:
        raise ConfigInvalid(
            f"descriptor {fd} is not a listening socket: {_explain(error)}",
            hint="pass the number of a socket that listens and that is inherited",
        ) from error
    return sock


def make_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """How the relay speaks TLS: 1.2 and newer, HTTP/1.1.

    Raises:
        CertificateUnusable: a file is missing, is not PEM, or the two do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, certificate, key)
    return context


def load_certificate(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Shows this certificate from the next handshake on.

    Raises:
        CertificateUnusable: a file is missing, is not PEM, or the two do not belong together.
    """
    for path in (certificate, key):
        if not os.access(path, os.R_OK):
            raise CertificateUnusable(
                f"{path} cannot be read", hint="`natless relay` makes certificates by itself"
            )
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise CertificateUnusable(
            f"{certificate} and {key} cannot be used: {_explain_tls(error)}",
            hint="give a certificate and its own private key, both PEM",
        ) from error


def _explain(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "no such host name"
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _explain_tls(error: OSError) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).lower().replace("_", " ") if reason else "they are not PEM"


def _advise(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "stop what uses it, choose another port, or --port 0 for a free one"
        case errno.EACCES | errno.EPERM:
            return "ports below 1024 need more rights; choose a higher one"
        case _:
            return "choose an address of this machine"
