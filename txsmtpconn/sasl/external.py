"""EXTERNAL: the TLS connection has said already who the client is (RFC 4422 appendix A)."""

from __future__ import annotations

from txsmtpconn.sasl.mechanism import IN_CLEAR, Channel, Finished, NotProved, claimed, credential
from txsmtpconn.sasl.single import SingleResponseClient, SingleResponseServer


class ExternalClient(SingleResponseClient):
    """The client's side of EXTERNAL.

    Args:
        user: Whom to act as; empty for whoever the certificate names.
        authzid: Whom to act as, where it is not `user`.

    Raises:
        LocalProtocolError: The name holds a control character.
    """

    name = "EXTERNAL"

    def __init__(self, user: str = "", authzid: str = "") -> None:
        identity = authzid or user
        super().__init__(credential(identity, "user name") if identity else b"")


class ExternalServer(SingleResponseServer):
    """The server's side of EXTERNAL. Whom the certificate names, the application finds out.

    Args:
        channel: Tells whether the client has shown a certificate.
    """

    name = "EXTERNAL"

    def __init__(self, channel: Channel = IN_CLEAR) -> None:
        super().__init__()
        self._shown = channel.certificate

    def _take(self, response: bytes) -> Finished:
        if not self._shown:
            raise NotProved("the client has shown no certificate")
        identity = claimed(response, "authorization identity")
        return Finished("", identity, mechanism=self.name)
