"""The ``her2`` command: exit code 0 when done, 1 for what the user can correct, 2 for a fault of the program.

``her2 check-run`` exits with 3 where a run does not pass.

Ctrl-C gives 130, and SIGTERM while training 143.

Every command imports what it needs when it runs, so that ``her2 --help`` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any, NoReturn

import click

from her2core.cli import (  # noqa: F401 (each registers its commands)
    data,
    distilling,
    features,
    gating,
    planning,
    reporting,
    runs,
    server,
    serving,
    slides,
    study,
    training,
)
from her2core.cli.base import cli, system_error
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
    except BrokenPipeError:  # the reader of the output, such as head, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as refused:
        said = system_error(refused)
        _fail(wants_json, str(said), 1, where=said.where, fix=said.fix)
    except Exception as broken:
        traceback.print_exc()
        _fail(wants_json, f"A fault of her2core, not of your input: {type(broken).__name__}: {broken}", 2)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(wants_json: bool, message: str, code: int, **parts: Any) -> NoReturn:
    click.echo(json.dumps({"error": message, **parts}) if wants_json else f"Error: {message}", err=not wants_json)
    sys.exit(code)
