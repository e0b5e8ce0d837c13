"""A certificate authority of the user's own, and the certificates it issues.

Nearly every client of the channel insists on TLS, so the relay and the imitated endpoint need
certificates for the names that AWS gives to AppSync. The authority is made once per user::

    $XDG_DATA_HOME/natless/ca/      0700
    ├── ca.pem        what clients must trust (NODE_EXTRA_CA_CERTS, SSL_CERT_FILE)
    ├── ca-key.pem    0600
    └── lock            held while the two files are made

The certificates satisfy the strict checks of Python 3.13 (``VERIFY_X509_STRICT``), Go (names only
in the subject alternative name) and Node.
"""

from __future__ import annotations

import fcntl
import ipaddress
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from natless.errors import EnvironmentLacks
from natless.vpc.model import CUSTOM_DOMAIN

AUTHORITY_LIFE = timedelta(days=3650)
CERTIFICATE_LIFE = timedelta(days=397)  # what browsers still accept
CLOCK_SKEW = timedelta(days=1)  # a container's clock may run behind
COMMON_NAME_LENGTH = 64  # RFC 5280, ub-common-name

Name = str | ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class CertificatePair:
    """Where a server's certificate and its private key lie, both PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """The user's certificate authority.

    Attributes:
        ca_path: the PEM file that clients must trust.
        key_path: its private key, readable by the user only.
    """

    ca_path: Path
    key_path: Path

    @classmethod
    def for_user(cls, directory: Path | None = None) -> Authority:
        """The authority in ``directory``, made there when it is not there yet.

        Any number of processes may ask for the first time at once; all get the same authority.

        Args:
            directory: where it lives; by default ``natless/ca`` in the user's data directory.

        Raises:
            EnvironmentLacks: the directory cannot be used, or holds something else.
        """
        home = directory or default_directory()
        authority = cls(home / "ca.pem", home / "ca-key.pem")
        try:
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            home.chmod(0o700)
            with _locked(home / "lock"):
                if not authority._is_usable():
                    authority._create()
                authority.key_path.chmod(0o600)
        except OSError as error:
            raise EnvironmentLacks(
                f"the certificate authority in {home} cannot be used: {error.strerror or error}",
                hint="make that directory writable, or set XDG_DATA_HOME to one that is",
            ) from error
        return authority

    def issue(
        self, names: Sequence[Name], *, directory: Path, stem: str = "server"
    ) -> CertificatePair:
        """A new key and a certificate for it, as ``<stem>.pem`` and ``<stem>-key.pem``.

        Args:
            names: DNS names (a leading ``*.`` is a wildcard) and addresses; at least one.
            directory: made when it is missing.
            stem: what the two files are called.

        Raises:
            ValueError: no names, or one that is not a DNS name.
            EnvironmentLacks: the files cannot be written.
        """
        if not names:
            raise ValueError("a certificate needs at least one name")
        issuer, issuer_key = self._load()
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_subject(str(names[0])), issuer.subject, life=CERTIFICATE_LIFE, key=key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([_general_name(name) for name in names]),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
                critical=False,
            )
            .sign(issuer_key, hashes.SHA256())
        )
        pair = CertificatePair(directory / f"{stem}.pem", directory / f"{stem}-key.pem")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            _write(pair.key, _private_pem(key))
            _write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM))
        except OSError as error:
            raise EnvironmentLacks(
                f"the certificate cannot be written to {directory}: {error.strerror or error}",
                hint="choose a directory that is writable",
            ) from error
        return pair

    def _is_usable(self) -> bool:
        """Whether both files are there and will hold for as long as what they would issue."""
        if not self.ca_path.exists() or not self.key_path.exists():
            return False
        certificate, _ = self._load()
        return certificate.not_valid_after_utc > datetime.now(UTC) + CERTIFICATE_LIFE

    def _create(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = _subject("natless local certificate authority")
        certificate = (
            _builder(name, name, life=AUTHORITY_LIFE, key=key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        _write(self.key_path, _private_pem(key))
        _write(self.ca_path, certificate.public_bytes(serialization.Encoding.PEM))

    def _load(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        try:
            certificate = x509.load_pem_x509_certificate(self.ca_path.read_bytes())
            key = serialization.load_pem_private_key(self.key_path.read_bytes(), password=None)
        except (ValueError, TypeError) as error:
            raise self._damaged("a file in it is not PEM") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise self._damaged("its key is of another kind")
        if certificate.public_key() != key.public_key():
            raise self._damaged("key and certificate do not belong together")
        return certificate, key

    def _damaged(self, reason: str) -> EnvironmentLacks:
        home = self.ca_path.parent
        return EnvironmentLacks(
            f"the certificate authority in {home} is damaged: {reason}",
            hint=f"remove {home}; a new one is made at the next start",
        )


def default_directory() -> Path:
    """``natless/ca`` in the user's data directory (XDG base directory specification)."""
    data = os.environ.get("XDG_DATA_HOME", "")
    base = Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share"
    return base / "natless" / "ca"


def aws_names(region: str) -> list[str]:
    """The names under which AWS serves AppSync in a region: publish, realtime, control plane.

    And the custom domain of the one Event API that has one here. Source: AWS General Reference,
    "AWS AppSync endpoints and quotas".
    """
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return [
        f"*.appsync-api.{region}.{suffix}",
        f"*.appsync-realtime-api.{region}.{suffix}",
        f"appsync.{region}.{suffix}",
        CUSTOM_DOMAIN,
    ]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, content: bytes) -> None:
    """Replaces ``path`` in one step by a file that only the user may read."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        if not path.name.endswith("-key.pem"):
            Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    *,
    life: timedelta,
    key: ec.EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now - CLOCK_SKEW + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "natless"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name[:COMMON_NAME_LENGTH]),
        ]
    )


def _general_name(name: Name) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(str(name))


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
