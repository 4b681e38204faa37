"""Small images for tests of the importers."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

REAL = Path(__file__).resolve().parents[1].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real images are not at {REAL}")


def png(path: Path, side=8, colour=(200, 100, 150)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), colour).save(path)
    return path
