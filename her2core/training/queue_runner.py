"""Process that trains the configurations of a queue one after the other (``training/queue.py``).

Each training is a ``her2 train`` of its own, so that one that fails, or is killed for lack of memory, does not end the
others. SIGTERM is passed on to the training under way, and no further one begins.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from her2core.io.files import write_text
from her2core.runs.lock import LOCK, Claim

#: Endings of a training's files beside its configuration.
ANSWER, LOG, CODE = ".json", ".log", ".code"


def configurations_of(folder: Path) -> list[Path]:
    """List the configurations of a queue in their order.

    Parameters
    ----------
    folder : Path
        Of the queue.

    Returns
    -------
    list of Path

    Examples
    --------
    >>> configurations_of(Path("no-such-folder"))
    []
    """
    return sorted(path for path in folder.glob("[0-9]*-*.yaml") if path.is_file() and not path.is_symlink())


def command(config: Path) -> list[str]:
    """The command that trains a configuration of a queue, and resumes it.

    Parameters
    ----------
    config : Path
        Its YAML file, in a queue's folder.

    Returns
    -------
    list of str
        Words of ``her2``.

    Examples
    --------
    >>> command(Path("runs/.queue/one/1-own.yaml"))
    ['train', 'runs/.queue/one/1-own.yaml', '--runs', 'runs', '--quiet']
    """
    return ["train", str(config), "--runs", str(config.parents[2]), "--quiet"]


class QueueRunner:
    """The work on one queue.

    Parameters
    ----------
    folder : Path
        Of the queue.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stopped = False
        self._process: subprocess.Popen[bytes] | None = None

    def stop(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Stop the training under way, and begin no further one; as a signal handler."""
        self._stopped = True
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    def run(self) -> None:
        """Train what has not finished; those that failed are tried again.

        Raises
        ------
        RunError
            When another process is at work on the queue.
        """
        claim = Claim(self.folder / LOCK, guard=self.folder.parent / f".{self.folder.name}.claim")
        try:
            pending = [path for path in configurations_of(self.folder) if not _is_done(path)]
            for path in pending:
                path.with_suffix(CODE).unlink(missing_ok=True)
            for path in pending:
                code = self._train(path)
                if self._stopped:
                    return
                if code:
                    write_text(path.with_suffix(CODE), str(code))
        finally:
            claim.release()

    def _train(self, config: Path) -> int:
        with config.with_suffix(ANSWER).open("wb") as answer, config.with_suffix(LOG).open("ab") as log:
            words = [sys.executable, "-m", "her2core", *command(config), "--json"]
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=answer, stderr=log)
            if self._stopped:  # a signal that came before there was a process to pass it on to
                self._process.terminate()
            return self._process.wait()


def _is_done(config: Path) -> bool:
    answer = config.with_suffix(ANSWER)
    return answer.is_file() and b'"run"' in answer.read_bytes()


def main() -> None:
    """Work on the queue whose folder is the first argument."""
    runner = QueueRunner(Path(sys.argv[1]))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, runner.stop)
    runner.run()


if __name__ == "__main__":
    main()
