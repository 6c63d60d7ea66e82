"""Every limit of the wire, with its RFC section and its reason.

RFC 5321 section 4.5.3.1 gives minimums that everybody must accept and asks to go
beyond them where possible; a limit here is what we accept before we call it an
attack. All sizes are octets.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Local part of a mailbox (RFC 5321 section 4.5.3.1.1).
LOCAL_PART = 64

#: Domain, and the argument of EHLO (RFC 5321 section 4.5.3.1.2).
DOMAIN = 255

#: What stands between two dots of a domain (RFC 1035 section 2.3.4).
LABEL = 63

#: Reverse-path or forward-path with its angle brackets (RFC 5321 section
#: 4.5.3.1.3), so that a mailbox may have 254.
PATH = 256

#: One line of a reply with its line end. RFC 5321 section 4.5.3.1.5 says 512; real
#: servers put whole URLs and policies into theirs, and other clients take 8 KiB.
REPLY_LINE = 8192

#: Lines of one reply: an EHLO reply has some thirty, a HELP reply a hundred.
REPLY_LINES = 512

#: One whole reply: what a peer can make us hold before it must have said something.
REPLY_TOTAL = 65536

#: Empty lines in a row between replies, which a few servers emit. They carry
#: nothing, so an unbounded run is a way to keep a client busy.
BLANK_LINES = 16

#: What a RemoteProtocolError keeps of the octets that caused it.
RECEIVED_EXCERPT = 512

#: One command line with its CRLF. RFC 5321 section 4.5.3.1.4 says 512, and each
#: extension adds to it (with DSN it is 1036, RFC 3461 section 5.4); 4 KiB holds their sum.
COMMAND_LINE = 4096

#: One line of an AUTH exchange with its CRLF (RFC 4954 section 4).
AUTHENTICATION_LINE = 12288

#: Value of ENVID, encoded (RFC 3461 section 4.4).
ENVID = 100

#: Value of ORCPT, encoded, with its address type (RFC 3461 section 4.2).
ORCPT = 500

#: Digits of SIZE and of a chunk size (RFC 1870 section 3, RFC 3030 section 2).
SIZE_DIGITS = 20

#: The largest message size a server believes. Twenty digits reach further, but no
#: file or database can hold that.
DECLARED_SIZE = 2**63 - 1

#: Digits of the seconds in BY and HOLDFOR (RFC 2852 section 4, RFC 4865 section 3).
SECONDS_DIGITS = 9

#: The largest number that LIMITS can tell of (RFC 9422 section 4).
TOLD_LIMIT = 999_999

#: Octets of commands that a client leaves unanswered before it waits. RFC 2920 section
#: 3.1 asks for a bound: each reply is about as long as its command, and both must fit
#: into the buffers between the two sides.
COMMANDS_IN_FLIGHT_OCTETS = 65536

#: Recipients that every server takes in one transaction (RFC 5321 section 4.5.3.1.8). A refusal of
#: the next one that says "too many" means just that.
RECIPIENTS_LEAST = 100

#: RCPT commands that a client leaves unanswered. A server that has had enough of them, and of
#: those that come all the same, takes them for an attack and closes: Postfix after 1000 more.
RECIPIENTS_IN_FLIGHT = 1000

#: Challenges of one AUTH exchange; no mechanism in use needs more than four.
SASL_ROUNDS = 8

#: Rounds of the key derivation of SCRAM that a server may ask for. RFC 7677 section 4 wants
#: 4096 at least: fewer, and whoever plays the server guesses passwords cheaply. The most takes
#: a good part of a second, in which a reactor does nothing else.
SCRAM_ITERATIONS_LEAST = 4096
SCRAM_ITERATIONS_MOST = 1_000_000

#: Value of an attribute of XCLIENT or XFORWARD, decoded (Postfix's READMEs of both).
ATTRIBUTE = 255

#: A header of the PROXY protocol: the longest line of version 1 with its CRLF, and in version 2
#: the fixed part with the largest addresses (section 2 of HAProxy's description). Additions
#: (TLV) may take the room that IP addresses leave of it.
PROXY_V1 = 107
PROXY_V2 = 16 + 216

#: How much of a refused value an error message shows, in characters.
SHOWN_VALUE = 80


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    """What a reply may cost before it counts as an attack.

    Attributes:
        line: octets of one line with its line end.
        lines: lines of one reply.
        total: octets of one reply with its line ends.
    """

    line: int = REPLY_LINE
    lines: int = REPLY_LINES
    total: int = REPLY_TOTAL
