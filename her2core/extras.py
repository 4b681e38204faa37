"""Optional packages, named by the extra that installs them."""

from __future__ import annotations

from importlib.util import find_spec

from her2core.errors import ConfigError


def has_modules(*modules: str) -> bool:
    """Tell whether modules are installed, without importing them.

    Parameters
    ----------
    *modules : str
        Top-level modules.

    Returns
    -------
    bool

    Examples
    --------
    >>> has_modules("json"), has_modules("json", "no_such_module")
    (True, False)
    """
    return all(find_spec(name) is not None for name in modules)


def require_extra(extra: str, *modules: str) -> None:
    """Refuse to go on without an extra's packages.

    Parameters
    ----------
    extra : str
        Name of the extra in pyproject.toml.
    *modules : str
        Top-level modules that are needed.

    Raises
    ------
    ConfigError
        That names the command which installs them.

    Examples
    --------
    >>> require_extra("app", "json")
    >>> try:
    ...     require_extra("app", "no_such_module")
    ... except ConfigError as error:
    ...     print(error.fix)
    Run: pip install 'her2core[app]'
    """
    if missing := [name for name in modules if not has_modules(name)]:
        raise ConfigError(
            f"the packages of the extra `{extra}`",
            got=f"no {', '.join(missing)}",
            fix=f"Run: pip install 'her2core[{extra}]'",
        )
