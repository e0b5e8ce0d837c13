"""From the command line to a configuration: flags over ``relay.toml`` over defaults."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from relay.auth.api_key import ApiKey
from relay.config import (
    LABEL_ALPHABET,
    LABEL_LENGTH,
    ApiConfig,
    IamCredential,
    Listen,
    NamespaceConfig,
    RelayConfig,
    scramble,
)
from relay.config_file import ConfigFile, load_config_file
from relay.control.state import Change, Store
from relay.errors import ConfigInvalid

DEFAULT_NAMESPACE = "default"
GENERATED = "generated"  # the kind of the record that keeps what was made up


@dataclass(frozen=True, slots=True)
class Generated:
    """What is made up where nobody gave it: once per process, so that a reload keeps it."""

    label: str = field(default_factory=lambda: _random_text(LABEL_LENGTH))
    api_key: str = field(default_factory=lambda: "da2-" + _random_text(LABEL_LENGTH), repr=False)
    access_key_id: str = field(default_factory=lambda: "AKIA" + _random_text(16).upper())
    secret_access_key: str = field(default_factory=lambda: secrets.token_urlsafe(30), repr=False)

    def label_of(self, number: int) -> str:
        """A label for an API further down in the file; the same one at every reading."""
        return scramble(f"label {number} of {self.label}")


@dataclass(frozen=True, slots=True)
class Command:
    """What the command line says.

    Attributes:
        flags: as parsed.
        generated: what is made up where nobody gave it.
    """

    flags: argparse.Namespace
    generated: Generated = field(default_factory=Generated)

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Command:
        """Reads the command line; ends the process with usage and exit code 2 when it is wrong."""
        return cls(_make_parser().parse_args(argv))

    def recall(self, store: Store) -> Command:
        """The same command with what was made up when the state file was new.

        Raises:
            StateUnusable: the file cannot be read or written.
        """
        known = [one.document for one in store.load() if one.kind == GENERATED]
        if known:
            return replace(self, generated=Generated(**known[0]))
        number = 1 + max((one.number for one in store.load()), default=0)
        store.write([Change(number, GENERATED, "first", asdict(self.generated))])
        return self

    def make_config(self) -> RelayConfig:
        """The configuration; reads the file anew each time.

        Raises:
            ConfigInvalid: a flag or the file is wrong.
        """
        flags = self.flags
        said = _NOTHING if flags.config is None else load_config_file(flags.config)
        listen = _given(flags, "host", "port", "plain_port", "certificate", "key")
        if flags.listen_fd:
            listen["fds"] = tuple(flags.listen_fd)
        listen = {**said.listen, **listen}
        if "certificate" not in listen and "plain_port" in listen:
            listen.setdefault("port", None)  # without a certificate there is nothing but plain
        first, *others = said.apis or ({},)
        return RelayConfig(
            listen=Listen(**listen),
            apis=(
                self._complete(first),
                *(
                    ApiConfig(**{"label": self.generated.label_of(number), **api})
                    for number, api in enumerate(others, 2)
                ),
            ),
            **{
                **said.others,
                **_given(flags, "time_scale", "subscription_lag", "state", "lambda_endpoint"),
                **_given(flags, "public_host"),
            },
        )

    def _complete(self, said: Mapping[str, Any]) -> ApiConfig:
        """The first API, which the flags speak about."""
        flags = self.flags
        api = {"label": self.generated.label, **said, **_given(flags, *_OF_THE_API)}
        if flags.namespace:
            api["namespaces"] = tuple(NamespaceConfig(name=name) for name in flags.namespace)
        if flags.api_key:
            api["api_keys"] = tuple(map(ApiKey, flags.api_key))
        if flags.iam:
            api["iam"] = tuple(map(_parse_iam, flags.iam))
        api.setdefault("namespaces", (NamespaceConfig(name=DEFAULT_NAMESPACE),))
        if not flags.iam and "iam" not in said:
            api.setdefault("api_keys", (ApiKey(self.generated.api_key),))
            api["iam"] = (
                IamCredential(
                    access_key_id=self.generated.access_key_id,
                    secret_access_key=self.generated.secret_access_key,
                ),
            )
        return ApiConfig(**api)


_OF_THE_API = ("label", "name", "region", "verify")
_NOTHING = ConfigFile(listen={}, apis=(), others={})


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m relay",
        description="An AWS AppSync Events API on this machine.",
        epilog="SIGTERM drains, and so does closing the terminal; any other SIGHUP reads the"
        " configuration and the certificate again.",
    )
    add = parser.add_argument
    add("--config", type=Path, metavar="FILE", help="relay.toml, for everything; flags win")
    add("--host", help="address to listen on (127.0.0.1)")
    add("--port", type=int, help="TLS port, 0 for a free one (0)")
    add("--plain-port", type=int, help="also listen for http and ws, 0 for a free port")
    add("--listen-fd", type=int, action="append", metavar="N", help="inherited TLS socket")
    add("--certificate", type=Path, metavar="PEM", help="the server's certificate and chain")
    add("--key", type=Path, metavar="PEM", help="its private key")
    add("--ca", type=Path, metavar="PEM", help="what clients must trust; only told in the output")
    add("--namespace", action="append", metavar="NAME", help="channel namespace (default)")
    add("--api-key", action="append", metavar="KEY", help="key that opens the API (a random one)")
    add("--iam", action="append", metavar="ID:SECRET", help="access key that may sign requests")
    add("--verify", choices=("strict", "parse-only", "off"), help="how signatures are checked")
    add("--label", help="26 letters or digits that the API's host names begin with")
    add("--name", help="the API's name in the control plane (natless)")
    add("--region", help="region in the API's host names (us-east-1)")
    add("--state", type=Path, metavar="FILE", help="keeps what the control plane is told")
    add(
        "--public-host",
        metavar="HOST[:PORT]",
        help="what the control plane hands out in place of AWS's names",
    )
    add("--lambda-endpoint", metavar="URL", help="where named Lambda authorizers are invoked")
    add("--time-scale", type=float, metavar="X", help="multiplies every duration of the protocol")
    add(
        "--subscription-lag",
        type=float,
        metavar="SECONDS",
        help="acknowledge subscriptions at once, let them deliver so much later (0)",
    )
    add("--journal", metavar="FILE", help="facts as JSON lines; - for standard output")
    add("--until-eof", action="store_true", help="end when standard input does")
    add("--json", action="store_true", help="say where it listens as one line of JSON")
    return parser


def _given(flags: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(flags, name)) is not None}


def _parse_iam(text: str) -> IamCredential:
    access_key_id, colon, secret = text.partition(":")
    if not (access_key_id and colon and secret):
        raise ConfigInvalid(
            "--iam needs an access key id and a secret", hint="write ACCESS_KEY_ID:SECRET"
        )
    return IamCredential(access_key_id=access_key_id, secret_access_key=secret)


def _random_text(length: int) -> str:
    return "".join(secrets.choice(LABEL_ALPHABET) for _ in range(length))
