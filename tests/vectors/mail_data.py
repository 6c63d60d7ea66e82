"""Mail data. Triples of the octets behind 354, the message in canonical form, note."""

from __future__ import annotations

#: What a client writes, the canonical message, note.
MAIL_DATA: list[tuple[bytes, bytes, str]] = [
    (b".\r\n", b"", "A16: an empty message"),
    (b"a\r\n.\r\n", b"a\r\n", "one line"),
    (b"\r\n.\r\n", b"\r\n", "A16: one empty line"),
    (b"\r\n\r\n.\r\n", b"\r\n\r\n", "two empty lines"),
    (b"..\r\n.\r\n", b".\r\n", "A16: a dot alone"),
    (b"...\r\n.\r\n", b"..\r\n", "two dots"),
    (b"a\r\n..\r\n.\r\n", b"a\r\n.\r\n", "a dot alone on the second line"),
    (b"a\r\n..b\r\n..c\r\n.\r\n", b"a\r\n.b\r\n.c\r\n", "dots on lines in a row"),
    (b"..\r\n..\r\n..\r\n.\r\n", b".\r\n.\r\n.\r\n", "nothing but dots"),
    (b"a.b.\r\n.\r\n", b"a.b.\r\n", "dots elsewhere"),
    (b" .\r\n.\r\n", b" .\r\n", "a dot behind a space"),
    (b"\0\xff\x1a\r\n.\r\n", b"\0\xff\x1a\r\n", "A20: any octet"),
    (
        b"a\r\n..\r\nMAIL FROM:<evil@e.test>\r\n.\r\n",
        b"a\r\n.\r\nMAIL FROM:<evil@e.test>\r\n",
        "A18: an end mark in the message",
    ),
]

#: A message as given, its canonical form, note.
LINE_ENDS: list[tuple[bytes, bytes, str]] = [
    (b"", b"", "nothing"),
    (b"a", b"a", "no line end"),
    (b"a\r\nb\r\n", b"a\r\nb\r\n", "canonical"),
    (b"a\nb\n", b"a\r\nb\r\n", "A17: bare LF"),
    (b"a\rb\r", b"a\r\nb\r\n", "A17: bare CR"),
    (b"\r\r\n", b"\r\n\r\n", "A17: CR CR LF are two line ends"),
    (b"\n\r", b"\r\n\r\n", "A17: LF CR are two line ends"),
    (b"\n\r\n", b"\r\n\r\n", "LF CRLF"),
    (b"\r\n\r", b"\r\n\r\n", "CRLF CR"),
    (b"a\nb\rc\r\nd", b"a\r\nb\r\nc\r\nd", "A17: mixed"),
    (b"\r" * 5, b"\r\n" * 5, "nothing but CR"),
    (b"\n" * 5, b"\r\n" * 5, "nothing but LF"),
    (b"\n.\r\nMAIL FROM:<evil>", b"\r\n.\r\nMAIL FROM:<evil>", "A18"),
    (b"\r.\r\nMAIL FROM:<evil>", b"\r\n.\r\nMAIL FROM:<evil>", "A18"),
    (b"a\x85b\x0b\x0c\x1c", b"a\x85b\x0b\x0c\x1c", "what only str.splitlines takes for line ends"),
]

_ENDS = (b"\r\n", b"\n", b"\r", b"\0")

#: Sequences that are not the end of mail data, what is left of them once dots are removed,
#: whether a bare CR, whether a bare LF is in them (S1).
SMUGGLING: list[tuple[bytes, bytes, bool, bool]] = [
    (b"\n.\n", b"\n.\n", False, True),
    (b"\n.\r\n", b"\n.\r\n", False, True),
    (b"\r\n.\n", b"\r\n\n", False, True),
    (b"\n\n.\r\n", b"\n\n.\r\n", False, True),
    (b"\r\n.\r\r\n", b"\r\n\r\r\n", True, False),
    (b"\r\r\n.\r\r\n", b"\r\r\n\r\r\n", True, False),
    (b"\n.\r", b"\n.\r", True, True),
    (b"\r.\n", b"\r.\n", True, True),
    (b"\r.\r", b"\r.\r", True, False),
    (b"\r.\r\n", b"\r.\r\n", True, False),
    (b"\r\n.\r", b"\r\n\r", True, False),
    (b"\r\n\0.\r\n", b"\r\n\0.\r\n", False, False),
    (b"\r\n.\0\r\n", b"\r\n\0\r\n", False, False),
    (b"\r\n. \r\n", b"\r\n \r\n", False, False),
    (b"\r\n.\t\r\n", b"\r\n\t\r\n", False, False),
    (b"\r\n.\v\r\n", b"\r\n\v\r\n", False, False),
    (b"\xc2\x85.\xc2\x85", b"\xc2\x85.\xc2\x85", False, False),
    (b"\x1a\r\n", b"\x1a\r\n", False, False),
    (b"\r\n..\r\n", b"\r\n.\r\n", False, False),
]

#: Whatever could be taken for the end of mail data, and is not: the sequences above, and each of
#: CRLF, LF, CR and NUL on either side of a dot (F32).
PRETENDERS: list[bytes] = sorted(
    {sequence for sequence, *_ in SMUGGLING}
    | {before + b"." + behind for before in _ENDS for behind in _ENDS} - {b"\r\n.\r\n"}
    | {
        before + b"." + b"\r\n"
        for before in (b"\r", b"\n\n", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8")
    }
)

#: What a smuggler has behind them: the commands of another message.
SMUGGLED = b"mail FROM:<smug@x.test>\r\nrcpt TO:<victim@y.test>\r\ndata\r\nsmuggled\r\n.\r\n"
