"""EHLO replies. Each triple: the lines behind the first one, attributes, note."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

EHLO: list[tuple[list[str], dict[str, Any], str]] = [
    ([], {"lines": (), "auth": (), "size": None, "pipelining": False}, "nothing offered"),
    (["PIPELINING", "8BITMIME"], {"pipelining": True, "eight_bit_mime": True}, "usual"),
    (
        ["CHUNKING", "BINARYMIME", "SMTPUTF8", "DSN", "STARTTLS", "REQUIRETLS"],
        {
            "chunking": True,
            "binarymime": True,
            "smtputf8": True,
            "dsn": True,
            "starttls": True,
            "requiretls": True,
            "enhanced_status_codes": False,
        },
        "each keyword is its own attribute",
    ),
    (["enhancedstatuscodes"], {"enhanced_status_codes": True}, "C33: lower case"),
    (["  pipelining  "], {"pipelining": True}, "spaces around"),
    (["AUTH PLAIN LOGIN"], {"auth": ("PLAIN", "LOGIN")}, "mechanisms"),
    (["auth plain"], {"auth": ("PLAIN",)}, "C33: lower case"),
    (["AUTH=LOGIN PLAIN"], {"auth": ("LOGIN", "PLAIN")}, "C33: the old form alone"),
    (
        ["AUTH LOGIN CRAM-MD5", "AUTH=LOGIN PLAIN"],
        {"auth": ("LOGIN", "CRAM-MD5", "PLAIN")},
        "C33: both forms, each mechanism once",
    ),
    (["AUTH\tPLAIN  LOGIN\t"], {"auth": ("PLAIN", "LOGIN")}, "C33: tabs and double spaces"),
    (["AUTH="], {"auth": ()}, "the old form, empty"),
    (["AUTH"], {"auth": ()}, "no mechanism"),
    (
        ["AUTH PLAIN-CLIENTTOKEN XOAUTH2"],
        {"auth": ("PLAIN-CLIENTTOKEN", "XOAUTH2")},
        "a mechanism is a whole word",
    ),
    (["AUTH PLAIN\x00LOGIN (x) ÄUTH LOGIN"], {"auth": ("LOGIN",)}, "garbage is no mechanism"),
    (["X-FOO STARTTLS"], {"starttls": False}, "C35: a parameter is no keyword"),
    (["XSIZE 5", "SIZEABLE"], {"offers_size": False, "size": None}, "C35: matched whole"),
    (["STARTTLS=1"], {"starttls": False}, "C35: no other keyword takes an equals sign"),
    (["", " ", "\t", "=", "!"], {"pipelining": False}, "lines without keyword"),
    (["SIZE 100"], {"offers_size": True, "size": 100}, "a limit"),
    (["SIZE"], {"offers_size": True, "size": None}, "C36: no number: no limit known"),
    (["SIZE 0"], {"offers_size": True, "size": None}, "C36: zero: no limit"),
    (["SIZE abc"], {"offers_size": True, "size": None}, "C36: garbage"),
    (["SIZE -1"], {"offers_size": True, "size": None}, "C36: negative"),
    (["SIZE ١٢"], {"offers_size": True, "size": None}, "digits that are not ASCII"),
    (["SIZE " + "9" * 24], {"offers_size": True, "size": None}, "C36: 24 digits"),
    (["SIZE " + "9" * 20], {"offers_size": True, "size": 10**20 - 1}, "20 digits"),
    (["SIZE " + "9" * 8000], {"offers_size": True, "size": None}, "more digits than int() takes"),
    (["SIZE 5", "SIZE 6"], {"size": 5}, "C36: repeated: the first counts"),
    (
        ["LIMITS RCPTMAX=20 MAILMAX=5 RCPTDOMAINMAX=1"],
        {"rcptmax": 20, "mailmax": 5, "rcptdomainmax": 1},
        "RFC 9422",
    ),
    (
        ["LIMITS rcptmax=999999 FOO=1 MAILMAX"],
        {"rcptmax": 999999, "mailmax": None},
        "any case; unknown ones, and those with another value, are ignored",
    ),
    (
        ["LIMITS RCPTMAX=20 MAILMAX=5;6"],
        {"rcptmax": None, "mailmax": None},
        "RFC 9422 section 3.7: what is no limit at all makes nothing of the line",
    ),
    (["LIMITS RCPTMAX=20 =5"], {"rcptmax": None}, "RFC 9422 section 3.7: no name"),
    (["LIMITS RCPTMAX=20 FOO=a=b"], {"rcptmax": 20}, "RFC 9422 section 3: any value but ;"),
    (
        ["LIMITS RCPTMAX=0 MAILMAX=1000000 RCPTDOMAINMAX=-1"],
        {"rcptmax": None, "mailmax": None, "rcptdomainmax": None},
        "out of range",
    ),
    (["DELIVERBY"], {"deliverby": True, "deliverby_minimum": None}, "RFC 2852, no minimum"),
    (["DELIVERBY 240"], {"deliverby": True, "deliverby_minimum": 240}, "RFC 2852, a minimum"),
    (["DELIVERBY 240,x"], {"deliverby": True, "deliverby_minimum": 240}, "and what is not defined"),
    (["DELIVERBY ,x"], {"deliverby": True, "deliverby_minimum": None}, "an empty minimum"),
    (["DELIVERBY x"], {"deliverby": True, "deliverby_minimum": None}, "garbage"),
    (["MT-PRIORITY"], {"mt_priority": True, "mt_priority_profile": None}, "RFC 6710"),
    (["MT-PRIORITY MIXER"], {"mt_priority": True, "mt_priority_profile": "MIXER"}, "a profile"),
    (
        ["FUTURERELEASE 86400 2030-01-01T00:00:00Z"],
        {
            "futurerelease": True,
            "futurerelease_interval": 86400,
            "futurerelease_until": datetime(2030, 1, 1, tzinfo=UTC),
        },
        "RFC 4865",
    ),
    (
        ["FUTURERELEASE 1 2030-01-01T00:00:00+01:00"],
        {"futurerelease_until": datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
        "another zone",
    ),
    (
        ["FUTURERELEASE x 2030-01-01T00:00:00"],
        {"futurerelease_interval": None, "futurerelease_until": None},
        "garbage, and a time without zone",
    ),
    (["FUTURERELEASE 1 tomorrow"], {"futurerelease_until": None}, "no time at all"),
    (["FUTURERELEASE"], {"futurerelease": True, "futurerelease_until": None}, "no bounds said"),
]
