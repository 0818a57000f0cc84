"""Every test asserts something: an assertion, an expected error, or a helper that asserts."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
EXPECTS = {"raises", "warns", "assert_close", "assert_allclose", "assert_array_equal", "fail"}


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def list_calls(function: ast.FunctionDef) -> set[str]:
    """The last names of what a function calls."""
    calls = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return {
        c.attr if isinstance(c, ast.Attribute) else c.id
        for c in calls
        if isinstance(c, ast.Attribute | ast.Name)
    }


def has_assertion(function: ast.FunctionDef) -> bool:
    """Whether a function asserts itself, with more than `assert True`."""
    asserts = [node for node in ast.walk(function) if isinstance(node, ast.Assert)]
    return any(not isinstance(a.test, ast.Constant) for a in asserts) or bool(list_calls(function) & EXPECTS)


def find_asserting_functions() -> set[str]:
    """The functions of the test folder that assert, or call one that does."""
    all_functions = [
        f for path in ROOT.rglob("*.py") for f in functions(ast.parse(path.read_text(encoding="utf-8")))
    ]
    names = {f.name for f in all_functions if has_assertion(f)}
    while callers := {f.name for f in all_functions if f.name not in names and list_calls(f) & names}:
        names |= callers
    return names


TESTED = [(p.name, f.name) for p in sorted(ROOT.rglob("test_*.py")) for f in functions(ast.parse(p.read_text("utf-8"))) if f.name.startswith("test_")]  # fmt: skip  # noqa: E501


def test_no_test_is_without_an_assertion() -> None:
    asserting = find_asserting_functions()
    assert [f"{file}: {name}" for file, name in TESTED if name not in asserting] == []
    assert len(TESTED) > 300


@pytest.mark.parametrize("body", ["pass", "assert True", "print(distil())"])
def test_a_test_that_cannot_fail_is_detected(body: str) -> None:
    (function,) = functions(ast.parse(f"def test_nothing():\n    {body}"))
    assert not has_assertion(function)
