"""Documentation coverage of the public API: docstrings, examples and typed signatures, counted from the source.

Counts every public function, class and method (no leading underscore on any part of its path) of a package, by reading
its source, so that packages that are not importable here can be counted the same way. Signatures without a body
(overloads, members of a protocol) are not counted.

    python benchmarks/api_documentation.py her2core [path/to/another/package ...]
"""

from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

RESULT = Path(__file__).parent / "results" / "api_documentation.json"
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def public_definitions(tree: ast.Module) -> Iterator[Definition]:
    """Public functions and classes of a module, and the public methods of these classes."""
    for node in tree.body:
        if _public(node):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from filter(_public, node.body)


def _public(node: ast.stmt) -> TypeGuard[Definition]:
    """Whether a statement defines a public name with a body of more than an ellipsis."""
    if not isinstance(node, Definition) or node.name.startswith("_"):
        return False
    only = node.body[0] if len(node.body) == 1 else None
    return not (isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant) and only.value.value is ...)


def typed(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether every parameter but self and cls, and the result, has an annotation."""
    a = node.args
    named = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    return node.returns is not None and all(p.annotation or p.arg in ("self", "cls") for p in named)


def documentation_figures(package: Path) -> dict[str, float | int | str]:
    """Counts for one package folder; percentages of public functions (methods included)."""
    functions: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
    classes: list[ast.ClassDef] = []
    longest = ("", 0)
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        longest = max(longest, (str(path.relative_to(package)), text.count("\n")), key=lambda pair: pair[1])
        if any(part.startswith("_") and part != "__init__.py" for part in path.relative_to(package).parts):
            continue
        for node in public_definitions(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                classes.append(node)
            else:
                functions.append(node)
    documented = [ast.get_docstring(f) or "" for f in functions]
    count = max(len(functions), 1)
    return {
        "public_functions": len(functions),
        "documented_percent": round(100 * sum(map(bool, documented)) / count, 1),
        "with_example_percent": round(100 * sum(">>>" in d for d in documented) / count, 1),
        "typed_percent": round(100 * sum(map(typed, functions)) / count, 1),
        "public_classes": len(classes),
        "classes_documented_percent": round(
            100 * sum(bool(ast.get_docstring(c)) for c in classes) / max(len(classes), 1), 1
        ),
        "longest_file": longest[0],
        "longest_file_lines": longest[1],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", type=Path, default=[Path("her2core")], help="folders of packages")
    packages = parser.parse_args().packages
    figures = {p.name: documentation_figures(p) for p in packages}
    RESULT.write_text(json.dumps({"command": " ".join(["python", *sys.argv]), "packages": figures}, indent=2) + "\n")
    print(json.dumps(figures, indent=2))
