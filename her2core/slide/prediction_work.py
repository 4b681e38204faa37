"""Prediction of one slide as an object that travels to other processes: paths and settings, no pixels and no weights.

Each process loads the run once, when its first slide comes; a slide's file is opened by the process that reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from her2core.inference.predictor import Predictor, load_predictor
from her2core.slide.jobs import SlideJob
from her2core.slide.predict import SlideSettings, predict_slide


@dataclass(frozen=True)
class PredictionWork:
    """Predicts one slide (``predict.predict_slide``).

    Parameters
    ----------
    run : Path
    engine : str or None
        A key of ``inference.engine_names.ENGINES``.
    settings : SlideSettings
    out : Path
        Folder of all slides.
    """

    run: Path
    engine: str | None
    settings: SlideSettings
    out: Path

    def __call__(self, job: SlideJob) -> tuple[dict[str, Any], bool]:
        """Content of slide.json, and whether the slide was finished before; raises as ``predict_slide`` does."""
        return predict_slide(_predictor(self.run, self.engine), job, self.out, self.settings)


@lru_cache(maxsize=1)
def _predictor(run: Path, engine: str | None) -> Predictor:
    return load_predictor(run, engine=engine)
