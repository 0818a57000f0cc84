"""`distill poison`: images after one step on which trained networks take one class for another."""

import sys
from collections.abc import Sequence

from distill.applications.poison import PoisonConfig, poison
from distill.commands.cli import answer, parse


def main(arguments: Sequence[str] | None = None, prog: str = "distill poison") -> int:
    """Parse, then import torch and run; the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    config = parse(PoisonConfig, given, prog)
    return answer(lambda: poison(config, [*prog.split(), *given]), config.json)
