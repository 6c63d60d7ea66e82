"""The server's certificates: which of them is shown, to whom, and when a new one is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from tests.net.handshaking import shake
from txsmtpconn.errors import ConfigError
from txsmtpconn.net.certificates import CertificateNames
from txsmtpconn.net.server_tls import ServerTLS
from txsmtpconn.testing import CertificateZoo


def shake_hands(
    tls: ServerTLS, name: str = "", own: Any = None
) -> tuple[SSL.Connection, SSL.Connection]:
    """Let a client that verifies nothing meet the server; return both."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if own is not None:
        context.use_certificate_file(str(own.certificate))
        context.use_privatekey_file(str(own.key))
    client, server = SSL.Connection(context, None), tls.serverConnectionForTLS(None)
    if name:
        client.set_tlsext_host_name(name.encode())
    client.set_connect_state()
    server.set_accept_state()
    shake(client, server)
    return client, server


def shown(tls: ServerTLS, name: str = "") -> str:
    """Return the common name of the certificate that a client sees."""
    client, _ = shake_hands(tls, name)
    certificate = client.get_peer_certificate()
    assert certificate is not None
    return CertificateNames.of(certificate.to_cryptography()).common_name


@pytest.fixture
def copied(certificate_zoo: CertificateZoo, tmp_path: Path) -> Any:
    """Give a way to put a certificate of the zoo where the server looks for one."""

    def put(kind: str, name: str = "own") -> tuple[Path, Path]:
        files, pair = certificate_zoo[kind], (tmp_path / f"{name}.pem", tmp_path / f"{name}.key")
        for source, target in zip((files.chain, files.key), pair, strict=True):
            fresh = tmp_path / "fresh"
            shutil.copy(source, fresh)
            os.replace(fresh, target)
        return pair

    return put


def test_the_name_that_a_client_asks_for(certificate_zoo: CertificateZoo) -> None:
    """Each has its certificate, in any case of letters; the rest get the first."""
    wild, other = certificate_zoo["wildcard"], certificate_zoo["wronghost"]
    own = certificate_zoo["server"]
    tls = ServerTLS(
        own.chain,
        own.key,
        sni={"Other.test": (other.chain, other.key), "*.wild.test": (wild.chain, wild.key)},
    )
    assert shown(tls) == "localhost"
    assert shown(tls, "nobody.test") == "localhost"
    assert shown(tls, "OTHER.test") == "other.test"
    assert shown(tls, "mx.wild.test") == "wild.test"
    assert shown(tls, "wild.test") == "localhost"
    assert shown(tls, "a.b.wild.test") == "localhost"


def test_one_file_for_both(certificate_zoo: CertificateZoo, tmp_path: Path) -> None:
    """Certificate and key, as the default's and as a name's."""
    both = tmp_path / "both.pem"
    files = certificate_zoo["wronghost"]
    both.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())
    assert shown(ServerTLS(both, sni={"x.test": both}), "x.test") == "other.test"


def test_a_renewed_certificate_is_shown_at_once(copied: Any) -> None:
    """From the next handshake on, for a name too; connections that are up are not touched."""
    pair, named = copied("server"), copied("wildcard", "named")
    tls = ServerTLS(*pair, sni={"n.test": named})
    client, server = shake_hands(tls)
    copied("wronghost")
    copied("server", "named")
    assert shown(tls) == "other.test"
    assert shown(tls, "n.test") == "localhost"
    server.send(b"still here")
    client.bio_write(server.bio_read(65536))
    assert client.recv(100) == b"still here"


def test_half_of_a_renewal_leaves_the_old_one(copied: Any, certificate_zoo: CertificateZoo) -> None:
    """A key that does not fit, a file that is gone: the server goes on, then has the new one."""
    certificate, key = copied("server")
    tls = ServerTLS(certificate, key)
    shutil.copy(certificate_zoo["wronghost"].chain, certificate)
    assert shown(tls) == "localhost"
    with pytest.raises(ConfigError, match="does not belong"):
        tls.reload()
    key.unlink()
    assert shown(tls) == "localhost"
    shutil.copy(certificate_zoo["wronghost"].key, key)
    assert shown(tls) == "other.test"


def test_reload_is_all_or_nothing(copied: Any) -> None:
    """One bad file leaves every certificate what it was; what is good is shown all the same."""
    pair, named = copied("server"), copied("wildcard", "named")
    tls = ServerTLS(*pair, sni={"n.test": named})
    context = tls.serverConnectionForTLS(None).get_context()
    named[0].write_text("nothing")
    with pytest.raises(ConfigError):
        tls.reload()
    assert tls.serverConnectionForTLS(None).get_context() is context
    copied("wronghost")
    with pytest.raises(ConfigError):
        tls.reload()
    assert shown(tls) == "other.test"
    copied("wildcard", "named")
    context = tls.serverConnectionForTLS(None).get_context()
    tls.reload()
    assert tls.serverConnectionForTLS(None).get_context() is not context


@pytest.mark.parametrize(
    ("asked", "own", "verified", "up"),
    [
        ("ask", None, False, True),
        ("ask", "client", True, True),
        ("ask", "otherclient", False, False),
        ("require", None, False, False),
        ("require", "client", True, True),
    ],
)
def test_certificates_of_clients(
    certificate_zoo: CertificateZoo, asked: str, own: str | None, verified: bool, up: bool
) -> None:
    """A stranger's ends the handshake; none does where one is required."""
    files = certificate_zoo["server"]
    tls = ServerTLS(
        files.chain, files.key, client_ca_file=certificate_zoo.ca, client_certificates=asked
    )
    mine = None if own is None else certificate_zoo[own]
    if not up:
        with pytest.raises(SSL.Error):
            shake_hands(tls, own=mine)
        return
    _, server = shake_hands(tls, own=mine)
    assert (server.get_verified_chain() is not None) is verified


def test_whom_a_certificate_names(certificate_zoo: CertificateZoo) -> None:
    """Names of subjectAltName by their kinds, the common name, and what is none."""
    files = certificate_zoo["server"]
    tls = ServerTLS(files.chain, files.key, client_ca_file=certificate_zoo.ca)
    _, server = shake_hands(tls, own=certificate_zoo["client"])
    names = CertificateNames.of(server.get_peer_certificate().to_cryptography())
    assert names.emails == ("alice@a.test",)
    assert (names.dns_names, names.uris, names.common_name) == ((), (), "alice@a.test")
    assert len(names.fingerprint) == 64
    bare = certificate_zoo["cnonly"]
    from cryptography.x509 import load_pem_x509_certificate

    found = CertificateNames.of(load_pem_x509_certificate(bare.certificate.read_bytes()))
    assert (found.emails, found.dns_names, found.common_name) == ((), (), "localhost")


@pytest.mark.parametrize(
    "wrong",
    [
        {"minimum_version": "1.0"},
        {"client_certificates": "ask"},
        {"client_certificates": "perhaps", "client_ca_file": "ca"},
        {"client_certificates": "none", "client_ca_file": "ca"},
        {"client_ca_file": "/no/such/file"},
        {"client_ca_file": "key"},
        {"sni": {"a b": "own"}},
        {"sni": {"x.test": "/no/such/file"}},
        {"sni": {"x.test": 5}},
        {"sni": {"x.test": ("a", "b", "c")}},
    ],
    ids=repr,
)
def test_what_contradicts_itself(certificate_zoo: CertificateZoo, wrong: dict[str, Any]) -> None:
    """A ConfigError when it is made, and no server without what was asked for."""
    files = certificate_zoo["server"]
    real = {"ca": certificate_zoo.ca, "key": files.key}
    given = {
        name: real.get(value, value) if isinstance(value, str) else value
        for name, value in wrong.items()
    }
    with pytest.raises(ConfigError):
        ServerTLS(files.chain, files.key, **given)
    with pytest.raises(ConfigError):
        ServerTLS(files.chain, certificate_zoo["client"].key)


def test_nothing_below_the_least_version(certificate_zoo: CertificateZoo) -> None:
    """TLS 1.2 is refused where 1.3 is asked for."""
    files = certificate_zoo["server"]
    tls = ServerTLS(files.chain, files.key, minimum_version="1.3")
    client, _ = shake_hands(tls)
    assert client.get_protocol_version_name() == "TLSv1.3"
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    old, server = SSL.Connection(context, None), tls.serverConnectionForTLS(None)
    old.set_connect_state()
    server.set_accept_state()
    with pytest.raises(SSL.WantReadError):
        old.do_handshake()
    server.bio_write(old.bio_read(65536))
    with pytest.raises(SSL.Error):
        server.do_handshake()
