"""Who a client is: the SASL dialogue, and the question whether to believe it."""

from __future__ import annotations

from txsmtpconn.sasl import Finished
from txsmtpconn.server.hooks import SMTPRejection
from txsmtpconn.session.server import replies


class NotBelieved(SMTPRejection):
    """The credentials are not accepted; the reply is the same whatever the reason."""

    def __init__(self) -> None:
        super().__init__(535, "5.7.8", "Authentication credentials invalid")
        self.reply = replies.AUTH_FAILED


def identity_of(credentials: Finished, answer: object) -> str:
    """Return who the client is, by the answer of an `on_auth` hook.

    Args:
        credentials: What the client claimed.
        answer: None or True believes it; a text does too, and names the identity. False does not.

    Raises:
        NotBelieved: The hook said no; or it said yes without naming an identity although the
            client wants to act as someone else (RFC 4422 section 3.4.1), of which a hook that
            looks at user and password only knows nothing; or although the credentials name nobody:
            whose a token or a certificate is, only the hook can tell.
    """
    if isinstance(answer, str) and answer:
        return answer
    if answer is not None and answer is not True:
        raise NotBelieved
    if credentials.authzid not in ("", credentials.authcid) or not credentials.authcid:
        raise NotBelieved
    return credentials.authcid
