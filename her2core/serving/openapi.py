"""OpenAPI description of the server, and the same as a page that loads nothing from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

from her2core import __version__
from her2core.inference.remote_engine import ENGINE_HEADER, MAX_PATCHES, TENSORS, WEIGHTS_HEADER
from her2core.maps.methods import METHODS
from her2core.notice import NOTICE
from her2core.serving.body import MAX_BYTES, MAX_PIXELS

_STATUS = {
    "200": "The answer.",
    "400": "The body lacks an image or has another form.",
    "401": "No token, or a wrong one.",
    "409": "Prepared patches for other weights than those that are served.",
    "413": "The image has too many bytes.",
    "415": "The body is of another type.",
    "422": "The image cannot be read, or a setting is out of range; `error` says why.",
    "503": "Too many patches wait; try again after the time in Retry-After.",
}


def description(model: str, classes: Sequence[str], *, token: bool) -> dict[str, Any]:
    """The OpenAPI document (version 3.1).

    Parameters
    ----------
    model : str
        ``Predictor.model_id``.
    classes : sequence of str
    token : bool
        Whether requests need one.

    Returns
    -------
    dict
        JSON-ready.

    Examples
    --------
    >>> sorted(description("demo@1", ["a", "b"], token=True)["paths"])
    ['/explain', '/forward', '/health', '/metrics', '/predict']
    """
    common = {
        "name": {"type": "string", "description": "What to call the patch; the file's name by default."},
        "mpp": {"type": "string", "description": "Microns per pixel, or objective (20x); the file's own by default."},
    }
    explain = {
        "target": {"type": "string", "enum": list(classes), "description": "The most probable class by default."},
        "method": {"type": "string", "enum": list(METHODS), "default": "gradcam"},
        "overlay": {"type": "boolean", "default": False, "description": "Also the map over the patch, as PNG."},
    }
    paths: dict[str, Any] = {
        "/predict": {"post": _operation("Prediction for one patch", common, _PREDICTION)},
        "/explain": {
            "post": _operation("Class-activation map of one patch", {**common, **explain}, _explanation(_PREDICTION))
        },
        "/forward": {"post": _FORWARD},
        "/health": {"get": {"summary": "Whether the server answers, and what it serves", "responses": _plain("200")}},
        "/metrics": {"get": {"summary": "Metrics in Prometheus' text format", "responses": _plain("200", "401")}},
    }
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": f"her2core: {model}", "version": __version__, "description": NOTICE},
        "paths": paths,
    }
    if token:
        document["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        for path in ("/predict", "/explain", "/forward", "/metrics"):
            for operation in paths[path].values():
                operation["security"] = [{"token": []}]
    return document


def page(document: dict[str, Any]) -> str:
    """The description as one HTML page.

    Parameters
    ----------
    document : dict
        From `description`.

    Returns
    -------
    str

    Examples
    --------
    >>> "Research use only" in page(description("demo@1", ["a", "b"], token=False))
    True
    """
    rows = "".join(
        f"<h2><code>{method.upper()} {path}</code></h2><p>{escape(operation['summary'])}.</p>"
        f"<pre>{escape(json.dumps(operation, indent=2))}</pre>"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    )
    info = document["info"]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title></head>'
        f"<body><h1>{escape(info['title'])}</h1><p><strong>{escape(info['description'])}</strong></p>"
        f'<p>The same as <a href="openapi.json">openapi.json</a>.</p>{rows}</body></html>'
    )


_TENSORS = {TENSORS: {"schema": {"type": "string", "format": "binary"}}}
_FORWARD: dict[str, Any] = {
    "summary": "Forward pass alone, for her2core on another machine (engine http://host:8080)",
    "parameters": [{"name": WEIGHTS_HEADER, "in": "header", "required": True, "schema": {"type": "string"}}],
    "requestBody": {
        "required": True,
        "description": f"safetensors with `batch`, float32 (N, 3, px, px), N up to {MAX_PATCHES}.",
        "content": _TENSORS,
    },
    "responses": {
        "200": {
            "description": "safetensors with `features`, `scores` and, where the run has them, `responses`.",
            "headers": {ENGINE_HEADER: {"schema": {"type": "string"}}},
            "content": _TENSORS,
        },
        **{code: {"description": _STATUS[code]} for code in ("400", "401", "409", "413", "415", "503")},
    },
}
_PREDICTION: dict[str, Any] = {
    "type": "object",
    "description": "As Prediction.as_dict of the Python API, with the notice.",
    "properties": {
        "name": {"type": "string"},
        "answer": {"type": "string"},
        "reliable": {"type": "boolean"},
        "reasons": {"type": "array", "items": {"type": "string"}},
        "label": {"type": ["string", "null"]},
        "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
        "prediction_set": {"type": ["array", "null"], "items": {"type": "string"}},
        "ood_score": {"type": ["number", "null"]},
        "flags": {"type": "array", "items": {"type": "string"}},
        "model": {"type": "string"},
        "engine": {"type": "string"},
        "notice": {"type": "string"},
    },
}


def _explanation(prediction: dict[str, Any]) -> dict[str, Any]:
    grid = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
    map_ = {"target": {"type": "string"}, "method": {"type": "string"}, "grid": grid, "empty": {"type": "boolean"}}
    overlay = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
    return {
        "type": "object",
        "properties": {
            "prediction": prediction,
            "map": {"type": "object", "properties": map_},
            "overlay": overlay,
            "notice": {"type": "string"},
        },
    }


def _operation(summary: str, fields: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    limit = f"PNG, JPEG, TIFF, BMP or WebP of at most {MAX_BYTES // 2**20} MiB and {MAX_PIXELS:,} pixels."
    file = {"type": "string", "contentMediaType": "application/octet-stream", "description": limit}
    encoded = {"type": "string", "contentEncoding": "base64", "description": limit}
    schemas = {
        kind: {"schema": {"type": "object", "required": ["image"], "properties": {"image": image, **fields}}}
        for kind, image in (("multipart/form-data", file), ("application/json", encoded))
    }
    responses: dict[str, Any] = _plain(*_STATUS)
    responses["200"]["content"] = {"application/json": {"schema": answer}}
    return {"summary": summary, "requestBody": {"required": True, "content": schemas}, "responses": responses}


def _plain(*codes: str) -> dict[str, Any]:
    return {code: {"description": _STATUS[code]} for code in codes}
