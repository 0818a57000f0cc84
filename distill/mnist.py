"""`python -m distill.mnist --n 5`: distil MNIST into five images with soft labels."""

import json
import sys
from collections.abc import Sequence

from distill.config import Config, parse
from distill.errors import UserError


def main(arguments: Sequence[str] | None = None, prog: str = "python -m distill.mnist") -> int:
    """Parse, then import torch and run; 0, or 2 after one sentence on stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    config = parse(Config, arguments, prog)
    try:
        from distill.job import distil

        result = distil(config, [*prog.split(), *arguments])
    except (UserError, OSError) as error:  # an OSError: the disk is full, or a folder went away
        print(f"distill: {error}", file=sys.stderr)
        return 2
    if config.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
