"""Streams of randomness by name: the same words give the same generator, other words another one."""

import hashlib

import torch


def stream(*words: str | int) -> torch.Generator:
    """A CPU generator seeded by words, e.g. stream("task", seed, step).

    Nothing has to be saved for a resumed run to draw the same numbers, and what is drawn for
    ("held-out", k) was never drawn for ("task", seed, step).
    """
    digest = hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
