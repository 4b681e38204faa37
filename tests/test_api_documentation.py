"""Every public function and class of the package is documented and typed, and most functions have an example."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.api_documentation import documentation_figures, public_definitions

ROOT = Path(__file__).resolve().parents[1]


def test_all_of_the_package_is_documented_and_typed():
    figures = documentation_figures(ROOT / "her2core")
    assert figures["documented_percent"] == figures["typed_percent"] == figures["classes_documented_percent"] == 100
    assert figures["with_example_percent"] >= 60
    assert figures["longest_file_lines"] <= 400


@pytest.mark.parametrize(("body", "counted"), [("...", 0), ("return 1", 1), ('"""One."""', 1)])
def test_a_signature_without_a_body_is_not_counted(body, counted):
    assert len(list(public_definitions(ast.parse(f"def f() -> int:\n    {body}\n")))) == counted


def test_what_lacks_documentation_or_types_is_seen(tmp_path):
    (tmp_path / "a.py").write_text("def f(x):\n    return x\n\n\nclass C:\n    def g(self) -> int:\n        return 1\n")
    figures = documentation_figures(tmp_path)
    assert figures["public_functions"] == 2
    assert figures["documented_percent"] == figures["with_example_percent"] == 0
    assert figures["typed_percent"] == 50
    assert figures["classes_documented_percent"] == 0
