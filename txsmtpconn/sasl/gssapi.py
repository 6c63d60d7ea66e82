"""GSSAPI: a Kerberos ticket instead of a password (RFC 4752).

The exchange itself is the work of the system's Kerberos, by python-gssapi (the extra ``gssapi``).
What SASL puts behind it is here: the server says which protection it would lay over the connection,
and we choose none, as TLS is there.

The ticket is the one that this process has (``kinit``, a keytab by ``KRB5_CLIENT_KTNAME``). To get
one for the mail server, the library may ask the Kerberos servers, and wait for them: a step of this
mechanism may block.
"""

from __future__ import annotations

from typing import Any

from txsmtpconn.sasl.mechanism import IN_CLEAR, Channel, LibraryMissing, SASLError, credential
from txsmtpconn.wire.errors import LocalProtocolError

#: Section 3.1: the bit of a server that needs no protection on top, and our choice of it.
_NO_LAYER = 1
_OFFER_OCTETS = 4


class GSSAPIClient:
    """The client's side of GSSAPI.

    Args:
        user: Whose ticket to use, where the process has several; empty for its own.
        authzid: Whom to act as, where that is not the ticket's owner.
        channel: Tells the server's name, which is part of the Kerberos name ``smtp@host``.

    Raises:
        LibraryMissing: python-gssapi is not installed.
        LocalProtocolError: There is no ticket of that name, or a name holds a control character.
    """

    name = "GSSAPI"
    failure = None

    def __init__(self, user: str = "", authzid: str = "", channel: Channel = IN_CLEAR) -> None:
        gssapi = self._gssapi = _library()
        self._authzid = credential(authzid, "authorization identity") if authzid else b""
        if user:
            credential(user, "user name")
        try:
            self._context = self._make_context(user, channel.host)
        except gssapi.exceptions.GSSError as reason:
            raise LocalProtocolError(f"Kerberos has nothing to log in with: {reason}") from None
        self._begun = False
        self._established = False
        self.done = False

    def _make_context(self, user: str, host: str) -> Any:
        gssapi = self._gssapi
        kind, kerberos = gssapi.NameType, gssapi.MechType.kerberos
        mine = None
        if user:
            owner = gssapi.Name(user, kind.kerberos_principal)
            mine = gssapi.Credentials(name=owner, mechs=[kerberos], usage="initiate")
        flags = gssapi.RequirementFlag
        return gssapi.SecurityContext(
            name=gssapi.Name(f"smtp@{host}", kind.hostbased_service),
            creds=mine,
            mech=kerberos,
            # Section 3.1: what protects the choice of a layer.
            flags=flags.mutual_authentication | flags.integrity | flags.out_of_sequence_detection,
            usage="initiate",
        )

    def initial(self) -> bytes:
        """Show the ticket; the Kerberos servers may be asked for it now.

        Raises:
            LocalProtocolError: There is none for this server.
        """
        self._begun = True
        try:
            return self._advance(None)
        except SASLError as reason:
            raise LocalProtocolError(str(reason)) from None

    def step(self, challenge: bytes) -> bytes:
        """Go on until both sides are known to each other, then choose no layer."""
        if self.done:
            raise SASLError("the server wants more than GSSAPI has to say")
        if not self._begun:
            if challenge:
                raise SASLError("the server's challenge is not empty, as GSSAPI's first is")
            self._begun = True
            return self._advance(None)
        return self._choose_layer(challenge) if self._established else self._advance(challenge)

    def _advance(self, challenge: bytes | None) -> bytes:
        context = self._context
        try:
            token = context.step(challenge)
        except self._gssapi.exceptions.GSSError as reason:
            raise SASLError(f"Kerberos refuses: {reason}") from None
        if context.complete:
            flags = self._gssapi.RequirementFlag
            if not (
                context.actual_flags & flags.mutual_authentication
                and context.actual_flags & flags.integrity
            ):
                raise SASLError("the server has not proved itself")
            self._established = True
        return bytes(token or b"")

    def _choose_layer(self, challenge: bytes) -> bytes:
        try:
            offer = self._context.unwrap(challenge).message
            if len(offer) != _OFFER_OCTETS or not offer[0] & _NO_LAYER:
                raise SASLError("the server wants a protection of its own, and we have TLS")
            choice = bytes([_NO_LAYER, 0, 0, 0]) + self._authzid
            wrapped = self._context.wrap(choice, False).message
        except self._gssapi.exceptions.GSSError as reason:
            raise SASLError(f"Kerberos refuses: {reason}") from None
        self.done = True
        return bytes(wrapped)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'done' if self.done else 'waiting'}>"


def _library() -> Any:
    try:
        import gssapi
    except ImportError:
        raise LibraryMissing("GSSAPI needs python-gssapi: install txsmtpconn[gssapi]") from None
    return gssapi
