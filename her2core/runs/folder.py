"""What is a run, on disk? A folder that is drafted out of sight, finished by one rename, and opened with suspicion.

    <root>/.work/<network>_<data>_<hash>/      a draft: never listed, resumable; its checkpoints stand beside it
    <root>/<time>_<network>_<data>_<hash>/     a finished run

Pages that review results read only these tables; nothing here needs torch.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from her2core.errors import Her2Error, RunError
from her2core.evidence.predictions import Predictions, calibrated_predictions
from her2core.io.files import read_table, write_json, write_parquet, write_text, write_via_temporary

SCHEMA_VERSION = 1
#: Beside a draft's tables while it is trained: how far it is, and somebody's wish that it stop.
PROGRESS, STOP = "progress.json", "stop.request"
#: What a folder of runs holds that together answer one question.
STUDY = "study.json"
WEIGHTS = "model.safetensors"
#: What only serving needs; a run released for review only goes without.
SERVING = (WEIGHTS, "ood.safetensors")
REQUIRED = ("run.json", "config.yaml", "splits.parquet", "predictions.parquet", WEIGHTS, "model.card.json")
#: What checks.json tells of each finding.
FINDING = ("code", "severity", "expected", "got", "fix", "rows", "count")
CARD_FIELDS = ("title", "limits", "classes", "temperature", "weights_sha256", "intended_use")
#: Sections of the card, and what each must hold for the weights to be used and the run to be shown.
CARD_SECTIONS = {
    "network": ("name", "options"),
    "input": ("px", "mean", "std"),
    "stain": ("reference",),
    "scheme": ("meaning", "is_her2"),
    "data": ("split_unit", "sources", "patches"),
}
#: Columns of the evaluation's tables that are names, even where a class is called 0.
NAMES = (
    "unit",
    "metric",
    "class",
    "true",
    "predicted",
    "resampling_unit",
    "note",
    "reason",
    "scores",
    "strategy",
    "rule",
    "rule_reason",
    "by",
    "group",
    "table",
    "what",
)


@dataclass(frozen=True)
class Run:
    """A finished run. Tables are read when asked for; the weights never are, here."""

    path: Path
    info: dict[str, Any]
    card: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.card["classes"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences that every result of this run must carry."""
        return tuple(self.info.get("warnings", ()))

    @property
    def has_weights(self) -> bool:
        """False where the run was released for review only (``her2 runs export --without-weights``)."""
        return self.info.get("weights_released") is not False

    @property
    def kept(self) -> str:
        """What validation chose, in words; empty where the run does not say."""
        if "chosen" in self.info:
            named = {"linear": "a linear layer, inverse penalty", "knn": "nearest neighbours,"}
            how = named.get(self.info.get("frozen"), "setting")
            return f"Frozen features and {how} {self.info['chosen']:g} out of {len(self.info.get('tried', ()))} tried"
        if "best_epoch" in self.info:
            return f"Best epoch {self.info['best_epoch'] + 1} of {self.info.get('epochs_trained', 'unknown')}"
        return ""

    @cached_property
    def predictions(self) -> pd.DataFrame:
        return read_table(self.path / "predictions.parquet")[0]

    @cached_property
    def calibrated_predictions(self) -> Predictions:
        """The table of predictions, validation and test, with probabilities calibrated by the card's temperature."""
        return calibrated_predictions(self.predictions, self.card)

    def test_predictions(self) -> Predictions:
        """The calibrated predictions of the test part."""
        return self.calibrated_predictions.part("test")

    def validation_predictions(self) -> Predictions:
        """The calibrated predictions of the validation part, by which epoch, temperature and thresholds were chosen."""
        return self.calibrated_predictions.part("val")

    @cached_property
    def splits(self) -> pd.DataFrame:
        return read_table(self.path / "splits.parquet")[0]

    @cached_property
    def history(self) -> pd.DataFrame:
        return read_table(self.path / "history.csv")[0]

    @cached_property
    def dataset(self) -> pd.DataFrame:
        """The manifest's rows without paths, with ``split``. Raises RunError where the run has no such table."""
        return read_table(self._companion("dataset.parquet"))[0]

    @cached_property
    def checks(self) -> list[dict[str, Any]]:
        """The coded findings on data and split, as plain values. Raises RunError where the run has none, or others."""
        path = self._companion("checks.json")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            found = None
        if not isinstance(found, list) or not all(isinstance(f, dict) and set(FINDING) <= set(f) for f in found):
            raise RunError(
                f"a list of findings with {', '.join(FINDING)}",
                got="something else",
                where=str(path),
                fix="Take the run again from its source.",
            )
        return found

    @cached_property
    def cost(self) -> dict[str, Any] | None:
        """Parameters, FLOPs and measured time; None where they were not measured."""
        path = self.path / "evaluation" / "cost.json"
        return _json(path) if path.is_file() else None

    def _companion(self, name: str) -> Path:
        if not (self.path / name).is_file():
            raise RunError(
                name,
                got="no such file: the run was finished by an older version",
                where=str(self.path),
                fix=f"Run: her2 runs complete {self.path}",
            )
        return self.path / name

    def table(self, name: str) -> pd.DataFrame:
        """A table of ``evaluation/`` by name (without suffix). Raises RunError when the run was not evaluated."""
        path = self.path / "evaluation" / f"{name}.csv"
        if not path.is_file():
            raise RunError(
                f"evaluation/{name}.csv",
                got="no such file",
                where=str(self.path),
                fix=f"Run: her2 evaluate --save {self.path}",
            )
        return read_table(path, text=NAMES, own=True)[0]


class RunDraft:
    """A run being made. Everything is written below ``<root>/.work``; ``finish`` renames it, status last."""

    def __init__(self, root: Path, key: str) -> None:
        self.root, self.key = Path(root), key
        self.path = self.root / ".work" / key
        self.checkpoints = self.root / ".work" / f"{key}.checkpoints"

    def open(self, *, fresh: bool) -> bool:
        """Claim the draft; True when there is a checkpoint to resume from. Raises RunError when it is being trained."""
        claim = self.path / "claim.json"
        if claim.is_file() and (other := _claimant(claim)):
            raise RunError(
                "a draft that no other process trains",
                got=f"process {other} at work on it",
                where=str(self.path),
                fix="Wait for it, or stop it first.",
            )
        if fresh:
            shutil.rmtree(self.path, ignore_errors=True)
        if not self.path.exists():  # checkpoints without a draft are what a finished run left behind
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        self.path.mkdir(parents=True, exist_ok=True)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        for left in (self.path / STOP, *self.path.glob(".*.part")):  # an old wish; what a killed process was writing
            left.unlink(missing_ok=True)
        write_json(claim, {"pid": os.getpid(), "host": socket.gethostname(), "started": _process_start(os.getpid())})
        return (self.checkpoints / "last.ckpt").is_file()

    def event(self, kind: str, **facts: Any) -> None:
        """Append one line to events.jsonl."""
        line = json.dumps({"time": _now(), "event": kind, **facts}, default=str)
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")

    def release(self) -> None:
        """Give the claim back: nobody trains this draft now, and the same command resumes it."""
        (self.path / "claim.json").unlink(missing_ok=True)

    def write_progress(self, facts: dict[str, Any]) -> None:
        """Replace progress.json; ``updated`` (UTC) is added."""
        write_json(self.path / PROGRESS, {**facts, "updated": _now()})

    def write_history(self, frame: pd.DataFrame) -> None:
        write_via_temporary(self.path / "history.csv", lambda t: frame.to_csv(t, index=False))

    def write_splits(self, frame: pd.DataFrame) -> None:
        write_parquet(self.path / "splits.parquet", frame)

    def write_config(self, text: str) -> None:
        write_text(self.path / "config.yaml", text)

    def finish(self, info: dict[str, Any]) -> Run:
        """Check that all is there, write run.json with status finished, and rename the folder into sight."""
        missing = [n for n in REQUIRED if n != "run.json" and not (self.path / n).is_file()]
        if missing:
            raise RunError("a whole run", got=f"no {missing[0]}", where=str(self.path), fix="Train it again.")
        target = self.root / f"{datetime.now(UTC):%Y%m%d-%H%M%S}_{self.key}"
        for done in ("claim.json", PROGRESS, STOP):
            (self.path / done).unlink(missing_ok=True)
        self.event("finished", run=target.name)
        write_json(self.path / "run.json", {"schema_version": SCHEMA_VERSION, **info, "status": "finished"})
        os.replace(self.path, target)
        shutil.rmtree(self.checkpoints, ignore_errors=True)
        return open_run(target)


def open_run(path: str | os.PathLike) -> Run:
    """Open a finished run folder.

    Raises RunError for a folder that is missing, foreign, unfinished, newer than this program, incomplete, or whose
    card is broken. The weights are verified when they are loaded, not here.
    """
    path = Path(path)
    if not path.is_dir():
        raise RunError("a run folder", got="no such folder", where=str(path), fix="her2 runs list shows them.")
    if not (path / "run.json").is_file():
        raise RunError(
            "a run folder with run.json",
            got="none in it",
            where=str(path),
            fix="Point to a folder that her2 train finished.",
        )
    info, card = _json(path / "run.json"), None
    version = info.get("schema_version")
    if not isinstance(version, int):
        raise RunError(
            "a her2core run",
            got="a run.json of something else",
            where=str(path / "run.json"),
            fix="Point to a folder that her2 train finished.",
        )
    if version > SCHEMA_VERSION:
        raise RunError(
            f"a run of schema {SCHEMA_VERSION} or older",
            got=f"schema {version}",
            where=str(path),
            fix="Update her2core to read it.",
        )
    if info.get("status") != "finished":
        raise RunError(
            "a finished run",
            got=f"status {info.get('status')!r}",
            where=str(path),
            fix="Run the same her2 train command again; it resumes.",
        )
    needless = (WEIGHTS,) if info.get("weights_released") is False else ()
    missing = [n for n in REQUIRED if n not in needless and not (path / n).is_file()]
    if missing:
        raise RunError(
            f"all of {', '.join(REQUIRED)}",
            got=f"no {', '.join(missing)}",
            where=str(path),
            fix="Take the run again from its source.",
        )
    card = _json(path / "model.card.json")
    lacking = [f for f in CARD_FIELDS if f not in card]
    for section, fields in CARD_SECTIONS.items():
        held = card.get(section)
        lacking += [f"{section}.{f}" for f in fields if f not in held] if isinstance(held, dict) else [section]
    classes, temperature = card.get("classes"), card.get("temperature")
    named = isinstance(classes, list) and len(set(map(str, classes))) >= 2 and all(isinstance(c, str) for c in classes)
    warm = isinstance(temperature, int | float) and 0 < temperature < float("inf")
    if lacking or not named or not warm:
        got = f"classes {classes!r}" if not named else f"temperature {temperature!r}"
        got = f"no field {lacking[0]!r}" if lacking else got
        raise RunError(
            "a model card with all its fields",
            got=got,
            where=str(path / "model.card.json"),
            fix="Take the run again from its source.",
        )
    return Run(path, info, card)


def list_runs(*roots: str | os.PathLike) -> tuple[list[Run], list[str]]:
    """Finished runs below the folders, newest name first, and one sentence for each folder that is not one.

    Drafts (names that start with a dot) are never looked at.
    """
    runs, problems = [], []
    for root in map(Path, roots):
        for path in sorted(root.iterdir(), reverse=True) if root.is_dir() else []:
            if not path.is_dir() or path.name.startswith(".") or _is_shelf(path):
                continue
            try:
                runs.append(open_run(path))
            except Her2Error as refused:
                problems.append(str(refused))
    return runs, problems


def _is_shelf(path: Path) -> bool:
    """A folder that holds runs (models/study, or a study with its tables): a root of its own, not a broken run."""
    entries = list(path.iterdir())
    return (path / STUDY).is_file() or (
        all(e.is_dir() for e in entries) and any(e.name.startswith(".") or (e / "run.json").is_file() for e in entries)
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as broken:
        raise RunError(
            "valid JSON", got=str(broken)[:120], where=str(path), fix="Take the run again from its source."
        ) from None
    if not isinstance(value, dict):
        raise RunError(
            "a JSON object", got=type(value).__name__, where=str(path), fix="Take the run again from its source."
        )
    return value


def _claimant(claim: Path) -> int | None:
    """The process that holds the draft, if it is alive on this machine and is the same process as then."""
    try:
        held = json.loads(claim.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return None
    pid = held.get("pid") if isinstance(held, dict) else None
    if not isinstance(pid, int) or pid == os.getpid() or held.get("host") != socket.gethostname():
        return None
    return pid if _process_start(pid) == held.get("started") and _exists(pid) else None


def _process_start(pid: int) -> str | None:
    """When the process started, so that a reused number is not mistaken for it; None where it ended or no /proc is."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]  # a zombie is a process that was killed and not yet collected
    except (OSError, IndexError):
        return None


def _exists(pid: int) -> bool:
    """Whether there is such a process; on systems without /proc (macOS) this alone decides."""
    if os.name != "posix" or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
