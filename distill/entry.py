"""entry(): a main job as a command, from words to an exit code."""

import sys
from collections.abc import Sequence
from typing import Any

from distill.config import Config, answer, parse


def entry(kind: type[Config], arguments: Sequence[str] | None, prog: str) -> int:
    """Parse, then import torch and run the main job; the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    config = parse(kind, words, prog)

    def job() -> dict[str, Any]:
        from distill.job import distil

        return distil(config, [*prog.split(), *words])

    return answer(job, config.json)
