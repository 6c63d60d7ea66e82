"""MD4 (RFC 1320), for NTLM alone: the libraries that have it no longer give it to anybody.

It is broken as a hash function. NTLM keeps it as the form in which Windows stores a password.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

_MASK: Final = 0xFFFFFFFF


def _choose(x: int, y: int, z: int) -> int:
    return (x & y) | (~x & z)


def _majority(x: int, y: int, z: int) -> int:
    return (x & y) | (x & z) | (y & z)


def _parity(x: int, y: int, z: int) -> int:
    return x ^ y ^ z


#: Section 3.4: each round's function, constant, order of the words, and rotations.
_ROUNDS: Final[
    tuple[tuple[Callable[[int, int, int], int], int, tuple[int, ...], tuple[int, ...]], ...]
] = (
    (_choose, 0, tuple(range(16)), (3, 7, 11, 19)),
    (_majority, 0x5A827999, (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), (3, 5, 9, 13)),
    (_parity, 0x6ED9EBA1, (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15), (3, 9, 11, 15)),
)


def md4(message: bytes) -> bytes:
    """Return the 16 octets of the digest."""
    padding = b"\x80" + b"\0" * ((55 - len(message)) % 64)
    padded = message + padding + struct.pack("<Q", 8 * len(message))
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476]
    for at in range(0, len(padded), 64):
        words = struct.unpack_from("<16I", padded, at)
        a, b, c, d = state
        for function, constant, order, rotations in _ROUNDS:
            for step, index in enumerate(order):
                mixed = (a + function(b, c, d) + words[index] + constant) & _MASK
                by = rotations[step % 4]
                rotated = (mixed << by | mixed >> (32 - by)) & _MASK
                a, b, c, d = d, rotated, b, c
        state = [(old + new) & _MASK for old, new in zip(state, (a, b, c, d), strict=True)]
    return struct.pack("<4I", *state)
