"""What a transport was told: by a URL, by options, by the name of a service.

A transport has the options of its connections, those of its pool, and a few of its own. A URL holds
all of them in one query; Nodemailer's names are taken with their units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from txsmtpconn.client.options import ConnectionOptions, make_options
from txsmtpconn.client.query import Reader, count, flag, milliseconds, seconds
from txsmtpconn.client.url import read_url
from txsmtpconn.errors import ConfigError
from txsmtpconn.transport.options import PoolOptions
from txsmtpconn.transport.services import find

#: Options that a pool has and that are counted; the others are seconds.
_COUNTS = (
    "max_connections",
    "max_messages",
    "max_in_flight",
    "max_requeues",
    "max_waiting",
    "rate_limit",
)
_OF_THE_POOL = tuple(each.name for each in fields(PoolOptions))
#: Nothing is ever read by path or URL, so there is nothing to disable; saying so is no mistake.
_TRUE_BY_CONSTRUCTION = ("disable_file_access", "disable_url_access")


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _keys() -> dict[str, tuple[str, Reader]]:
    """Return the keys of a URL's query that a transport has besides a connection's."""
    keys: dict[str, tuple[str, Reader]] = {"pool": ("pool", flag)}
    for name in _OF_THE_POOL:
        keys[name] = (name, count if name in _COUNTS else seconds)
        keys[_camel(name)] = (name, count if name in _COUNTS else milliseconds)
    for name in _TRUE_BY_CONSTRUCTION:
        keys[name] = keys[_camel(name)] = (name, flag)
    # As the original spells it.
    keys["disableUrlAccess"] = ("disable_url_access", flag)
    return keys


#: Those keys, and how each is read.
KEYS = _keys()


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything, in its places.

    Attributes:
        connection: What each connection is told.
        pool: What the pool is told; None for no pool.
    """

    connection: ConnectionOptions
    pool: PoolOptions | None


def make_settings(
    options_or_url: ConnectionOptions | str | None,
    pool: PoolOptions | bool | None,
    options: Mapping[str, Any],
) -> Settings:
    """Sort what a transport was given.

    Raises:
        ConfigError: Something is wrong with it, or one thing is said twice.
    """
    named = dict(options)
    service = named.pop("service", None)
    for name in _TRUE_BY_CONSTRUCTION:
        _expect_true(name, named.pop(name, True))
    if isinstance(options_or_url, str):
        given = read_url(options_or_url, KEYS)
        pool = pool_of(given, pool)
        options_or_url = None
        named = merged(given, named)
    if service is not None:
        if isinstance(options_or_url, ConnectionOptions):
            raise ConfigError("options are given as an object or by name, not in both ways")
        named = _with_service(service, named)
    try:
        connection = make_options(options_or_url, named)
    except TypeError as reason:
        raise ConfigError(str(reason)) from reason
    if connection.transport is not None:
        raise ConfigError("a transport makes its connections itself: option transport is for one")
    return Settings(connection, pool_options(pool))


def merged(given: dict[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a URL and those by name together.

    Raises:
        ConfigError: One is given in both ways.
    """
    for name in _TRUE_BY_CONSTRUCTION:
        _expect_true(name, given.pop(name, True))
    for name, value in named.items():
        if name in given and value is not None:
            raise ConfigError(f"option {name} is given twice, in the URL and by name")
        given.setdefault(name, value)
    return given


def _expect_true(name: str, value: object) -> None:
    if value is not True:
        raise ConfigError(f"option {name} is True: nothing is ever read by path or URL")


def pool_of(given: dict[str, Any], pool: PoolOptions | bool | None) -> PoolOptions | bool | None:
    """Take the pool's options out of a URL's.

    Raises:
        ConfigError: They are given by name as well, or without a pool.
    """
    wanted = given.pop("pool", None)
    named = {name: given.pop(name) for name in _OF_THE_POOL if name in given}
    if wanted is None and not named:
        return pool
    if pool is not None:
        raise ConfigError("the pool is told of twice, in the URL and by name")
    if not wanted and named:
        raise ConfigError(f"URL key {next(iter(named))} needs pool=true")
    return PoolOptions(**named) if named else bool(wanted)


def pool_options(
    pool: PoolOptions | bool | None, usual: PoolOptions | None = None
) -> PoolOptions | None:
    """Return what a pool is told; None for no pool.

    Args:
        pool: As it was given.
        usual: What True stands for; None for the defaults.

    Raises:
        ConfigError: It is something else.
    """
    if pool is True:
        return PoolOptions() if usual is None else usual
    if pool is None or pool is False:
        return None
    if not isinstance(pool, PoolOptions):
        raise ConfigError(f"pool is True or PoolOptions, not {type(pool).__name__}")
    return pool


def _with_service(service: object, named: dict[str, Any]) -> dict[str, Any]:
    found = find(service) if isinstance(service, str) else None
    if found is None:
        raise ConfigError(f"option service: {service!a} is not known; give host and port")
    for name, value in found.options.items():
        if named.get(name) is not None and named[name] != value:
            raise ConfigError(f"option {name} contradicts the service {found.name}")
    return named | found.options
