"""A small mutating driver, for where atheris is not installed.

It knows nothing of coverage: it takes inputs to start from and changes them at random,
the same way for the same seed. That finds less, but it runs everywhere and in every test
run, and it keeps the targets alive.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

# What the grammar of SMTP turns on; single octets come from the random source.
_TOKENS = (
    b'\r\n,\r,\n,.,\r\n.\r\n, ,-,<,>,@,",\\,\0,=,;,:,+0D+0A,250 ,250-,\xc3\xbc,\xe2\x80\x8b'
    b",\xff,[,],%".split(b",")
)


def mutated(seeds: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Give ``count`` inputs made from ``seeds``, the same ones for the same ``seed``."""
    source = random.Random(seed)
    pool = list(seeds)
    for _ in range(count):
        octets = bytearray(source.choice(pool))
        for _ in range(source.randint(1, 4)):
            at = source.randint(0, len(octets))
            end = min(len(octets), at + source.randint(0, 4))
            match source.randrange(5):
                case 0:
                    octets[at:at] = source.choice(_TOKENS)
                case 1:
                    octets[at:end] = b""
                case 2:
                    octets[at:end] = source.randbytes(source.randint(0, 3))
                case 3:
                    octets[at:at] = source.choice(pool)[: source.randint(1, 40)]
                case _:
                    octets[at:at] = octets[at:end] * source.randint(1, 3)
        made = bytes(octets[:400])
        # Some children become parents, so that changes add up.
        if source.random() < 0.05:
            pool = [*seeds, *pool[len(seeds) :][-48:], made]
        yield made


def drive(target: Callable[[bytes], None], seeds: list[bytes], count: int, seed: int = 0) -> None:
    """Run a target on its seeds and on ``count`` inputs made from them."""
    for octets in (*seeds, *mutated(seeds, count, seed)):
        try:
            target(octets)
        except Exception as error:
            error.add_note(f"fuzz input (seed {seed}): {octets!r}")
            raise
