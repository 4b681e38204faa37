"""Lightning callbacks that keep what a resumed training needs and report how far it is."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from her2core.errors import RunError
from her2core.networks.weights import save_weights
from her2core.runs.writer import STOP, RunWriter
from her2core.training.interrupts import raise_pending

if TYPE_CHECKING:
    from her2core.training.module import NetworkModule

BEST = "best.safetensors"
#: Least seconds between two writes of progress.json.
SECONDS = 1.0

_Outputs = Tensor | Mapping[str, Any] | None


class CheckpointCallback(Checkpoint):
    """Writes history.csv, the best epoch's weights and the checkpoint to resume from, each under a temporary name.

    The order matters: whenever the process is killed, the checkpoint is never newer than the files beside it, so a
    resumed training repeats the epoch and overwrites them. It is a Checkpoint to Lightning, and so called after the
    module has logged its epoch and after all other callbacks.

    Parameters
    ----------
    writer : RunWriter
        The unfinished run.
    monitor : str
        The logged metric that selects the best epoch; ``val_loss`` is minimised, others are maximised.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch : int
        Its epoch, from 0; -1 before the first ends.
    best_sha256 : str
        Of its weights' file.
    rows : list of dict
        The history so far. It travels in the checkpoint, so that a damaged history.csv does no harm.
    """

    def __init__(self, writer: RunWriter, monitor: str) -> None:
        self.writer, self.monitor = writer, monitor
        self.best: float | None = None
        self.best_epoch = -1
        self.best_sha256 = ""
        self.rows: list[dict[str, Any]] = []
        self._started = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint."""
        names = ("best", "best_epoch", "best_sha256", "rows")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        for name, value in state_dict.items():
            setattr(self, name, value)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the epoch's clock."""
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write weights where they are the best, history and event, and last the checkpoint."""
        for name in ("train_loss", "val_loss"):
            refuse_not_finite(
                float(trainer.callback_metrics[name]), name=name, epoch=trainer.current_epoch, writer=self.writer
            )
        score = float(trainer.callback_metrics[self.monitor])
        better = self.best is None or (score < self.best if self.monitor == "val_loss" else score > self.best)
        if better:
            self.best, self.best_epoch = score, trainer.current_epoch
        self._add_row(trainer)
        if trainer.is_global_zero:
            if better:
                network, path = cast("NetworkModule", pl_module).network, self.writer.checkpoints.folder / BEST
                self.best_sha256 = save_weights(network, path, half=False)
            self.write_history()
            self.writer.event("epoch", **self.rows[-1], best=self.best, best_epoch=self.best_epoch)
        trainer.save_checkpoint(self.writer.checkpoints.part)  # every process takes part in this call
        if trainer.is_global_zero:
            self.writer.checkpoints.commit()

    def write_history(self) -> None:
        """Replace history.csv by the rows of the checkpoint."""
        self.writer.write_history(pd.DataFrame(self.rows))

    def _add_row(self, trainer: pl.Trainer) -> None:
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith(("train_", "val_"))}
        row = {
            "epoch": trainer.current_epoch,
            "lr": float(max(group["lr"] for group in trainer.optimizers[0].param_groups)),
            **metrics,
            "seconds": round(time.monotonic() - self._started, 1),
        }
        self.rows = [*self.rows, row]


def refuse_not_finite(loss: float, *, name: str, epoch: int, writer: RunWriter) -> None:
    """Raise for a loss that is no finite number: the training has diverged, and no later epoch mends that.

    Parameters
    ----------
    loss : float
        The loss.
    name : str
        Which.
    epoch : int
        From 0.
    writer : RunWriter
        The unfinished run.

    Raises
    ------
    Diverged
        For NaN and infinity.
    """
    if math.isfinite(loss):
        return
    raise Diverged(
        f"a `{name}` that is a finite number",
        got=f"{loss} in epoch {epoch + 1}",
        where=writer.path,
        fix="The training has diverged: lower train.lr, or set hardware.precision to 32-true.",
    )


class Diverged(RunError):
    """A training whose loss is no finite number any more."""


class Stopped(RunError):
    """A training that ended early because it was asked to stop."""


class ProgressCallback(pl.Callback):
    """Writes progress.json, and looks for a stop request after each batch.

    progress.json holds ``phase`` (preparing patches, computing features, training, evaluating), ``epoch`` (from 0) of
    ``epochs``, ``step`` of ``steps`` (batches of this epoch on the first process; patches of the part in preparation),
    ``loss`` of the last batch on the first process (null before the first one, and when it is not finite),
    ``patches_per_second`` over all processes since the epoch or the preparation began, ``started`` (this process) and
    ``updated``, both UTC. The first process alone writes it, at most once a second, and when a phase, part or epoch
    begins or ends; validation counts as training.

    A stop is an exception out of the batch loop: neither validation nor ``CheckpointCallback`` sees the interrupted
    epoch, so that a resumed training repeats it from its start, as after a kill. With several processes the first one
    looks and the others learn of it by one all-reduce of a number: if each looked by itself, one could see the request
    a batch before the others, which would then wait for its gradients for ever; and other machines need not share the
    folder. Validation is not interrupted: its result is kept, and the next epoch's first batch ends the training.

    Parameters
    ----------
    writer : RunWriter
        The unfinished run.
    epochs : int
        The largest number of epochs.
    first : bool
        Whether this is the first process of the run.
    """

    def __init__(self, writer: RunWriter, *, epochs: int, first: bool) -> None:
        self.writer, self.first = writer, first
        self._request = str(writer.path / STOP)
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
        """Report patches of one part that are prepared.

        Parameters
        ----------
        done, patches : int
            How many, of how many.

        Raises
        ------
        Stopped
            When that was requested.
        """
        if not self.first:  # a helper first joins the others: it stops after their first batch together
            return
        if done <= 1:
            self._since = time.monotonic()
        if os.path.exists(self._request):
            self._stop()
        if done == patches or self._due():
            self._patches = done
            self._write(step=done, steps=patches, patches_per_second=self._rate())

    def extracting(self, done: int, patches: int) -> None:
        """Report patches of one part whose features are computed.

        Parameters
        ----------
        done, patches : int
            How many, of how many that were not in the cache.

        Raises
        ------
        Stopped
            When that was requested.
        """
        self._facts["phase"] = "computing features"
        self.preparing(done, patches)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the epoch's beginning."""
        self._since, self._patches = time.monotonic(), 0
        self._write(
            phase="training",
            epoch=trainer.current_epoch,
            step=0,
            steps=int(trainer.num_training_batches),
            patches_per_second=None,
        )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: _Outputs,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
    ) -> None:
        """Report a batch; raise Stopped when that was requested."""
        self._patches += len(batch[1]) * trainer.world_size
        last = batch_idx + 1 == trainer.num_training_batches
        raise_pending()
        if self.first and isinstance(outputs, Mapping) and (last or self._due()):
            loss = float(outputs["loss"])  # waits for the device, hence not after every batch
            self._write(step=batch_idx + 1, loss=loss if math.isfinite(loss) else None, patches_per_second=self._rate())
            refuse_not_finite(loss, name="loss", epoch=trainer.current_epoch, writer=self.writer)
        if self.writer.lost:
            raise RunError(
                "a run that this process alone is training",
                got="one that another host took over, as this one gave no sign of life for long",
                where=self.writer.path,
                fix="Nothing is lost: it goes on there.",
            )
        requested = self.first and os.path.exists(self._request)
        if trainer.world_size > 1:
            requested = trainer.strategy.reduce_boolean_decision(requested, all=False)
        if requested:
            self._facts.update(epoch=trainer.current_epoch, step=batch_idx + 1)
            self._stop()

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: _Outputs,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Renew ``updated`` during a long validation."""
        if self._due():
            self._write()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the epoch's end."""
        self._write()

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report that the evaluation begins."""
        self._write(phase="evaluating", epoch=max(trainer.current_epoch - 1, 0), patches_per_second=None)

    def _stop(self) -> None:
        epoch, epochs = self._facts["epoch"] + 1, self._facts["epochs"]
        if self.first:
            self._write()
            self.writer.event("stopped", phase=self._facts["phase"], epoch=epoch - 1, step=self._facts["step"])
            self.writer.release()
        preparing = self._facts["phase"] != "training"
        raise Stopped(
            f"a training of up to {epochs} epochs",
            got=f"one stopped on request {'while it prepared its patches' if preparing else f'in epoch {epoch}'}",
            where=self.writer.path,
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
            with contextlib.suppress(OSError):  # a training does not end because its report cannot be written
                self.writer.write_progress(self._facts)
