"""The wheel holds what an installed distill reads; and the bounds that the oldest environment is made of."""

import zipfile
from pathlib import Path

import pytest

from tests.oldest import bounds
from tests.wheel import ROOT, built, has


@pytest.mark.skipif(not has("setuptools", 77), reason="builds with the setuptools that is here")
def test_the_wheel_holds_assets_types_and_modules(tmp_path: Path) -> None:
    with zipfile.ZipFile(built(tmp_path)) as wheel:
        found = {name for name in wheel.namelist() if name.startswith("distill/")}
    package = ROOT / "distill"
    wanted = {p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert {"distill/py.typed", "distill/report/template/page.html"} <= found
    assert found == {str(p.relative_to(ROOT)) for p in wanted}


def test_lower_bounds_are_constraints() -> None:
    assert "torch==2.6" in bounds()
    assert "pytest==8" in bounds()
    assert all("==" in bound and ">" not in bound for bound in bounds())
