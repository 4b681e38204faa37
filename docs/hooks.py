"""Build hooks of the documentation site: links into the repository, and API pages from the packages.

- A link that leaves ``docs/`` (to a test, a run, a configuration) becomes the path in code font, since the site holds
  pages only; a link to a file that does not exist stops the build.
- A line ``<!-- modules: her2core.data her2core.stain -->`` becomes one mkdocstrings block for each public module, and
  ``<!-- public names -->`` a table of what ``import her2core`` offers.
- A formula of a docstring (``.. math::``) is shown as LaTeX source, as no script that renders it is fetched.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

HOME = Path(__file__).resolve().parents[1]
DOCS = HOME / "docs"
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+[^)#]+)(#[^)]*)?\)")
_MODULES = re.compile(r"^<!-- modules: (.+?) -->$", re.MULTILINE)


class _Formula(Preprocessor):
    """``.. math:: F`` and its indented lines as a code block."""

    def run(self, lines: list[str]) -> list[str]:
        text = re.sub(
            r"^\.\. math::[ \t]*(.*)((?:\n(?:[ \t]+.*|[ \t]*(?=\n[ \t]+\S)))*)",
            self._block,
            "\n".join(lines),
            flags=re.M,
        )
        return text.split("\n")

    def _block(self, found: re.Match[str]) -> str:
        formula = [line.strip() for line in f"{found[1]}{found[2]}".split("\n") if line.strip()]
        return "\n".join(["", *(f"    {line}" for line in formula), ""])


class _Formulas(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.preprocessors.register(_Formula(md), "formulas", 40)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the extension that shows formulas."""
    config.markdown_extensions.append(_Formulas())  # type: ignore[arg-type]  # Markdown takes instances as well
    return config


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Markdown of a page as mkdocs renders it."""
    folder = (DOCS / page.file.src_path).parent
    markdown = _LINK.sub(lambda found: _link(found, folder, page.file.src_path), markdown)
    markdown = _MODULES.sub(lambda found: "\n\n".join(_blocks(found[1].split())), markdown)
    return (
        markdown.replace("<!-- public names -->", _public_names()) if "<!-- public names -->" in markdown else markdown
    )


def _public_names() -> str:
    import her2core

    rows = ["| name | summary |", "|---|---|"]
    for name in sorted(n for n in her2core.__all__ if not n.startswith("__")):
        value = getattr(her2core, name)
        summary = (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
        rows.append(f"| [`her2core.{name}`][{value.__module__}.{value.__qualname__}] | {summary} |")
    return "\n".join(rows)


def _link(found: re.Match[str], folder: Path, page: str) -> str:
    target = (folder / found[2]).resolve()
    if not target.exists():
        raise PluginError(f"{page}: the link to {found[2]} leads to no file of the repository")
    if target.is_relative_to(DOCS):
        return found[0]
    path = target.relative_to(HOME).as_posix()
    text = found[1].strip("`")
    return f"`{path}`" if text == path or path.endswith(f"/{text}") else f"{found[1]} (`{path}`)"


def _blocks(packages: list[str]) -> list[str]:
    names = []
    for package in packages:
        start = HOME / package.replace(".", "/")
        files = sorted(start.rglob("*.py")) if start.is_dir() else [start.with_suffix(".py")]
        names += [_name(f) for f in files if not f.stem.startswith("__main") and _is_documented(f)]
    return [f"::: {name}" for name in names]


def _name(file: Path) -> str:
    parts = file.relative_to(HOME).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_documented(file: Path) -> bool:
    """Whether a module has public functions or classes of its own, or is a package with a text of its own."""
    text = file.read_text(encoding="utf-8")
    return bool(re.search(r"^(?:def|class) [A-Za-z]", text, re.MULTILINE))
