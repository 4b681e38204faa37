"""Checks of the arguments of a predictor."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from PIL import Image

from her2core.errors import ConfigError
from her2core.inference.images import ImageLike, image_name
from her2core.io.images import DecodedImage


def is_one_image(images: object) -> bool:
    """Whether an argument is one image and not several: a string or one array is one.

    Parameters
    ----------
    images : object

    Returns
    -------
    bool

    Examples
    --------
    >>> is_one_image("a.png"), is_one_image(["a.png"])
    (True, False)
    """
    return isinstance(images, str | os.PathLike | bytes | np.ndarray | DecodedImage | Image.Image)


def image_list(images: ImageLike | Iterable[ImageLike]) -> list[ImageLike]:
    """One image or several as a list.

    Parameters
    ----------
    images : image, or iterable of images

    Returns
    -------
    list

    Raises
    ------
    ConfigError
        If it is neither one image nor an iterable.

    Examples
    --------
    >>> image_list(("a.png", "b.png"))
    ['a.png', 'b.png']
    """
    if isinstance(images, str | os.PathLike | bytes | np.ndarray | DecodedImage | Image.Image):
        return [images]
    try:
        return list(images)
    except TypeError:
        raise ConfigError(
            "argument `images` to be an image or a sequence of images",
            got=type(images).__name__,
            fix="An image is a path, bytes, a uint8 (H, W, 3) array or a PIL image.",
        ) from None


def checked_names(names: str | Sequence[str] | None, images: Sequence[ImageLike], *, one: bool) -> list[str]:
    """Names of images: given ones, file names, or numbers.

    Parameters
    ----------
    names : str, sequence of str or None
    images : sequence of images
    one : bool
        Whether the caller gave one image by itself.

    Returns
    -------
    list of str
        As many as there are images.

    Raises
    ------
    ConfigError
        For names of another number or type.

    Examples
    --------
    >>> checked_names(None, ["folder/a.png", b""], one=False)
    ['a.png', 'image 2']
    """
    if names is None:
        return [image_name(image, number) for number, image in enumerate(images, 1)]
    if one:
        if not isinstance(names, str):
            raise ConfigError("argument `names` to be one name for one image", got=repr(names), fix="Pass a string.")
        return [names]
    several = [names] if isinstance(names, str) else list(names)
    if isinstance(names, str) or len(several) != len(images) or not all(isinstance(n, str) for n in several):
        raise ConfigError(
            f"argument `names` to be {len(images)} names, one for each image",
            got=repr(names) if isinstance(names, str) else f"{len(several)} values",
            fix="Pass a list of strings.",
        )
    return several


def checked_mpp(mpp: float | None) -> float | None:
    """Microns per pixel, above 0, or None.

    Parameters
    ----------
    mpp : float or None

    Returns
    -------
    float or None

    Raises
    ------
    ConfigError
        For anything else.

    Examples
    --------
    >>> checked_mpp(0.5)
    0.5
    """
    number = isinstance(mpp, int | float | np.number) and not isinstance(mpp, bool)
    if mpp is not None and not (number and math.isfinite(mpp) and mpp > 0):
        raise ConfigError(
            "argument `mpp` to be microns per pixel above 0", got=repr(mpp), fix="Leave it out if it is unknown."
        )
    return mpp


def checked_batch(batch: int) -> int:
    """Images a forward pass, 1 and up.

    Parameters
    ----------
    batch : int

    Returns
    -------
    int

    Raises
    ------
    ConfigError
        For anything else.

    Examples
    --------
    >>> checked_batch(0)
    Traceback (most recent call last):
        ...
    her2core.errors.ConfigError: Expected argument `batch` to be a whole number of 1 or more, but got 0.
    """
    if isinstance(batch, bool) or not isinstance(batch, int | np.integer) or batch < 1:
        raise ConfigError("argument `batch` to be a whole number of 1 or more", got=repr(batch), fix="")
    return int(batch)


def checked_device(name: str) -> torch.device:
    """A device of this machine.

    Parameters
    ----------
    name : str
        As torch names it.

    Returns
    -------
    torch.device

    Raises
    ------
    ConfigError
        For an unknown device, or one that is not there.

    Examples
    --------
    >>> checked_device("cpu")
    device(type='cpu')
    """
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError, TypeError) as refused:  # unknown, not built in, or not there
        raise ConfigError(
            "argument `device` to be a device of this machine, such as 'cpu' or 'cuda'",
            got=f"{name!r} ({(str(refused).splitlines() or [''])[0][:100]})",
            fix="Use 'cpu'.",
        ) from None
