"""`python -m distill.student SET.pt`: train a network on a distilled set, measure it on real test data."""

import sys

from distill.commands.student import main

if __name__ == "__main__":
    sys.exit(main())
