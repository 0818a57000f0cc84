"""`python -m tests.lower_bounds`: the lower bounds of pyproject.toml as pip's constraints, one a line."""

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def list_lower_bounds() -> list[str]:
    """'torch==2.4' for each "torch>=2.4" that running and testing need."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    return [requirement.replace(">=", "==") for requirement in requirements]


if __name__ == "__main__":
    print("\n".join(list_lower_bounds()))
