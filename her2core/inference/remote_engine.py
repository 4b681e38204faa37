"""Forward pass by a server (``her2 serve``) of the same weights on another machine.

Only the forward pass travels: prepared patches go there, features and scores come back. Preparation, calibration,
out-of-distribution score and maps are computed here, by the same run.
"""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from her2core.errors import ConfigError, NetworkError
from her2core.inference.engine_names import TOKEN
from her2core.inference.engines import Forward
from her2core.io.text import clean_text

#: Type of bodies in both directions: tensors as safetensors.
TENSORS = "application/octet-stream"
#: Header with the SHA-256 of the weights that are asked for, and of the answer's engine.
WEIGHTS_HEADER, ENGINE_HEADER = "X-Her2-Weights", "X-Her2-Engine"
#: Patches in one request, at most.
MAX_PATCHES = 32
#: Seconds until a server that does not answer is given up.
_TIMEOUT = 60.0


class RemoteEngine:
    """Forward pass by a server.

    Parameters
    ----------
    url : str
        Of the server, as ``http://host:8080``.
    weights_sha256 : str
        Of the weights that it must serve.
    responses : bool
        Whether a pass gives responses.
    token : str, optional
        What the server asks for.

    Raises
    ------
    NetworkError
        The server does not answer, refuses, or serves other weights.
    """

    def __init__(self, url: str, weights_sha256: str, *, responses: bool, token: str | None = None) -> None:
        self._url, self._weights, self._responses = url.rstrip("/"), weights_sha256, responses
        self._token = token
        served = self._json("/health")
        self._engine = str(served.get("engine", ""))
        self._described = f"{clean_text(self._engine)}, at {self._url}"

    def forward(self, batch: Tensor) -> Forward:
        """The outputs for network inputs, float32 (N, 3, px, px) in any memory format."""
        if len(batch) > MAX_PATCHES:
            features, scores, responses = zip(*map(self.forward, batch.split(MAX_PATCHES)), strict=True)
            joined = None if responses[0] is None else torch.cat(responses)
            return Forward(torch.cat(features), torch.cat(scores), joined)
        body = safetensors.torch.save({"batch": batch.detach().cpu().contiguous()})
        headers = {"Content-Type": TENSORS, WEIGHTS_HEADER: self._weights}
        content, answered = self._ask("/forward", body, headers)
        engine = answered.get(ENGINE_HEADER, "")
        if engine != self._engine:
            raise NetworkError(
                f"the engine {self._engine!r} of the first answer",
                got=repr(clean_text(engine)),
                where=self._url,
                fix="The server was started anew: start this program again, so that predictions name its engine.",
            )
        try:
            found = safetensors.torch.load(content)
            outputs = Forward(found["features"], found["scores"], found.get("responses"))
        except (safetensors.SafetensorError, KeyError, ValueError) as broken:
            raise self._no_server(f"an answer without tensors ({clean_text(broken)})") from None
        if self._responses and outputs.responses is None:
            raise self._no_server("an answer without responses for the out-of-distribution score")
        return outputs if self._responses else outputs._replace(responses=None)

    def describe(self) -> str:
        """Library, version, precision and device, as every prediction states them."""
        return self._described

    def _json(self, path: str) -> dict[str, Any]:
        content, _ = self._ask(path, None, {})
        try:
            found = json.loads(content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._no_server("an answer that is no JSON object")
        return found

    def _ask(self, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[bytes, Any]:
        if self._token:
            headers = {**headers, "Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(self._url + path, body, headers)
        try:
            with _OPENER.open(request, timeout=_TIMEOUT) as answer:
                return answer.read(), answer.headers
        except urllib.error.HTTPError as refused:
            raise self._no_server(f"status {refused.code}: {_sentence(refused)}") from None
        except (OSError, http.client.HTTPException) as failed:
            raise self._no_server(clean_text(getattr(failed, "reason", None) or failed)) from None

    def _no_server(self, got: str) -> NetworkError:
        return NetworkError(
            "an answer of her2 serve with the weights of this run",
            got=got,
            where=self._url,
            fix=f"Start it there (her2 serve), set {TOKEN} to its token, or use an engine of this machine.",
        )


def remote_engine(url: str, weights_sha256: str, *, responses: bool) -> RemoteEngine:
    """The engine of a server, with the token of the environment.

    Parameters
    ----------
    url : str
    weights_sha256 : str
    responses : bool

    Returns
    -------
    RemoteEngine

    Raises
    ------
    ConfigError
        The address holds a name, a password or a query.
    NetworkError
        The server does not answer, refuses, or serves other weights.

    Examples
    --------
    >>> remote_engine("http://name:word@host", "", responses=False)
    Traceback (most recent call last):
        ...
    her2core.errors.ConfigError: Expected an address such as http://host:8080, but got one with a password or a query \
(engine). Give the token in HER2_SERVE_TOKEN.
    """
    if any(sign in url for sign in "@?#"):
        raise ConfigError(
            "an address such as http://host:8080",
            got="one with a password or a query",
            where="engine",
            fix=f"Give the token in {TOKEN}.",
        )
    return RemoteEngine(url, weights_sha256, responses=responses, token=os.environ.get(TOKEN) or None)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would send the token and the patch to another server."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


# No proxy of the environment: patches go to the named server alone.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def _sentence(refused: urllib.error.HTTPError) -> str:
    try:
        return clean_text(json.loads(refused.read(65536))["error"])
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return clean_text(refused.reason)
