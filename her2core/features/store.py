"""Stored embeddings of patches, found by the content of their pixels.

    <folder>/<64 hex digits>.safetensors    one file for a network with its weights and scaling of pixels:
                                            "keys" uint8 (N, 32), "vectors" float32 (N, D)

A patch's key is the SHA-256 of its prepared pixels: it changes with the image, its window, its size and every change
in preparation, so that no entry can be out of date. A file that cannot be read is written again: it holds nothing that
cannot be computed again.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from her2core.io.files import write_tensors


def patch_keys(images: np.ndarray) -> np.ndarray:
    """SHA-256 of each patch's pixels.

    Parameters
    ----------
    images : ndarray
        uint8 (N, px, px, 3), prepared.

    Returns
    -------
    ndarray
        uint8 (N, 32).

    Examples
    --------
    >>> keys = patch_keys(np.zeros((2, 8, 8, 3), np.uint8))
    >>> keys.shape, bool((keys[0] == keys[1]).all())
    ((2, 32), True)
    """
    digests = b"".join(hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest() for image in images)
    return np.frombuffer(digests, np.uint8).reshape(len(images), 32)


class FeatureStore:
    """Embeddings of one network on disk.

    Parameters
    ----------
    folder : Path
        Folder of all networks' files.
    name : str
        Hex digits that identify network, weights and scaling.

    Examples
    --------
    >>> import tempfile
    >>> store = FeatureStore(Path(tempfile.mkdtemp()), "ab12")
    >>> store.read()
    {}
    >>> store.write({bytes(32): np.array([1.0, 2.0], np.float32)})
    >>> store.read()[bytes(32)]
    array([1., 2.], dtype=float32)
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.path = Path(folder) / f"{name}.safetensors"

    def read(self) -> dict[bytes, np.ndarray]:
        """Embeddings, float32 (D,), by key; none where there is no readable file."""
        try:
            content = load_file(self.path)
            keys, vectors = content["keys"], content["vectors"]
        except (OSError, SafetensorError, KeyError):
            return {}
        whole = keys.dtype == np.uint8 and keys.shape == (len(vectors), 32)
        if not (whole and vectors.dtype == np.float32 and vectors.ndim == 2 and np.isfinite(vectors).all()):
            return {}
        return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}

    def write(self, vectors: dict[bytes, np.ndarray]) -> None:
        """Replace the file by these embeddings, float32 (D,) by key.

        Of two processes that write at once one may lose what the other computed, never the file.
        """
        keys = np.frombuffer(b"".join(vectors), np.uint8).reshape(len(vectors), 32)
        content: dict[str, np.ndarray] = {
            "keys": keys.copy(),
            "vectors": np.stack(list(vectors.values())).astype(np.float32),
        }
        write_tensors(self.path, lambda t: save_file(content, t))
