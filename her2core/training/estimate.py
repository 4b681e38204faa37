"""Time of a training, estimated from a few measured steps of it (``measured_steps.py``)."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from her2core.errors import RunError
from her2core.io.documents import parse_json
from her2core.io.files import write_text
from her2core.locations import working_folder
from her2core.runs.time_left import duration_text
from her2core.training.config import RunConfig

#: Seconds between two looks at a process that measures.
_LOOK = 0.2


@dataclass(frozen=True)
class Estimate:
    """Estimated time of a training, and what it was measured on.

    Attributes
    ----------
    prepare_seconds : float
        Reading and preparing every patch once.
    step_seconds : float
        One training step: median of ``measured``.
    steps : int
        Steps of an epoch.
    validation_seconds : float
        Validation after an epoch.
    epochs : int
        The largest number of epochs.
    measured : int
        Number of steps measured.
    patches : int
        Of the manifest.
    network : str
    batch_size, px : int
    device : str
        cpu or cuda.
    threads : int
        Of torch, on a CPU.
    precision : str

    Examples
    --------
    >>> estimate = Estimate(10.0, 2.0, 30, 5.0, 20, 4, 1200, "resnet50", 32, 112, "cpu", 2, "32-true")
    >>> estimate.epoch_seconds, estimate.seconds
    (65.0, 1310.0)
    """

    prepare_seconds: float
    step_seconds: float
    steps: int
    validation_seconds: float
    epochs: int
    measured: int
    patches: int
    network: str
    batch_size: int
    px: int
    device: str
    threads: int
    precision: str

    @property
    def epoch_seconds(self) -> float:
        """Seconds of one epoch: its steps and validation."""
        return self.steps * self.step_seconds + self.validation_seconds

    @property
    def seconds(self) -> float:
        """Seconds of all epochs and of the preparation; evaluation after the last epoch comes on top."""
        return self.prepare_seconds + self.epochs * self.epoch_seconds

    def as_dict(self) -> dict[str, Any]:
        """Fields and sums as plain values, ready for JSON; ``text`` is the sentence for people."""
        sums = {"epoch_seconds": self.epoch_seconds, "seconds": self.seconds, "text": self.text()}
        return {**asdict(self), **sums}

    def text(self) -> str:
        """The estimate for people: how long at most, made of what, measured on what.

        Examples
        --------
        >>> Estimate(10.0, 2.0, 30, 5.0, 20, 4, 1200, "resnet50", 32, 112, "cpu", 2, "32-true").text()[:46]
        'Estimated: about 22 min for at most 20 epochs,'
        """
        where = f"the CPU with {self.threads} thread{'s' * (self.threads > 1)}" if self.device == "cpu" else "one GPU"
        steps = "one training step" if self.measured == 1 else f"median of {self.measured} training steps"
        return (
            f"Estimated: about {duration_text(self.seconds)} for at most {self.epochs} epochs, each "
            f"{duration_text(self.epoch_seconds)} ({self.steps} steps of {self.step_seconds:.2g} s, validation "
            f"{duration_text(self.validation_seconds)}), and {duration_text(self.prepare_seconds)} to prepare "
            f"{self.patches:,} patches. Measured on {where} as it is used at the moment, {self.precision}: {steps} of "
            f"{self.network} on {self.batch_size} patches of {self.px} px of this manifest. Early stopping can end it "
            "sooner; the evaluation after the last epoch is not included."
        )


def measured_estimates(
    configs: Sequence[RunConfig],
) -> Callable[[Callable[[], bool]], Iterator[tuple[list[Estimate], int, int]]]:
    """Steps of a background job that measures trainings one after the other, by ``her2 train --estimate``.

    Each is measured in a process of its own, as it is trained later, so that the server loads no network.

    Parameters
    ----------
    configs : sequence of RunConfig
        The trainings.

    Returns
    -------
    callable
        For ``inference.background.Job``: yields (new estimates, measured, of how many), in the order of ``configs``. A
        training that cannot be measured ends it with a RunError.
    """

    def steps(cancelled: Callable[[], bool]) -> Iterator[tuple[list[Estimate], int, int]]:
        for done, config in enumerate(configs):
            with tempfile.TemporaryDirectory() as folder:
                file, answer = Path(folder, "config.yaml"), Path(folder, "answer.json")
                write_text(file, config.to_yaml())
                words = [sys.executable, "-m", "her2core", "train", str(file), "--estimate", "--json"]
                with answer.open("wb") as out:
                    process = subprocess.Popen(
                        words, cwd=working_folder(), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL
                    )
                try:
                    while True:
                        yield [], done, len(configs)
                        if cancelled():
                            return
                        try:
                            process.wait(_LOOK)
                            break
                        except subprocess.TimeoutExpired:
                            continue
                finally:
                    process.kill()
                    process.wait()
                yield [_estimate(answer.read_bytes(), process.returncode, config)], done + 1, len(configs)

    return steps


def _estimate(said: bytes, code: int, config: RunConfig) -> Estimate:
    try:
        answer = parse_json(said)
    except ValueError:
        answer = None
    values: Mapping[str, Any] = answer if isinstance(answer, dict) else {}
    names = [field.name for field in fields(Estimate)]
    if code or not set(names) <= set(values):
        raise RunError(
            "a training whose steps can be measured",
            got=str(values.get("error", f"a process that ended with {code}, perhaps for lack of memory")),
            where=config.network.name,
            fix="Correct that, then measure again.",
        )
    return Estimate(**{name: values[name] for name in names})
