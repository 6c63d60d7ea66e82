"""Connection URLs: schemes, both spellings of the options, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from txsmtpconn import ConfigError, Credentials
from txsmtpconn.client.url import options_from_url, read_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mx.test", {"host": "mx.test", "port": 587, "secure": False, "lmtp": False}),
        ("SMTP://MX.test:25/", {"host": "mx.test", "port": 25}),
        ("smtp://mx.test:465", {"port": 465, "secure": False}),
        ("smtps://mx.test", {"port": 465, "secure": True}),
        ("smtps://mx.test:25", {"port": 25, "secure": True}),
        ("smtp://[::1]:2525", {"host": "::1", "port": 2525}),
        ("smtp://[fe80::1%25lo]", {"host": "fe80::1%lo"}),
        ("smtp://b%C3%BCcher.test", {"host": "bücher.test"}),
        ("lmtp://mx.test", {"port": 24, "lmtp": True, "secure": False}),
        ("lmtp+unix:///run/dovecot/lmtp", {"path": "/run/dovecot/lmtp", "lmtp": True}),
        ("lmtp+unix:///tmp/a%20b%3Fc", {"path": "/tmp/a b?c"}),
        ("smtp://u:p@mx.test", {"auth": Credentials("u", "p")}),
        ("smtp://u%40x:p%3A%2F%40%25@mx.test", {"auth": Credentials("u@x", "p:/@%")}),
        ("smtp://u:a:b@mx.test", {"auth": Credentials("u", "a:b")}),
        ("smtp://u@mx.test", {"auth": Credentials("u")}),
        ("smtp://mx.test?require_tls=true", {"require_tls": True}),
        ("smtp://mx.test?requireTLS=true", {"require_tls": True}),
        ("smtp://mx.test?ignoreTLS=1", {"ignore_tls": True}),
        ("smtp://mx.test?connection_timeout=2.5", {"connection_timeout": 2.5}),
        ("smtp://mx.test?connectionTimeout=2500", {"connection_timeout": 2.5}),
        (
            "smtp://mx.test?greetingTimeout=1&socketTimeout=2&dnsTimeout=3",
            {"greeting_timeout": 0.001, "socket_timeout": 0.002, "dns_timeout": 0.003},
        ),
        (
            "smtp://mx.test?name=a.test&localAddress=127.0.0.1",
            {"name": "a.test", "local_address": "127.0.0.1"},
        ),
        ("smtp://mx.test?authMethod=plain", {"auth_method": "PLAIN"}),
        (
            "smtp://u:p@mx.test?authMethod=ntlm",
            {"auth": Credentials("u", "p"), "auth_method": "NTLM"},
        ),
        (
            "smtps://@mx.test?authMethod=EXTERNAL",
            {"auth": Credentials(""), "auth_method": "EXTERNAL"},
        ),
        ("smtp://alice%40A.TEST@mx.test?auth_method=GSSAPI", {"auth": Credentials("alice@A.TEST")}),
        ("smtp://mx.test?tls.servername=a.test", {"servername": "a.test"}),
        (
            "smtp://mx.test?logger=false&debug=false&transactionLog=true",
            {"debug": False, "transaction_log": True},
        ),
        (
            "smtp://mx.test?pipelining=off&chunking=always",
            {"pipelining": "off", "chunking": "always"},
        ),
    ],
)
def test_a_url_stands_for_options(url: str, expected: dict[str, Any]) -> None:
    """In either spelling, percent-decoded, with the units of that spelling."""
    options = options_from_url(url)
    assert {name: getattr(options, name) for name in expected} == expected


def test_tls_options_are_nested() -> None:
    """`tls.x`, in Nodemailer's names and in ours."""
    options = options_from_url(
        "smtps://mx.test?tls.rejectUnauthorized=false&tls.minVersion=TLSv1.3"
    )
    assert options.tls is not None
    assert options.tls.verify is False
    assert options.tls.minimum_version == "1.3"
    options = options_from_url("smtps://mx.test?tls.verify=true&tls.ca_file=%2Fetc%2Fca.pem")
    assert options.tls is not None
    assert options.tls.ca_file == "/etc/ca.pem"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mx.test",
        "http://mx.test",
        "smtp:mx.test",
        "smtp://",
        "smtp:///path",
        "//mx.test",
        "smtp://mx.test:port",
        "smtp://mx.test:99999",
        "smtp://mx.test:0",
        "smtp://[::1",
        "smtp://mx.test/path",
        "smtp://mx.test#x",
        "smtp://mx.test?#",
        "smtp://mx test",
        "smtp://mx.test?a\tb=1",
        "smtp://mx.test?require_tls=true&requireTLS=true",
        "smtp://mx.test?debug=true&debug=true",
        "smtp://mx.test?reqiure_tls=true",
        "smtp://mx.test?Require_TLS=true",
        "smtp://mx.test?require_tls",
        "smtp://mx.test?require_tls=",
        "smtp://mx.test?require_tls=yes",
        "smtp://mx.test?&",
        "smtp://mx.test?=1",
        "smtp://mx.test?host=evil.test",
        "smtp://mx.test?port=26",
        "smtp://mx.test?secure=true",
        "smtp://mx.test?auth=x",
        "smtp://mx.test?user=x",
        "smtp://mx.test?pass=x",
        "smtp://mx.test?path=/x",
        "smtp://mx.test?endpoint=tcp:x",
        "smtp://mx.test?pool=true",
        "smtp://mx.test?tls.ca=x",
        "smtp://mx.test?connectionTimeout=1.5",
        "smtp://mx.test?connectionTimeout=-1",
        "smtp://mx.test?connection_timeout=0",
        "smtp://mx.test?connection_timeout=nan",
        "smtp://mx.test?connection_timeout=x",
        "smtp://mx.test?name=a%0D%0Ab",
        "smtp://mx.test?name=%FF",
        "smtp://mx.test?proxy=ftp://p.test",
        "smtp://mx%0d%0a.test",
        "smtp://%FF@mx.test",
        "lmtp+unix://",
        "lmtp+unix:///",
        "lmtp+unix://host/path",
        "lmtp+unix:///a%00b",
    ],
)
def test_what_is_not_understood_is_refused(url: str) -> None:
    """ECONFIG: nothing is silently ignored, and nothing said twice."""
    with pytest.raises(ConfigError):
        options_from_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "smtp://us3r:s3cr3t@mx.test:port",
        "smtp://us3r:s3cr3t@[::1",
        "smtp://us3r:s3cr3t@mx.test?nonsense=1",
        "xmtp://us3r:s3cr3t@mx.test",
        "smtp://us3r:s3cr3t@mx.test/path",
        "smtp://us3r:s3cr3t%00@mx.test",
        "smtp://us3r:s3cr3t#@mx.test",
        "smtp://us3r:s3cr3t/x@mx.test",
        "smtp://us3r:25?s3cr3t@mx.test",
        "smtp://us3r:25?s3cr3t@mx.test=1",
        "smtp://us3r:s3cr3t%ff@mx.test",
    ],
)
def test_a_complaint_never_repeats_the_password(url: str) -> None:
    """Nor does its chain of causes."""
    with pytest.raises(ConfigError) as caught:
        options_from_url(url)
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cr3t" not in f"{error!s} {error!r}"
        assert error.__cause__ is None
        error = error.__context__


def test_others_may_add_keys_of_their_own() -> None:
    """A transport's options stand in the same query."""
    options = read_url("smtp://mx.test?pool=5", {"pool": ("pool", lambda text, key: int(text))})
    assert options["pool"] == 5
