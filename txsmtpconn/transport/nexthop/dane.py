"""DANE for SMTP (RFC 7672): what TLSA records make of the check of a server.

Records of usage 3 name the server's certificate or key itself: then nothing else in it matters, nor
its names nor its dates. Those of usage 2 name an authority in the chain that the server shows: then
the chain must be good, and the certificate must have the server's name. Usages 0 and 1 are not for
SMTP, and count as unusable (RFC 7672 section 3.1.3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL, crypto

from txsmtpconn.net.identity import (
    EXPIRED,
    HOST_MISMATCH,
    NOT_TRUSTED,
    leaf_of,
    names_one_of,
    public_key_of,
    refusal,
)
from txsmtpconn.net.openssl import HAS_EXPIRED
from txsmtpconn.transport.nexthop.records import TLSA

_AUTHORITY, _END_ENTITY = 2, 3
_CERTIFICATE, _KEY = 0, 1
_FULL = 0

#: Matching type -> its algorithm, weakest first (RFC 7671 section 9), and its octets.
_DIGESTS = {1: ("sha256", 32), 2: ("sha512", 64)}


def usable(records: Iterable[TLSA]) -> tuple[TLSA, ...]:
    """Return the records that a check can be made of.

    Of the digests for one usage and selector only the strongest remain: a record that is there for
    the sake of old clients must not be the weakest link (RFC 7671 section 9).
    """
    good = [record for record in records if _is_usable(record)]
    strongest: dict[tuple[int, int], int] = {}
    for record in good:
        kind = (record.usage, record.selector)
        strongest[kind] = max(strongest.get(kind, _FULL), record.matching)
    return tuple(
        sorted(
            record
            for record in set(good)
            if record.matching in (_FULL, strongest[record.usage, record.selector])
        )
    )


def _is_usable(record: TLSA) -> bool:
    if record.usage not in (_AUTHORITY, _END_ENTITY) or record.selector not in (_CERTIFICATE, _KEY):
        return False
    if record.matching != _FULL:
        digest = _DIGESTS.get(record.matching)
        return digest is not None and len(record.data) == digest[1]
    try:
        if record.selector == _CERTIFICATE:
            x509.load_der_x509_certificate(record.data)
        else:
            load_der_public_key(record.data)
    except Exception:  # noqa: BLE001 - what is no certificate can fail in many ways
        return False
    return True


class Dane:
    """The peer is the one that these records name: a `PeerCheck`.

    Args:
        records: Usable ones.
        names: For usage 2, those of which the certificate must have one (RFC 7672 section 3.2.2);
            a server's own is among them.
    """

    uses_authorities = False

    def __init__(self, records: Sequence[TLSA], names: Sequence[str]) -> None:
        self.records = tuple(records)
        self.names = tuple(names)

    def __repr__(self) -> str:
        return f"Dane({len(self.records)} records, names={list(self.names)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dane):
            return False
        return (self.records, self.names) == (other.records, other.names)

    def __hash__(self) -> int:
        return hash((self.records, self.names))

    def check(self, connection: SSL.Connection, name: str) -> None:
        leaf = leaf_of(connection)
        if any(record.usage == _END_ENTITY and _matches(record, leaf) for record in self.records):
            return
        shown = [each.to_cryptography() for each in connection.get_peer_cert_chain() or ()]
        anchors = self._anchors(shown[1:])
        if not anchors:
            raise refusal(f"no TLSA record of {name} matches its certificate", NOT_TRUSTED)
        _check_chain(leaf, shown[1:], anchors, name)
        if not names_one_of(leaf, self.names):
            raise refusal(f"the certificate does not name {' or '.join(self.names)}", HOST_MISMATCH)

    def _anchors(self, issuers: Sequence[x509.Certificate]) -> list[x509.Certificate]:
        """Return the authorities that a record of usage 2 names."""
        found = []
        for record in self.records:
            if record.usage != _AUTHORITY:
                continue
            found += [issuer for issuer in issuers if _matches(record, issuer)]
            if (record.selector, record.matching) == (_CERTIFICATE, _FULL):
                # It is all there, whether the server shows it or not (RFC 7671 section 5.2.3).
                found.append(x509.load_der_x509_certificate(record.data))
        return found


def _matches(record: TLSA, certificate: x509.Certificate) -> bool:
    if record.selector == _CERTIFICATE:
        octets = certificate.public_bytes(Encoding.DER)
    else:
        octets = public_key_of(certificate)
    if record.matching == _FULL:
        return octets == record.data
    return hashlib.new(_DIGESTS[record.matching][0], octets).digest() == record.data


def _check_chain(
    leaf: x509.Certificate,
    issuers: Sequence[x509.Certificate],
    anchors: Iterable[x509.Certificate],
    name: str,
) -> None:
    """Check that a chain leads from a server's certificate to one of the anchors."""
    store = crypto.X509Store()
    # An anchor need not be self-signed: who names it vouches for it (RFC 7671 section 5.2.2).
    store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    for anchor in anchors:
        store.add_cert(crypto.X509.from_cryptography(anchor))
    context = crypto.X509StoreContext(
        store,
        crypto.X509.from_cryptography(leaf),
        [crypto.X509.from_cryptography(issuer) for issuer in issuers],
    )
    try:
        context.verify_certificate()
    except crypto.X509StoreContextError as reason:
        kind = EXPIRED if reason.errors[0] == HAS_EXPIRED else NOT_TRUSTED
        raise refusal(f"the chain of {name} is not good: {reason.errors[2]}", kind) from reason
    if not _is_for_servers(leaf):
        raise refusal(f"the certificate of {name} is not for servers", NOT_TRUSTED)


def _is_for_servers(leaf: x509.Certificate) -> bool:
    try:
        usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    allowed = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    return any(usage in allowed for usage in usages)
