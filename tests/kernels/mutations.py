"""Mutations: bodies with a little changed somewhere."""

import random

CHARACTERS = b'0123456789.eE+-"{}[],: nulltrue\\\x00\xff'
INSERTED = b'0123456789.eE+-"{}[],: '


def mutated(body: bytes, rng: random.Random) -> bytes:
    """The body with one or two changes: a byte another, some left out, one put in, or a part of it once more."""
    changed = bytearray(body)
    for _ in range(rng.randrange(1, 3)):
        at, kind = rng.randrange(len(changed)), rng.randrange(4)
        if kind == 0:
            changed[at] = rng.choice(CHARACTERS)
        elif kind == 1:
            del changed[at : at + rng.randrange(1, 4)]
        elif kind == 2:
            changed[at:at] = bytes([rng.choice(INSERTED)])
        else:
            other = rng.randrange(len(changed))
            changed[at:at] = changed[other : other + rng.randrange(1, 30)]
    return bytes(changed)
