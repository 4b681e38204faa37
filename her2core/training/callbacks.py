"""What is kept and told while a run trains? After each epoch history, weights and a checkpoint; meanwhile progress.

``Keep`` writes what a resumed run needs. ``Watch`` writes how far the training is, for whoever looks from outside, and
ends it when somebody asks for that.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from her2core.errors import RunError
from her2core.networks.weights import save_weights
from her2core.runs.folder import STOP, RunDraft

BEST = "best.safetensors"
LAST = "last.ckpt"
#: progress.json is written at most this often.
SECONDS = 1.0


class CheckpointCallback(Checkpoint):
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


class Stopped(RunError):
    """A training that ended early because somebody asked for it."""


class ProgressCallback(pl.Callback):
    """Writes the draft's progress.json, and looks after each batch whether the training was asked to stop.

    progress.json: ``phase`` (preparing patches, computing features, training,
    evaluating), ``epoch`` (from 0) of ``epochs``, ``step`` of
    ``steps`` (batches of this epoch on the first process; patches of the part being prepared), ``loss`` of the last
    batch on the first process (null before the first one, and when it is not finite), ``patches_per_second`` over all
    processes since the epoch or the part's preparation began, ``started`` (this process) and ``updated``, both UTC.
    Written by the first process alone, at most once a second, and when a phase, part or epoch begins or ends;
    validation counts as training.

    A stop is an exception out of the batch loop: neither validation nor ``Keep`` sees the cut epoch, so that a resumed
    run repeats it whole, just as after a kill. With several processes the first one looks and tells the others in one
    all-reduce of a number: were each to look by itself, one could see the request a batch before the others, which
    would then wait for its gradients for ever; and other machines need not share the folder. Validation is not
    interrupted: what it costs is kept, and the next epoch's first batch ends the training.
    """

    def __init__(self, draft: RunDraft, *, epochs: int, first: bool) -> None:
        self.draft, self.first = draft, first
        self._request = str(draft.path / STOP)
        self._facts: dict[str, Any] = {
            "phase": "preparing patches",
            "epoch": 0,
            "epochs": epochs,
            "step": 0,
            "steps": 0,
            "loss": None,
            "patches_per_second": None,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._since, self._patches, self._written = time.monotonic(), 0, 0.0
        self._write()

    def preparing(self, done: int, patches: int) -> None:
        """``done`` of the part's ``patches`` are prepared. Raises Stopped when that is asked for."""
        if not self.first:  # a helper joins the others first: it is stopped after their first batch together
            return
        if done <= 1:
            self._since = time.monotonic()
        if os.path.exists(self._request):
            self._stop()
        if done == patches or self._due():
            self._patches = done
            self._write(step=done, steps=patches, patches_per_second=self._rate())

    def extracting(self, done: int, patches: int) -> None:
        """``done`` of the part's ``patches`` that a frozen network had not seen are seen. Raises Stopped, as above."""
        self._facts["phase"] = "computing features"
        self.preparing(done, patches)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._since, self._patches = time.monotonic(), 0
        self._write(
            phase="training",
            epoch=trainer.current_epoch,
            step=0,
            steps=int(trainer.num_training_batches),
            patches_per_second=None,
        )

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs, batch, batch_idx) -> None:
        self._patches += len(batch[1]) * trainer.world_size
        last = batch_idx + 1 == trainer.num_training_batches
        if self.first and (last or self._due()):
            loss = float(outputs["loss"])  # waits for the device, hence not after every batch
            self._write(step=batch_idx + 1, loss=loss if math.isfinite(loss) else None, patches_per_second=self._rate())
        asked = self.first and os.path.exists(self._request)
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked:
            self._facts.update(epoch=trainer.current_epoch, step=batch_idx + 1)
            self._stop()

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0) -> None:
        if self._due():
            self._write()  # a sign of life

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._write()

    def on_fit_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self._write(phase="evaluating", epoch=max(trainer.current_epoch - 1, 0), patches_per_second=None)

    def _stop(self) -> None:
        epoch, epochs = self._facts["epoch"] + 1, self._facts["epochs"]
        if self.first:
            self._write()
            self.draft.event("stopped", phase=self._facts["phase"], epoch=epoch - 1, step=self._facts["step"])
            self.draft.release()
        preparing = self._facts["phase"] != "training"
        raise Stopped(
            expected=f"a training of up to {epochs} epochs",
            got=f"one stopped on request {'while it prepared its patches' if preparing else f'in epoch {epoch}'}",
            where=str(self.draft.path),
            fix=f"The same command resumes {'it' if preparing else f'from epoch {epoch}'}.",
        )

    def _due(self) -> bool:
        return self.first and time.monotonic() - self._written >= SECONDS

    def _rate(self) -> float:
        return round(self._patches / max(time.monotonic() - self._since, 1e-6), 1)

    def _write(self, **facts: Any) -> None:
        self._facts.update(facts)
        if self.first:
            self._written = time.monotonic()
            with contextlib.suppress(OSError):  # a day's training does not end for want of a report about it
                self.draft.write_progress(self._facts)
