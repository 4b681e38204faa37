"""One-way imports between packages: every import of every file is read, those inside functions too."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
CORE = sorted((ROOT / "her2core").rglob("*.py"))
DASHBOARD = tuple(sorted((ROOT / "dashboard").rglob("*.py")))
FRONT = sorted([ROOT / "app.py", *(ROOT / "dashboard").rglob("*.py"), *(ROOT / "pages").rglob("*.py")])
#: The package that turns predictions into evidence.
EVIDENCE = next(n for n in ("her2core.evidence", "her2core.evaluate") if (ROOT / n.replace(".", "/")).is_dir())
TORCH = {"torch", "torchvision", "timm", "pytorch_lightning", "torchmetrics", "safetensors", "pytorch_grad_cam"}
#: What only numbers and tables are made of: results are reviewed without a network.
LIGHT = ("her2core.plots", EVIDENCE, "her2core.runs", "her2core.labels", "her2core.errors")


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@lru_cache
def _imports(path: Path, *, inside: bool = True) -> frozenset[str]:
    """Names that a file imports, ``from a import b`` as a and a.b; ``inside``: those in functions as well.

    Imports for type checkers only are no arrows: they never run.
    """
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: write imports in full"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if inside or not function:
            todo += ast.iter_child_nodes(node)
    return frozenset(found)


def _within(name: str, *packages: str) -> bool:
    return any(name == p or name.startswith(f"{p}.") for p in packages)


def _members(*packages: str) -> list[Path]:
    return [p for p in CORE if _within(_name(p), *packages)]


def _breaches(files, *forbidden: str) -> list[str]:
    return [f"{p.relative_to(ROOT)} imports {i}" for p in files for i in sorted(_imports(p)) if _within(i, *forbidden)]


def _reached(start: str) -> set[str]:
    """Every module that importing ``start`` runs, by the imports at module level; parents' __init__ included."""
    files = {_name(p): p for p in (*CORE, *DASHBOARD)}
    seen, todo = set(), [start]
    while todo:
        name = todo.pop()
        if name in seen or (_within(name, "her2core", "dashboard") and name not in files):
            continue
        seen.add(name)
        if name in files:
            above = name.split(".")[:-1]
            todo += [".".join(above[: i + 1]) for i in range(len(above))]
            todo += _imports(files[name], inside=False)
    return seen


def test_the_reader_of_imports_sees_what_it_should(tmp_path):
    source = tmp_path / "m.py"
    source.write_text(
        "import a.b\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import hidden\n"
        "def f():\n    from c import d\nclass K:\n    import e\n"
    )
    assert _imports(source) == {"a.b", "typing", "typing.TYPE_CHECKING", "c", "c.d", "e"}
    assert _imports(source, inside=False) == {"a.b", "typing", "typing.TYPE_CHECKING", "e"}
    assert _within("torch.nn", "torch")
    assert not _within("torchvision", "torch")
    assert {"her2core.runs.folder", "her2core.io.files"} <= _reached("her2core.runs.export")
    assert {"her2core.io.cells", "pandas"} <= _reached("her2core.io.tables")


def test_the_core_knows_no_page():
    assert not _breaches(CORE, "streamlit", "dashboard", "pages", "app")


def test_every_package_that_is_imported_is_declared():
    """Of the packages in use, each is in pyproject.toml, and the other way round."""
    modules = metadata.packages_distributions()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = [
        *project["dependencies"],
        *extras["app"],
        *extras["report"],
        *extras["slide"],
        *extras["dicom"],
        *extras["openvino"],
        *extras["int8"],
        *extras["serve"],
        *extras["h5"],
        *extras["cluster"],
    ]
    declared = {Requirement(line).name.lower().replace("_", "-") for line in declared}
    used = {i.split(".")[0] for p in [*CORE, *FRONT] for i in _imports(p)}
    used -= set(sys.stdlib_module_names) | {"her2core", "dashboard", "pages", "app"}
    distributions = {name: {d.lower().replace("_", "-") for d in modules.get(name, [name])} for name in used}
    assert {name for name, of in distributions.items() if not of & declared} == set()
    # openslide-bin is the library behind openslide-python, python-multipart what Starlette reads forms with, and
    # wsidicom decodes RLE by pylibjpeg-rle.
    behind = {"openslide-bin", "python-multipart", "pylibjpeg-rle"}
    assert declared - behind <= set().union(*distributions.values())


def test_streamlit_stays_in_front():
    tracked = [p for folder in ("her2core", "benchmarks", "tests") for p in (ROOT / folder).rglob("*.py")]
    users = {p for p in [*tracked, *FRONT] if any(_within(i, "streamlit") for i in _imports(p))}
    assert ROOT / "app.py" in users
    others = {p for p in users if p not in FRONT and p.parent.name != "benchmarks"}
    assert all(p.name.startswith(("test_app", "app_steps", "conftest")) for p in others), sorted(others)


def test_tables_are_drawn_by_the_one_function_that_guards_their_cells():
    """A table's toolbar exports what is shown, and Streamlit cannot switch that off: no cell may be a formula."""
    drawn = {
        path.relative_to(ROOT).as_posix()
        for path in FRONT
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("dataframe", "data_editor", "write")
    }
    assert drawn == {"dashboard/widgets.py"}


def test_every_dashboard_file_imports_streamlit():
    """What does not is no part of the interface and belongs to the core; package markers hold a docstring only."""
    files = [p for p in (ROOT / "dashboard").rglob("*.py") if len(ast.parse(p.read_text(encoding="utf-8")).body) > 1]
    assert len(files) > 10
    assert [_name(p) for p in files if not any(_within(i, "streamlit") for i in _imports(p))] == []
    markers = [p for p in (ROOT / "dashboard").rglob("*.py") if p not in files]
    assert {p.name for p in markers} == {"__init__.py"}


def test_dashboard_knows_no_page():
    assert not _breaches((ROOT / "dashboard").rglob("*.py"), "pages", "app")


@pytest.mark.parametrize("package", LIGHT)
def test_reviewing_results_needs_no_network(package):
    members = _members(package)
    assert members
    assert not _breaches(members, *TORCH, "her2core.networks", "her2core.training", "her2core.inference.predictor")
    for path in members:
        reached = _reached(_name(path))
        assert not [r for r in reached if _within(r, *TORCH)], f"importing {_name(path)} brings in torch"


@pytest.mark.parametrize("folder", ["home", "evidence", "study", "about"])
def test_pages_of_the_evidence_load_no_network(folder):
    """Torch takes 400 MB and more of the server, and reviewing results needs none."""
    pages = sorted((ROOT / "pages" / folder).glob("*.py"))
    assert pages
    for page in pages:
        reached = {r for i in _imports(page) for r in _reached(i)}
        assert not [r for r in reached if _within(r, *TORCH)], page.name


def test_data_knows_no_network():
    members = _members("her2core.data", "her2core.stain")
    assert not _breaches(
        members, "her2core.networks", "her2core.training", "her2core.inference.predictor", "her2core.maps", EVIDENCE
    )
    users = {p.relative_to(ROOT).as_posix() for p in members if any(_within(i, *TORCH) for i in _imports(p))}
    assert users == {"her2core/data/dataset.py", "her2core/data/tensors.py", "her2core/stain/tensors.py"}


def test_networks_know_no_data_and_no_training():
    forbidden = ("her2core.training", "her2core.inference.predictor", "her2core.runs", EVIDENCE, "her2core.plots")
    assert not _breaches(_members("her2core.networks"), *forbidden, "her2core.data.manifest", "her2core.data.dataset")


def test_plots_compute_nothing():
    computing = ("scipy", "sklearn", "statsmodels", "torch", EVIDENCE, "her2core.data", "her2core.runs")
    assert not _breaches(_members("her2core.plots"), *computing)


def test_evidence_draws_nothing():
    assert not _breaches(_members(EVIDENCE), "plotly", "matplotlib", "her2core.plots", "her2core.maps")


def test_pages_hold_no_script_of_their_own_level():
    """A cold deep link to a flat pages/*.py would run it without app.py, past whatever guard stands there."""
    assert [p.name for p in (ROOT / "pages").glob("*.py")] == []
    registered = (ROOT / "dashboard" / "navigation.py").read_text()
    scripts = [p.relative_to(ROOT / "pages").as_posix() for p in (ROOT / "pages").glob("*/*.py")]
    assert scripts
    assert [s for s in scripts if f'"{s}"' not in registered] == []


@pytest.mark.parametrize("path", [*CORE, *FRONT], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_file_says_what_it_is_for_and_is_not_too_long(path):
    text = path.read_text(encoding="utf-8")
    if path.name == "__init__.py" and not text.strip():
        return
    doc = ast.get_docstring(ast.parse(text))
    assert doc, "no docstring at the top"
    first = doc.split("\n\n")[0].strip()
    assert first[-1] in ".?!:", f"the first paragraph is no sentence: {first!r}"
    assert len(text.splitlines()) <= 400


def _fresh(code: str) -> str:
    """What ``code`` prints in an interpreter that has imported nothing yet."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_is_light():
    heavy = sorted({*TORCH, "streamlit", "pandas", "numpy", "sklearn", "scipy", "plotly"})
    assert (
        json.loads(_fresh(f"import her2core, sys, json; print(json.dumps([m for m in {heavy} if m in sys.modules]))"))
        == []
    )


def test_a_prediction_imports_neither_a_compiler_nor_tables(tmp_path):
    """Each of these takes a noticeable part of a second, and a patch needs none of them."""
    from her2core.data.synthetic import CohortSpec, render_patch
    from her2core.evidence.reservation import reservation
    from her2core.io.images import encode_png
    from her2core.runs.folder import open_run

    reservation(open_run("models/demo"))  # computed at the first prediction of a run, then kept
    (tmp_path / "one.png").write_bytes(encode_png(render_patch(CohortSpec(), 5).image))
    heavy = ["torch._dynamo", "torch._inductor", "torchvision", "timm", "pytorch_lightning", "sympy", "pandas"]
    heavy += [
        "pyarrow",
        "scipy",
        "sklearn",
        "matplotlib",
        "streamlit",
        "her2core.training",
        "her2core.evidence.metrics",
    ]
    code = f"""
import json, sys
from her2core.cli import main
sys.argv = ["her2", "predict", "models/demo", {str(tmp_path / "one.png")!r}, "--engine", "torch", "--json"]
try:
    main()
except SystemExit as left:
    assert left.code == 0
print(json.dumps([m for m in {heavy} if m in sys.modules]))
"""
    told, imported = _fresh(code).splitlines()
    assert json.loads(told)[0]["error"] is None
    assert json.loads(imported) == []


def test_every_public_name_is_there_whatever_was_imported_before():
    """A subpackage of the same name would take a public function's place as soon as anything imports it."""
    code = """
import importlib, inspect, json, pkgutil, her2core
def kinds():
    return {n: "class" if inspect.isclass(v) else "function" if callable(v) else type(v).__name__
            for n in her2core.__all__ for v in [getattr(her2core, n)]}
fresh = kinds()
for found in pkgutil.walk_packages(her2core.__path__, "her2core."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
print(json.dumps([fresh, kinds(), sorted(her2core.__dir__()), sorted(her2core.__all__)]))
"""
    fresh, after, listed, promised = json.loads(_fresh(code))
    classes = {name for name in promised if name[0].isupper()}
    expected = dict.fromkeys(promised, "function") | dict.fromkeys(classes, "class") | {"__version__": "str"}
    assert fresh == expected
    assert after == expected
    assert listed == promised


def test_an_unknown_public_name_is_told_what_there_is():
    import her2core

    with pytest.raises(AttributeError, match=r"'predcit'.*load_predictor"):
        _ = her2core.predcit
