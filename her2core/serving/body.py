"""Bodies of requests: one image with its settings, as multipart form or as JSON, within limits and in memory only."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import safetensors
import safetensors.torch
import torch
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from torch import Tensor

from her2core.errors import Her2Error
from her2core.inference.remote_engine import MAX_PATCHES, TENSORS
from her2core.io.documents import parse_json
from her2core.io.scale import parse_mpp
from her2core.io.text import clean_text

#: Largest image in bytes and in pixels, of one request.
MAX_BYTES, MAX_PIXELS = 30 * 2**20, 16_000_000
#: Base64 takes four characters for three bytes; names and settings take the rest.
_MAX_BODY = MAX_BYTES * 4 // 3 + 2**16
_FIELDS = frozenset({"image", "name", "mpp", "target", "method", "overlay"})
_KINDS = "multipart/form-data with a file `image`, or application/json with `image` in base64"


class RefusedBody(Her2Error):
    """A body that cannot be used. ``status`` is the HTTP status to answer with."""

    status = 400


class WrongType(RefusedBody):
    """A body of another type."""

    status = 415


class TooLarge(RefusedBody):
    """A body beyond the limits."""

    status = 413


class OtherWeights(RefusedBody):
    """Prepared patches for other weights than those that are served."""

    status = 409


@dataclass(frozen=True)
class Body:
    """What a request asks for.

    Attributes
    ----------
    image : bytes
        An encoded image.
    name : str
        Cleaned for display.
    mpp : float or None
        Microns per pixel.
    target : str or None
        Class to explain.
    method : str
        A key of maps.methods.METHODS.
    overlay : bool
        Whether the answer has the map laid over the patch.
    """

    image: bytes
    name: str = "image"
    mpp: float | None = None
    target: str | None = None
    method: str = "gradcam"
    overlay: bool = False


class _InMemory(MultiPartParser):
    """Files stay in memory, where the default writes larger ones to a disk."""

    spool_max_size = MAX_BYTES + 1


async def read_body(request: Request) -> Body:
    """Read and check the body of a request.

    Parameters
    ----------
    request : starlette.requests.Request

    Returns
    -------
    Body

    Raises
    ------
    RefusedBody
        It is of another type, too large, or lacks an image; its ``status`` says which.
    ConfigError
        For microns per pixel out of range.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        fields = await _form(request)
    elif kind == "application/json":
        fields = await _json(request)
    else:
        raise WrongType(f"a body of {_KINDS}", got=clean_text(kind) or "none", fix="Set the header Content-Type.")
    if foreign := sorted(set(fields) - _FIELDS):
        raise RefusedBody(
            f"fields out of {', '.join(sorted(_FIELDS))}", got=clean_text(foreign[0]), where="body", fix="Remove it."
        )
    image = fields.get("image")
    if not isinstance(image, bytes) or not image:
        raise RefusedBody("an image", got="none", where="field `image`", fix=f"Send {_KINDS}.")
    if len(image) > MAX_BYTES:
        raise _too_large()
    mpp, method = fields.get("mpp"), fields.get("method") or "gradcam"
    return Body(
        image,
        name=clean_text(fields.get("name") or "") or "image",
        mpp=None if mpp in (None, "") else parse_mpp(str(mpp)),
        target=None if fields.get("target") in (None, "") else str(fields["target"]),
        method=str(method),
        overlay=str(fields.get("overlay", "")).lower() in ("true", "1"),
    )


async def read_batch(request: Request, px: int) -> Tensor:
    """Read and check prepared patches, as ``her2core.inference.remote_engine`` sends them.

    Parameters
    ----------
    request : starlette.requests.Request
        Its body: safetensors with `batch`, float32 (N, 3, px, px), N up to MAX_PATCHES.
    px : int
        Side of the network's input in pixels.

    Returns
    -------
    Tensor
        float32 (N, 3, px, px).

    Raises
    ------
    RefusedBody
        It is of another type or form, or too large; its ``status`` says which.
    """
    expected = f"safetensors with `batch`, float32 (N, 3, {px}, {px}), N from 1 to {MAX_PATCHES}"
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != TENSORS:
        raise WrongType(f"a body of {TENSORS}", got=clean_text(kind) or "none", fix="Set the header Content-Type.")
    limit = MAX_PATCHES * 12 * px * px + 4096
    body = b"".join([chunk async for chunk in _limited(request, limit)])
    try:
        batch = safetensors.torch.load(body)["batch"]
    except (safetensors.SafetensorError, KeyError, ValueError) as broken:
        raise RefusedBody(expected, got=clean_text(broken), where="body", fix="") from None
    right = batch.dtype == torch.float32 and batch.shape[1:] == (3, px, px) and 1 <= len(batch) <= MAX_PATCHES
    if not right:
        raise RefusedBody(expected, got=f"{batch.dtype} {tuple(batch.shape)}", where="body", fix="")
    return batch


async def _form(request: Request) -> dict[str, Any]:
    try:
        form = await _InMemory(request.headers, _limited(request), max_files=1, max_fields=len(_FIELDS)).parse()
    except (MultiPartException, KeyError, ValueError) as broken:
        raise RefusedBody("a multipart form", got=clean_text(broken), where="body", fix="Send it again.") from None
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        fields[name] = await value.read() if isinstance(value, UploadFile) else value
        if isinstance(value, UploadFile):
            fields.setdefault("name", value.filename)
    await form.close()
    return fields


async def _json(request: Request) -> dict[str, Any]:
    body = b"".join([chunk async for chunk in _limited(request)])
    try:
        fields = parse_json(body)
        if not isinstance(fields, Mapping):
            raise ValueError("another value")
        encoded = fields.get("image")
        image = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else encoded
    except (ValueError, binascii.Error) as broken:
        raise RefusedBody(
            "a JSON object with `image` in base64", got=clean_text(broken), where="body", fix="Send it again."
        ) from None
    return {**fields, "image": image}


async def _limited(request: Request, limit: int | None = None) -> AsyncGenerator[bytes, None]:
    """The body in pieces, ended as soon as it is too large, whatever its header states."""
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > (limit or _MAX_BODY):
            raise TooLarge("fewer patches", got="a larger body", fix="") if limit else _too_large()
        yield chunk


def _too_large() -> TooLarge:
    return TooLarge(f"an image of at most {MAX_BYTES // 2**20} MiB", got="a larger one", fix="Send a smaller one.")
