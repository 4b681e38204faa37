"""Public names: exported, documented with examples, typed, and light to import."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import her2core

ROOT = Path(__file__).resolve().parents[1]
NAMES = [name for name in her2core.__all__ if name != "__version__"]
ERRORS = [n for n in NAMES if isinstance(getattr(her2core, n), type) and issubclass(getattr(her2core, n), Exception)]


def documentation(name: str) -> str:
    return inspect.getdoc(getattr(her2core, name)) or ""


def has_parameters(name: str) -> bool:
    value = getattr(her2core, name)
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return False
    return any(p.name not in ("self", "args", "kwargs") for p in signature.parameters.values())


def test_what_the_design_lists_is_exported():
    expected = (
        "load_predictor Predictor Prediction ClassMap explain Manifest read_manifest import_dataset check_manifest "
        "split_manifest RunConfig load_config train open_run Run evaluate Evaluation Predictions read_predictions "
        "compare_runs StainNormalizer Her2Error"
    )
    assert set(expected.split()) <= set(NAMES)


def test_the_whole_error_family_is_exported():
    from her2core import errors

    family = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, errors.Her2Error)}
    assert set(ERRORS) == family


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_an_example_and_its_parameters(name):
    text = documentation(name)
    if name in ERRORS and name != "Her2Error":  # parameters and example are those of the base class
        assert text
        return
    assert ">>> " in text.partition("Examples\n--------")[2], "no example"
    if has_parameters(name):
        assert "Parameters\n----------" in text or "Attributes\n----------" in text
    if inspect.isfunction(getattr(her2core, name)):
        assert "Returns\n-------" in text


@pytest.mark.parametrize("name", [n for n in NAMES if inspect.isfunction(getattr(her2core, n))])
def test_every_function_is_typed(name):
    signature = inspect.signature(getattr(her2core, name))
    untyped = [p.name for p in signature.parameters.values() if p.annotation is inspect.Parameter.empty]
    assert not untyped
    assert signature.return_annotation is not inspect.Signature.empty


def test_dir_equals_all():
    assert sorted(her2core.__all__) == her2core.__dir__()
    assert set(her2core.__all__) == {*her2core._MODULES, "__version__"}


def test_names_for_type_checkers_are_the_same():
    """What a type checker sees under TYPE_CHECKING is what __getattr__ gives."""
    text = (ROOT / "her2core" / "__init__.py").read_text(encoding="utf-8")
    (block,) = [n for n in ast.parse(text).body if isinstance(n, ast.If)]
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == her2core._MODULES
    assert (ROOT / "her2core" / "py.typed").is_file()


def test_a_mistyped_name_gets_near_matches():
    with pytest.raises(AttributeError, match=r"'load_predicter'.*load_predictor"):
        _ = her2core.load_predicter


def test_errors_come_without_torch_numpy_and_pandas():
    code = (
        "import sys, json; from her2core import Her2Error, ImageError, __version__; "
        "print(json.dumps([m for m in ('torch', 'numpy', 'pandas', 'PIL') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
