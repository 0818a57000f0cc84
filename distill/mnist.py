"""`python -m distill.mnist --n 5`: distil MNIST into five images with soft labels."""

import sys
from collections.abc import Sequence
from typing import Any

from distill.config import Config, answer, parse


def main(arguments: Sequence[str] | None = None, prog: str = "python -m distill.mnist") -> int:
    """Parse, then import torch and run; the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    config = parse(Config, words, prog)

    def job() -> dict[str, Any]:
        from distill.job import distil

        return distil(config, [*prog.split(), *words])

    return answer(job, config.json)


if __name__ == "__main__":
    sys.exit(main())
