"""`python -m distill.mnist --n 5`: distil MNIST, or another image set, into five images with soft labels."""

import sys

from distill.commands.image import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m distill.mnist"))
