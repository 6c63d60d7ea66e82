"""What OpenSSL says went wrong, as a sentence."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from OpenSSL import SSL
from service_identity import VerificationError

HAS_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_IN_WORDS = {
    9: "it is not valid yet",
    HAS_EXPIRED: "it has expired",
    18: "it is self-signed",
    19: "an authority that is not trusted is in its chain",
    20: "its issuer is not known",
    26: "it is not for servers",
    66: "its key is too weak",
    68: "its signature is too weak",
}

#: By connection: the first fault that OpenSSL found, or 0 once it has come down to the leaf.
_chain_faults: WeakKeyDictionary[SSL.Connection, int] = WeakKeyDictionary()


def note_chain_fault(connection: SSL.Connection, code: int) -> None:
    """Take note of OpenSSL's code for what is wrong with the peer's chain; the first one counts."""
    _chain_faults.setdefault(connection, code)


def chain_fault(connection: SSL.Connection) -> int | None:
    """Return OpenSSL's code for what is wrong with the peer's chain, 0 if nothing is.

    None where nobody has looked: the check did not want authorities, or there is no certificate.
    """
    return _chain_faults.get(connection)


def in_words(code: int | None) -> str:
    """Say what is wrong with a certificate, by OpenSSL's code for it."""
    return _IN_WORDS.get(code or 0, "its chain is not good")


def is_of_tls(reason: BaseException | None) -> bool:
    """Tell whether a connection was lost because of TLS."""
    return isinstance(reason, (SSL.Error, VerificationError))


def told_by_openssl(reason: BaseException, transport: Any) -> str:
    """Return the sentence in an OpenSSL error, which is a list of triples.

    Args:
        reason: The error.
        transport: That of the connection that was lost; it may know what is wrong with the peer's
            certificate.
    """
    if isinstance(reason, VerificationError):
        return "the server's certificate names another server"
    entries = reason.args[0] if reason.args and isinstance(reason.args[0], (list, tuple)) else ()
    told = "; ".join(str(entry[-1]) for entry in entries if isinstance(entry, tuple) and entry)
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    fault = chain_fault(handle) if isinstance(handle, SSL.Connection) else None
    why = f" ({in_words(fault)})" if fault else ""
    return f"TLS failed: {told or type(reason).__name__}{why}"
