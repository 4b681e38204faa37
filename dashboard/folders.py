"""Which folders of this server may be looked at? The environment in; folders that hold images out.

A visitor chooses from a list and never types a path: the server's other files are none of the page's business.
"""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from dashboard import HOME
from her2core.io.images import SUFFIXES

#: At most so many folders are offered.
MAX_OFFERED = 200


def allowed_roots() -> tuple[Path, ...]:
    """The folders of ``HER2_FOLDERS`` (separated as in PATH); this project's ``data`` when it is not set."""
    named = os.environ.get("HER2_FOLDERS")
    return tuple(Path(p).resolve() for p in named.split(os.pathsep) if p) if named else ((HOME / "data").resolve(),)


@st.cache_data(ttl=30, max_entries=4, show_spinner=False)
def _folders(roots: tuple[Path, ...]) -> list[Path]:
    found = []
    for root in roots:
        for folder, below, files in os.walk(root):  # links to folders are not followed
            below[:] = sorted(d for d in below if not d.startswith("."))
            if any(f.lower().endswith(SUFFIXES) for f in files):
                found.append(Path(folder))
            if len(found) >= MAX_OFFERED:
                return found
    return found


def folders_offered() -> tuple[tuple[Path, ...], list[Path]]:
    """The allowed roots, and the folders below them that hold images."""
    roots = allowed_roots()
    return roots, _folders(roots)
