"""The ``her2`` command: exit code 0 when done, 1 for what the user can correct, 2 for a fault of the program.

Ctrl-C gives 130, and SIGTERM while training 143.

Every command imports what it needs when it runs, so that ``her2 --help`` answers at once.
"""

from __future__ import annotations

import errno
import json
import sys
import traceback
from typing import Any, NoReturn

import click

from her2core.cli import data, reporting, runs, serving, study, training  # noqa: F401 (each registers its commands)
from her2core.cli.base import cli
from her2core.errors import Her2Error

__all__ = ["cli", "main"]


def main() -> None:
    """Run the command and exit with its code."""
    wants_json = "--json" in sys.argv
    try:
        code = cli.main(standalone_mode=False)
    except Her2Error as refused:
        _fail(wants_json, str(refused), 1, where=refused.where, fix=refused.fix)
    except click.ClickException as misused:
        _fail(wants_json, misused.format_message(), 1)
    except (click.Abort, KeyboardInterrupt):
        _fail(wants_json, "Stopped.", 130)
    except OSError as refused:
        _fail(wants_json, _system_refusal(refused), 1)
    except Exception as broken:
        traceback.print_exc()
        _fail(wants_json, f"A fault of her2core, not of your input: {type(broken).__name__}: {broken}", 2)
    sys.exit(code if isinstance(code, int) else 0)


def _system_refusal(refused: OSError) -> str:
    """A sentence for what the system does not let this program do."""
    reason = refused.strerror or str(refused)
    where = f" ({refused.filename})" if refused.filename else ""
    if refused.errno in (errno.ENOSPC, errno.EDQUOT):
        todo = "Free some space"
    elif isinstance(refused, FileNotFoundError):
        todo = "Restore that file"
    else:
        todo = "Choose a place that can be read and written"
    return f"The system refused: {reason}{where}. {todo}, then give the same command again."


def _fail(wants_json: bool, message: str, code: int, **parts: Any) -> NoReturn:
    click.echo(json.dumps({"error": message, **parts}) if wants_json else f"Error: {message}", err=not wants_json)
    sys.exit(code)
