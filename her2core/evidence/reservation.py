"""What stands above a model's answers: whether its own accuracy can be believed.

The verdict is computed once for each state of a run and then kept below ``cache_folder()``, as it takes as long as
loading torch does.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from her2core import __version__
from her2core.errors import Her2Error
from her2core.io.files import write_via_temporary
from her2core.locations import cache_folder
from her2core.runs.folder import Run

#: Files of a run from which its verdict follows, beside its evaluation.
_FILES = ("run.json", "model.card.json", "predictions.parquet", "dataset.parquet", "checks.json")
NOT_EVALUATED = "This model was not evaluated: nothing is known of its accuracy."


def reservation(run: Run) -> str:
    """Whether the accuracy of a model can be believed, in one line.

    Parameters
    ----------
    run : Run

    Returns
    -------
    str
        Question, answer and sentence of the verdict; for a run without evaluation, that it has none.

    Examples
    --------
    >>> from her2core.runs.folder import open_run
    >>> reservation(open_run("models/tissue12"))[:70]
    'Accuracy of this model: Can this number be believed? No. The accuracy '
    """
    kept = cache_folder() / "verdicts" / f"{_state(run)}.txt"
    with suppress(OSError, UnicodeDecodeError):
        return kept.read_text(encoding="utf-8")
    from her2core.evidence.verdict import verdict

    try:
        found = verdict(run)
    except Her2Error:
        return NOT_EVALUATED
    line = f"Accuracy of this model: {found.headline} {found.sentence}"
    with suppress(OSError):  # a cache that cannot be written costs time only
        write_via_temporary(kept, lambda temporary: temporary.write_text(line, encoding="utf-8"))
    return line


def _state(run: Run) -> str:
    """Hash of everything that decides the verdict: the run's files and the rules."""
    found = hashlib.sha256(__version__.encode())
    rules = sorted((Path(__file__).parent / "verdict").glob("*.py"))
    for path in (*(run.path / name for name in _FILES), *sorted((run.path / "evaluation").glob("*.csv")), *rules):
        if path.is_file():
            content = path.read_bytes()
            found.update(f"\0{path.name}\0{len(content)}\0".encode() + content)
    return found.hexdigest()[:32]
