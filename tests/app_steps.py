"""Steps of a visitor to the dashboard, in a session without a browser."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from streamlit.testing.v1 import AppTest

from her2core.cli import cli

ROOT = Path(__file__).resolve().parents[1]
#: Page name -> its script.
PAGES = {
    {"predictions": "your predictions", "external": "external validation"}.get(page.stem, page.stem): str(
        page.relative_to(ROOT)
    )
    for page in sorted((ROOT / "pages").rglob("*.py"))
}
#: Pages about the selected model.
OF_A_RUN = [p for p in PAGES if p not in ("your predictions", "leakage", "runs", "about")]


def rewrite(file: Path, content: str | bytes) -> None:
    file.unlink()
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def edit_json(file: Path, **changes) -> None:
    rewrite(file, json.dumps({**json.loads(file.read_text()), **changes}))


def evaluate_again(run: Path, predictions: pd.DataFrame) -> None:
    """Give a run other predictions, and the evaluation that follows from them."""
    (run / "predictions.parquet").unlink()
    predictions.to_parquet(run / "predictions.parquet", index=False)
    shutil.rmtree(run / "evaluation")
    cli.main(["evaluate", str(run), "--save"], standalone_mode=False)


def visit(page: str = "patch", **query: str) -> AppTest:
    """A new session that opens a page's address."""
    at = AppTest.from_file(ROOT / "app.py", default_timeout=60)
    at.query_params.update(query)
    return at.switch_page(PAGES[page]).run()


def unescaped(text: str) -> str:
    """What a reader sees of text that her2core.io.text escaped."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text).replace("\u200c", "")


def errors(at: AppTest) -> list[str]:
    assert not at.exception, [e.message for e in at.exception]
    return [unescaped(e.value) for e in at.error]


def said(elements) -> str:
    return "\n".join(unescaped(e.value) for e in elements)


def figure(at: AppTest, number: int = 0) -> dict:
    return json.loads(at.get("plotly_chart")[number].proto.spec)


def numbers(values) -> np.ndarray:
    """Plotly's JSON holds arrays as lists or, packed, as base64."""
    if isinstance(values, dict):
        flat = np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"])
        return flat.reshape([int(n) for n in values["shape"].split(",")]) if "shape" in values else flat
    return np.array(values, dtype=float)


def map_class(at):
    """The choice of the map's class; its key names the patch, so that each patch keeps its own."""
    return next((tabs for tabs in at.get("button_group") if tabs.label == "Map for class"), None)


def picture(at: AppTest, words: str):
    """The picture whose text alternative has these words; None where there is none."""
    return next((image for image in at.image if words in image.proto.imgs[0].alt), None)


def view_of_maps(at: AppTest, view: str) -> AppTest:
    """Choose how the viewer shows patch and maps."""
    return next(tabs for tabs in at.get("button_group") if tabs.label == "View").set_value(view).run()


def patch_box(at):
    """The choice of the patch in view; its key names the patches, so that each set of them keeps its own."""
    return next((box for box in at.selectbox if box.label == "Patch"), None)


def upload(at: AppTest, *files: tuple[str, bytes]) -> AppTest:
    return at.file_uploader[0].set_value([(name, data, "image/png") for name, data in files]).run()


def rename_classes(run: Path, frame: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """Give a run's card other names of its classes; its predictions ``frame`` with these names."""
    edit_json(run / "model.card.json", classes=list(names.values()), prediction_sets=None)
    frame = frame.rename(columns={f"logit_{a}": f"logit_{b}" for a, b in names.items()})
    return frame.assign(label=frame["label"].map(names))
