"""``python -m her2core`` is the ``her2`` command."""

from her2core.cli import main

main()
