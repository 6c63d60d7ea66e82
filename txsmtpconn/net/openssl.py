"""What OpenSSL says went wrong, as a sentence."""

from __future__ import annotations

from OpenSSL import SSL
from service_identity import VerificationError


def is_of_tls(reason: BaseException | None) -> bool:
    """Tell whether a connection was lost because of TLS."""
    return isinstance(reason, (SSL.Error, VerificationError))


def told_by_openssl(reason: BaseException) -> str:
    """Return the sentence in an OpenSSL error, which is a list of triples."""
    if isinstance(reason, VerificationError):
        return "the server's certificate names another server"
    entries = reason.args[0] if reason.args and isinstance(reason.args[0], (list, tuple)) else ()
    told = "; ".join(str(entry[-1]) for entry in entries if isinstance(entry, tuple) and entry)
    return f"TLS failed: {told or type(reason).__name__}"
