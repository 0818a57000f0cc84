"""`distill adapt`: images of one data set that fit networks trained on another to it in one gradient step."""

import sys
from collections.abc import Sequence

from distill.applications.adapt import AdaptConfig, adapt
from distill.commands.cli import answer, parse


def main(arguments: Sequence[str] | None = None, prog: str = "distill adapt") -> int:
    """Parse, then import torch and run; the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    config = parse(AdaptConfig, words, prog)
    return answer(lambda: adapt(config, [*prog.split(), *words]), config.json)
