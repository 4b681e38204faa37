"""What is kept while a run trains? After each epoch: history, the best weights, and a checkpoint to resume from."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pandas as pd
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from her2core.networks.weights import save_weights
from her2core.runs.folder import RunDraft

BEST = "best.safetensors"
LAST = "last.ckpt"


class Keep(Checkpoint):
    """Writes history.csv, the best epoch's weights and the resume checkpoint; each under a temporary name first.

    The order matters: whatever is interrupted, the checkpoint is never newer than what stands beside it, so a resumed
    run repeats the epoch and overwrites the rest. A Checkpoint to Lightning, so that it is called after the module has
    logged its epoch and after all other callbacks.
    """

    def __init__(self, draft: RunDraft, monitor: str) -> None:
        self.draft, self.monitor = draft, monitor
        self.best: float | None = None
        self.best_epoch = -1
        self._started = time.monotonic()

    def state_dict(self) -> dict:
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict) -> None:
        self.best, self.best_epoch = state["best"], state["best_epoch"]

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        score = float(trainer.callback_metrics[self.monitor])
        better = self.best is None or (score < self.best if self.monitor == "val_loss" else score > self.best)
        if better:
            self.best, self.best_epoch = score, trainer.current_epoch
        if trainer.is_global_zero:
            if better:
                save_weights(module.network, self.draft.checkpoints / BEST, half=False)
            self._append(trainer)
        part = self.draft.checkpoints / f".{LAST}.part"
        trainer.save_checkpoint(part)  # every process takes part in this call
        if trainer.is_global_zero:
            os.replace(part, self.draft.checkpoints / LAST)

    def _append(self, trainer: pl.Trainer) -> None:
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith(("train_", "val_"))}
        row = {
            "epoch": trainer.current_epoch,
            "lr": max(group["lr"] for group in trainer.optimizers[0].param_groups),
            **metrics,
            "seconds": round(time.monotonic() - self._started, 1),
        }
        path: Path = self.draft.path / "history.csv"
        rows = pd.read_csv(path).to_dict("records") if path.is_file() else []
        rows = [r for r in rows if r["epoch"] < row["epoch"]] + [row]
        self.draft.write_history(pd.DataFrame(rows))
        self.draft.event("epoch", **row, best=self.best, best_epoch=self.best_epoch)
