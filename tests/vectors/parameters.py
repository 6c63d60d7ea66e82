"""Parameters of MAIL and RCPT.

Taken: octets behind the path, value, note. Refused: octets, reply code, status, note.
"""

from __future__ import annotations

from txsmtpconn.wire.parameters import DeliverBy, MailParameters, RcptParameters

#: As a client writes them; a server reads back the same value.
MAIL: list[tuple[bytes, MailParameters, str]] = [
    (b"", MailParameters(), "none"),
    (b" SIZE=0", MailParameters(size=0), "zero octets"),
    (b" SIZE=9223372036854775807", MailParameters(size=2**63 - 1), "the largest we believe"),
    (b" BODY=7BIT", MailParameters(body="7BIT"), "RFC 6152"),
    (b" BODY=8BITMIME", MailParameters(body="8BITMIME"), "RFC 6152"),
    (b" BODY=BINARYMIME", MailParameters(body="BINARYMIME"), "RFC 3030"),
    (b" SMTPUTF8", MailParameters(smtputf8=True), "RFC 6531"),
    (b" RET=FULL", MailParameters(ret="FULL"), "RFC 3461"),
    (b" RET=HDRS", MailParameters(ret="HDRS"), "RFC 3461"),
    (b" ENVID=QQ314159", MailParameters(envid="QQ314159"), "RFC 3461"),
    (b" ENVID=a+20b+2Bc+3Dd", MailParameters(envid="a b+c=d"), "A4: encoded as xtext"),
    (b" ENVID=" + b"x" * 100, MailParameters(envid="x" * 100), "A4: the longest"),
    (b" REQUIRETLS", MailParameters(requiretls=True), "RFC 8689"),
    (b" AUTH=<>", MailParameters(auth=""), "RFC 4954: nobody known"),
    (b" AUTH=e+3Dmc2@example.com", MailParameters(auth="e=mc2@example.com"), "RFC 4954"),
    (b' AUTH="a+20b"@x', MailParameters(auth='"a b"@x'), "a quoted local part"),
    (b" SMTPUTF8 AUTH=+C3+BC@x", MailParameters(smtputf8=True, auth="ü@x"), "UTF-8 as xtext"),
    (b" BY=120;R", MailParameters(deliver_by=DeliverBy(120, "R")), "RFC 2852"),
    (b" BY=-120;NT", MailParameters(deliver_by=DeliverBy(-120, "N", True)), "RFC 2852"),
    (b" BY=999999999;N", MailParameters(deliver_by=DeliverBy(999999999, "N")), "nine digits"),
    (b" MT-PRIORITY=-9", MailParameters(mt_priority=-9), "RFC 6710"),
    (b" MT-PRIORITY=0", MailParameters(mt_priority=0), "zero is a priority"),
    (b" HOLDFOR=3600", MailParameters(hold_for=3600), "RFC 4865"),
    (
        b" HOLDUNTIL=2030-12-31T23:59:59Z",
        MailParameters(hold_until="2030-12-31T23:59:59Z"),
        "RFC 4865",
    ),
    (
        (
            b" SMTPUTF8 BODY=8BITMIME SIZE=10 RET=HDRS ENVID=x REQUIRETLS AUTH=<> BY=1;R"
            b" MT-PRIORITY=3 HOLDFOR=1"
        ),
        MailParameters(
            size=10,
            body="8BITMIME",
            smtputf8=True,
            ret="HDRS",
            envid="x",
            auth="",
            requiretls=True,
            deliver_by=DeliverBy(1, "R"),
            mt_priority=3,
            hold_for=1,
        ),
        "all, in our order",
    ),
]

#: As others may write them.
MAIL_READ: list[tuple[bytes, MailParameters, str]] = [
    (b" size=010 body=8bitmime", MailParameters(size=10, body="8BITMIME"), "any case, zeros"),
    (b" smtputf8 ret=hdrs", MailParameters(smtputf8=True, ret="HDRS"), "any case"),
    (b"  SIZE=1   SMTPUTF8 ", MailParameters(size=1, smtputf8=True), "several spaces"),
    (b" ENVID=a+2bb", MailParameters(envid="a+b"), "xtext in lower case"),
    (b" BY=+5;rt", MailParameters(deliver_by=DeliverBy(5, "R", True)), "a sign, lower case"),
    (b" MT-PRIORITY=+4", MailParameters(mt_priority=4), "a sign"),
    (
        b" HOLDUNTIL=2030-01-01t00:00:00.5+01:00",
        MailParameters(hold_until="2030-01-01T00:00:00.5+01:00"),
        "a fraction, a zone, lower case",
    ),
]

MAIL_REFUSED: list[tuple[bytes, int, str, str]] = [
    (b" FOO=bar", 555, "5.5.4", "S11: unknown"),
    (b" FOO", 555, "5.5.4", "S11: unknown, without value"),
    (b" XSIZE=1", 555, "5.5.4", "unknown: matched whole"),
    (b" NOTIFY=NEVER", 555, "5.5.4", "a parameter of RCPT"),
    (b" SIZE=1 SIZE=2", 501, "5.5.4", "S11: repeated"),
    (b" SIZE=1 size=1", 501, "5.5.4", "repeated in another case"),
    (b" SMTPUTF8 SMTPUTF8", 501, "5.5.4", "repeated"),
    (b" SIZE=", 501, "5.5.4", "S11: no value"),
    (b" SIZE", 501, "5.5.4", "smtp-server 3.18.3: neither"),
    (b" BODY", 501, "5.5.4", "smtp-server 3.18.3"),
    (b" =1", 501, "5.5.4", "no keyword"),
    (b" -X=1", 501, "5.5.4", "a hyphen first"),
    (b" SIZE=1=2", 501, "5.5.4", "an equals sign in the value"),
    (b" SIZE=-1", 501, "5.5.4", "S11"),
    (b" SIZE=abc", 501, "5.5.4", "S11"),
    (b" SIZE=1.5", 501, "5.5.4", "GHSA-c7w3-x93f-qmm8"),
    (b" SIZE=Infinity", 501, "5.5.4", "GHSA-c7w3-x93f-qmm8"),
    (b" SIZE=0x10", 501, "5.5.4", "hexadecimal"),
    (b" SIZE=1_0", 501, "5.5.4", "what only Python takes for a number"),
    (" SIZE=１".encode(), 501, "5.5.4", "digits that are not ASCII"),
    (b" SIZE=9223372036854775808", 552, "5.3.4", "beyond what we believe"),
    (b" SIZE=99999999999999999999", 552, "5.3.4", "S11"),
    (b" SIZE=" + b"9" * 4000, 552, "5.3.4", "more digits than int() takes"),
    (b"SIZE=1", 501, "5.5.4", "no space behind the path"),
    (b"> AUTH=<x", 501, "5.5.4", "CVE-2026-53533"),
    (b" BODY=9BIT", 501, "5.5.4", "unknown body"),
    (b" SMTPUTF8=1", 501, "5.5.4", "a value where none may be"),
    (b" REQUIRETLS=yes", 501, "5.5.4", "a value where none may be"),
    (b" RET=x", 501, "5.5.4", "S36"),
    (b" RET=BODY", 501, "5.5.4", "A5"),
    (b" ENVID=ab+0D+0Acd", 501, "5.5.4", "S36: CRLF in xtext"),
    (b" ENVID=a+00", 501, "5.5.4", "NUL in xtext"),
    (b" ENVID=a+09b", 501, "5.5.4", "TAB in xtext"),
    (b" ENVID=a+C3+BC", 501, "5.5.4", "8-bit in xtext"),
    (b" ENVID=a+", 501, "5.5.4", "xtext cut off"),
    (b" ENVID=a+G0", 501, "5.5.4", "no hexadecimal digit"),
    (" ENVID=ü".encode(), 501, "5.5.4", "8-bit, raw"),
    (b" ENVID=" + b"x" * 101, 501, "5.5.4", "A4: 101 octets"),
    (b" ENVID=" + b"+61" * 34, 501, "5.5.4", "A4: 102 octets, though 34 decoded"),
    (b" ENVID=\xff", 501, "5.5.4", "not UTF-8"),
    (b" AUTH=x", 501, "5.5.4", "no mailbox"),
    (b" AUTH=a@b+0D+0AX:@c", 501, "5.5.4", "CVE-2020-28015: a newline in AUTH="),
    (b" AUTH=+FF@x", 501, "5.5.4", "not UTF-8 in xtext"),
    (" AUTH=ü@x".encode(), 501, "5.5.4", "8-bit, raw"),
    (b" AUTH=+C3+BC@x", 501, "5.5.4", "UTF-8 without SMTPUTF8"),
    (b" AUTH=a+", 501, "5.5.4", "no xtext"),
    (b" BY=0;R", 501, "5.5.4", "RFC 2852: no time to deliver in"),
    (b" BY=5", 501, "5.5.4", "no mode"),
    (b" BY=5;X", 501, "5.5.4", "no such mode"),
    (b" BY=5;RX", 501, "5.5.4", "something behind"),
    (b" BY=1234567890;R", 501, "5.5.4", "ten digits"),
    (b" MT-PRIORITY=10", 501, "5.5.4", "two digits"),
    (b" MT-PRIORITY=x", 501, "5.5.4", "no number"),
    (b" HOLDFOR=0", 501, "5.5.4", "nothing to hold for"),
    (b" HOLDFOR=-1", 501, "5.5.4", "negative"),
    (b" HOLDFOR=1234567890", 501, "5.5.4", "ten digits"),
    (b" HOLDFOR=1 HOLDUNTIL=2030-01-01T00:00:00Z", 501, "5.5.4", "both"),
    (b" HOLDUNTIL=tomorrow", 501, "5.5.4", "no time"),
    (b" HOLDUNTIL=2030-01-01T00:00:00", 501, "5.5.4", "no zone"),
    (b" HOLDUNTIL=2030-13-01T00:00:00Z", 501, "5.5.4", "no such month"),
    (b" HOLDUNTIL=20300101T000000Z", 501, "5.5.4", "ISO 8601 but not RFC 3339"),
    (b" \x01=1", 501, "5.5.4", "a control character"),
]

#: Octets, value, note; both ways.
RCPT: list[tuple[bytes, RcptParameters, str]] = [
    (b"", RcptParameters(), "none"),
    (b" NOTIFY=NEVER", RcptParameters(("NEVER",)), "RFC 3461"),
    (b" NOTIFY=SUCCESS,DELAY", RcptParameters(("SUCCESS", "DELAY")), "in the caller's order"),
    (b" ORCPT=rfc822;a@b", RcptParameters(orcpt="rfc822;a@b"), "RFC 3461"),
    (b" ORCPT=rfc822;a+2Bb@c", RcptParameters(orcpt="rfc822;a+b@c"), "A4: encoded as xtext"),
    (b" ORCPT=X-a;b+20c", RcptParameters(orcpt="X-a;b c"), "another type, a space"),
    (
        b" NOTIFY=FAILURE ORCPT=utf-8;\\x{FC}@b\\x{FC}cher.test",
        RcptParameters(("FAILURE",), "utf-8;ü@bücher.test"),
        "RFC 6533",
    ),
    (
        b" ORCPT=utf-8;a\\x{2B}b\\x{3D}c\\x{5C}\\x{20}d\\x{1F600}@x",
        RcptParameters(orcpt="utf-8;a+b=c\\ d\U0001f600@x"),
        "RFC 6533: what is no QCHAR",
    ),
    (b" ORCPT=rfc822;" + b"x" * 493, RcptParameters(orcpt="rfc822;" + "x" * 493), "A4: 500 octets"),
]

RCPT_READ: list[tuple[bytes, RcptParameters, str]] = [
    (b" notify=never", RcptParameters(("NEVER",)), "any case"),
    (" ORCPT=UTF-8;ü@x".encode(), RcptParameters(orcpt="UTF-8;ü@x"), "RFC 6533: unitext"),
    (b" ORCPT=utf-8;\\x{fc}@x", RcptParameters(orcpt="utf-8;ü@x"), "lower case"),
]

RCPT_REFUSED: list[tuple[bytes, int, str, str]] = [
    (b" SIZE=1", 555, "5.5.4", "a parameter of MAIL"),
    (b" NOTIFY=NEVER,SUCCESS", 501, "5.5.4", "S36"),
    (b" NOTIFY=SUCCESS,SUCCESS", 501, "5.5.4", "repeated"),
    (b" NOTIFY=", 501, "5.5.4", "no value"),
    (b" NOTIFY=,", 501, "5.5.4", "empty words"),
    (b" NOTIFY=ALWAYS", 501, "5.5.4", "unknown"),
    (b" NOTIFY=NEVER NOTIFY=NEVER", 501, "5.5.4", "repeated"),
    (b" ORCPT=rfc822", 501, "5.5.4", "S36: no semicolon"),
    (b" ORCPT=rfc822;", 501, "5.5.4", "no address"),
    (b" ORCPT=;a@b", 501, "5.5.4", "no type"),
    (b" ORCPT=rfc@822;a@b", 501, "5.5.4", "a type that is no atom"),
    (b" ORCPT=rfc822;a+0D+0Ab@c", 501, "5.5.4", "CRLF in xtext"),
    (b" ORCPT=rfc822;a+C3+BC@c", 501, "5.5.4", "8-bit in xtext of an ASCII type"),
    (b" ORCPT=rfc822;a+@c", 501, "5.5.4", "no xtext"),
    (" ORCPT=rfc822;ü@c".encode(), 501, "5.5.4", "raw UTF-8 of an ASCII type"),
    (b" ORCPT=utf-8;a\\x{0D}\\x{0A}@c", 501, "5.5.4", "CRLF in RFC 6533"),
    (b" ORCPT=utf-8;a\\x{200B}@c", 501, "5.5.4", "an invisible character in RFC 6533"),
    (b" ORCPT=utf-8;a\\x{D800}@c", 501, "5.5.4", "a surrogate"),
    (b" ORCPT=utf-8;a\\x{110000}@c", 501, "5.5.4", "beyond Unicode"),
    (b" ORCPT=utf-8;a\\x{}@c", 501, "5.5.4", "no digits"),
    (b" ORCPT=utf-8;a\\@c", 501, "5.5.4", "a backslash alone"),
    (b" ORCPT=utf-8;a+2B@c", 501, "5.5.4", "xtext where it is not the encoding"),
    (b" ORCPT=rfc822;" + b"x" * 494, 501, "5.5.4", "A4: 501 octets"),
    (b" ORCPT=\xff;a", 501, "5.5.4", "not UTF-8"),
]
