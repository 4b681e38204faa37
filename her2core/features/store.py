"""Which features are known already? Keys of patches in; the vectors that were computed before, out; new ones kept.

    <folder>/<64 hex digits>.safetensors    one file a network with its weights and way of scaling pixels:
                                            "keys" uint8 (N, 32), "vectors" float32 (N, C)

A patch's key is the SHA-256 of its prepared pixels: it changes with the image, its window, its size and every change
in preparing, so that nothing can be stale. A file that cannot be read is made anew: it holds nothing that cannot be
computed again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from her2core.io.files import write_via_temporary


def patch_keys(images: np.ndarray) -> np.ndarray:
    """uint8 (N, px, px, 3) prepared patches -> uint8 (N, 32): the SHA-256 of each one's pixels."""
    digests = b"".join(hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest() for image in images)
    return np.frombuffer(digests, np.uint8).reshape(len(images), 32)


class FeatureStore:
    """The vectors of one network. ``name`` (hex) says which network, weights and scaling they belong to."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = Path(folder) / f"{name}.safetensors"

    def read(self) -> dict[bytes, np.ndarray]:
        """Key -> float32 (C,)."""
        try:
            held = load_file(self.path)
            keys, vectors = held["keys"], held["vectors"]
        except (OSError, SafetensorError, KeyError):
            return {}
        whole = keys.dtype == np.uint8 and keys.shape == (len(vectors), 32)
        if not (whole and vectors.dtype == np.float32 and vectors.ndim == 2 and np.isfinite(vectors).all()):
            return {}
        return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}

    def write(self, vectors: dict[bytes, np.ndarray]) -> None:
        """Keep these. Of two processes that write at once one may lose what the other computed, never the file."""
        keys = np.frombuffer(b"".join(vectors), np.uint8).reshape(len(vectors), 32)
        content = {"keys": keys.copy(), "vectors": np.stack(list(vectors.values())).astype(np.float32)}
        write_via_temporary(self.path, lambda t: save_file(content, t))
