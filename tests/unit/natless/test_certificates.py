import ipaddress
import os
import ssl
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography import x509

from natless.certificates import Authority, aws_names, default_directory
from natless.errors import EnvironmentLacks

LABEL = "a" * 26
NAMES = [*aws_names("us-east-1"), "localhost", "127.0.0.1", ipaddress.ip_address("::1")]


def handshake(authority, pair, server_name):
    """One TLS handshake in memory with every strict check that Python knows."""
    client_context = ssl.create_default_context(cafile=authority.ca_path)
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(pair.certificate, pair.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=server_name)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client.version()


@pytest.fixture
def authority(tmp_path):
    return Authority.for_user(tmp_path / "ca")


@pytest.mark.parametrize(
    "name",
    [
        f"{LABEL}.appsync-api.us-east-1.amazonaws.com",
        f"{LABEL}.appsync-realtime-api.us-east-1.amazonaws.com",
        "appsync.us-east-1.amazonaws.com",
        "localhost",
        "127.0.0.1",
        "::1",
    ],
)
def test_a_strict_client_accepts_every_name_that_was_asked_for(authority, tmp_path, name):
    pair = authority.issue(NAMES, directory=tmp_path / "out")
    assert handshake(authority, pair, name) == "TLSv1.3"


def test_a_name_that_was_not_asked_for_is_refused(authority, tmp_path):
    pair = authority.issue(["localhost"], directory=tmp_path / "out")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority, pair, "example.org")


def test_another_authority_is_not_trusted(authority, tmp_path):
    other = Authority.for_user(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority, other.issue(["localhost"], directory=tmp_path), "localhost")


def test_private_keys_are_readable_by_the_user_only(authority, tmp_path):
    pair = authority.issue(["localhost"], directory=tmp_path / "out")
    for key in (authority.key_path, pair.key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(authority.ca_path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(pair.certificate.stat().st_mode) == 0o644


def test_permissions_that_were_widened_are_narrowed_again(authority, tmp_path):
    authority.key_path.chmod(0o644)
    Authority.for_user(tmp_path / "ca")
    assert stat.S_IMODE(authority.key_path.stat().st_mode) == 0o600


def test_the_second_use_finds_the_same_authority(authority, tmp_path):
    before = authority.ca_path.read_bytes()
    again = Authority.for_user(tmp_path / "ca")
    assert again == authority
    assert again.ca_path.read_bytes() == before


def test_first_uses_at_the_same_moment_agree_on_one_authority(tmp_path):
    start = threading.Barrier(8)

    def first_use(_):
        start.wait()
        authority = Authority.for_user(tmp_path / "ca")
        return authority.ca_path.read_bytes(), authority.key_path.read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(first_use, range(8)))) == 1
    assert sorted(p.name for p in (tmp_path / "ca").iterdir()) == ["ca-key.pem", "ca.pem", "lock"]


def test_an_authority_about_to_expire_is_made_anew(authority, tmp_path, monkeypatch):
    before = authority.ca_path.read_bytes()
    expiry = x509.load_pem_x509_certificate(before).not_valid_after_utc

    class Later:
        @staticmethod
        def now(_zone):
            return expiry

    monkeypatch.setattr("natless.certificates.datetime", Later)
    assert Authority.for_user(tmp_path / "ca").ca_path.read_bytes() != before


def test_a_damaged_authority_says_what_to_remove(authority, tmp_path):
    authority.key_path.write_text("no key")
    with pytest.raises(EnvironmentLacks, match="is damaged") as caught:
        Authority.for_user(tmp_path / "ca")
    assert str(tmp_path / "ca") in caught.value.hint


def test_a_key_of_another_certificate_is_noticed(authority, tmp_path):
    other = Authority.for_user(tmp_path / "other")
    authority.key_path.write_bytes(other.key_path.read_bytes())
    with pytest.raises(EnvironmentLacks, match="do not belong together"):
        authority.issue(["localhost"], directory=tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_directory_without_permission_is_explained(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(EnvironmentLacks, match="cannot be used"):
        Authority.for_user(tmp_path / "ca")


def test_a_file_in_the_way_is_explained(tmp_path):
    (tmp_path / "ca").write_text("")
    with pytest.raises(EnvironmentLacks, match="cannot be used"):
        Authority.for_user(tmp_path / "ca")


def test_a_certificate_without_names_is_refused(authority, tmp_path):
    with pytest.raises(ValueError, match="at least one name"):
        authority.issue([], directory=tmp_path)


def test_the_default_place_follows_the_data_directory_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "natless" / "ca"
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_directory() == tmp_path / "home" / ".local" / "share" / "natless" / "ca"


def test_names_in_china_end_in_their_own_domain():
    assert aws_names("cn-north-1")[0] == "*.appsync-api.cn-north-1.amazonaws.com.cn"
