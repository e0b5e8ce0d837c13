"""Checks of certificates: those who verify must accept what we issue."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from datetime import UTC
from pathlib import Path

from natless.certificates import Authority, CertificatePair
from natless.doctor.finding import Seen
from natless.doctor.machine import SET_CLOCK
from natless.errors import NatlessError
from natless.run_directory import open_run_directory

HANDSHAKE_BUDGET = 5.0
"""Seconds for a handshake over loopback; it takes milliseconds."""

NODE_BUDGET = 10.0
"""Seconds for Node to start, shake hands and end; it takes a tenth of one."""

HOST = "doctor.appsync-realtime-api.us-east-1.amazonaws.com"

_NODE = """
const options = {host: "127.0.0.1", port: Number(process.argv[1]), servername: process.argv[2]};
const socket = require("tls").connect(options, () => {
  console.log(process.version); socket.destroy();
});
socket.on("error", (error) => { console.error(error.message); process.exitCode = 1; });
"""


class _Refused(Exception):
    """Somebody does not accept the certificate; the sentence is their own."""


def check_certificates() -> Seen:
    """Issues a certificate for an AWS name and shakes hands with it over loopback.

    As strictly as Python 3.13 verifies, whichever Python this is.
    """
    try:
        authority = Authority.for_user()
        with open_run_directory(sweep=False) as scratch:
            pair = authority.issue([HOST], directory=scratch)
            asyncio.run(_greet_with_python(pair, ca=authority.ca_path))
        until = _read_end(authority.ca_path)
    except NatlessError as error:
        return Seen.lacks(str(error), error.hint)
    except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
        return Seen.lacks(f"no TLS with a certificate of our own: {error}", _explain(error))
    return Seen.ok(f"TLS on loopback; the authority {authority.ca_path} is good until {until}")


def check_node() -> Seen:
    """Lets Node, if there is one, accept such a certificate as its users would: by a variable."""
    try:
        authority = Authority.for_user()
        with open_run_directory(sweep=False) as scratch:
            pair = authority.issue([HOST], directory=scratch)
            version = asyncio.run(_greet_with_node(pair, ca=authority.ca_path))
    except FileNotFoundError:
        return Seen.skipped("there is no Node; only clients that are written for it want one")
    except NatlessError:
        return Seen.skipped("there are no certificates to try it with")
    except (OSError, TimeoutError, _Refused) as error:
        return Seen.warning(
            f"Node does not accept our certificates: {str(error) or 'no answer'}",
            f"NODE_EXTRA_CA_CERTS={authority.ca_path} node --version",
        )
    return Seen.ok(f"Node {version} trusts us with NODE_EXTRA_CA_CERTS={authority.ca_path}")


def _explain(error: Exception) -> str:
    authority = Authority.for_user().ca_path.parent
    reason = getattr(error, "verify_message", "")
    if "not yet valid" in reason or "expired" in reason:
        return f"{SET_CLOCK}; if the date is right: rm -r {authority}"
    return f"rm -r {authority} (a new authority is made at the next start)"


def _read_end(ca: Path) -> str:
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(ca.read_bytes())
    return f"{certificate.not_valid_after_utc.astimezone(UTC):%Y-%m-%d}"


async def _greet_with_python(pair: CertificatePair, *, ca: Path) -> None:
    calling = ssl.create_default_context(cafile=str(ca))
    calling.verify_flags |= ssl.VERIFY_X509_STRICT
    async with _served(pair) as port, asyncio.timeout(HANDSHAKE_BUDGET):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=calling, server_hostname=HOST
        )
        writer.close()
        await writer.wait_closed()


async def _greet_with_node(pair: CertificatePair, *, ca: Path) -> str:
    async with _served(pair) as port:
        node = await asyncio.create_subprocess_exec(
            *("node", "-e", _NODE, str(port), HOST),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "NODE_EXTRA_CA_CERTS": str(ca)},
        )
        try:
            async with asyncio.timeout(NODE_BUDGET):
                said, complaint = await node.communicate()
        finally:
            if node.returncode is None:
                node.kill()
                await node.wait()
    if node.returncode:
        lines = complaint.decode(errors="replace").strip().splitlines()
        raise _Refused(lines[-1] if lines else f"it ended with {node.returncode}")
    return said.decode().strip().removeprefix("v")


@contextlib.asynccontextmanager
async def _served(pair: CertificatePair) -> AsyncIterator[int]:
    """Somebody who shakes hands on loopback and waits for the end; the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)

    async def wait_for_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(
        wait_for_end, "127.0.0.1", 0, ssl=context, ssl_handshake_timeout=HANDSHAKE_BUDGET
    )
    async with server:
        yield int(server.sockets[0].getsockname()[1])
