"""What every check receives: the manifest and, where given, a split, the image contents and an interval width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from her2core.data.checks.contents import Contents
from her2core.data.manifest import Manifest, build_manifest

#: Inputs that a check may require besides the manifest.
Requirement = Literal["split", "contents", "half_width", "embeddings"]


@dataclass(frozen=True, eq=False)
class CheckInputs:
    """Inputs of a check function.

    Parameters
    ----------
    manifest : Manifest
    split : DataFrame, optional
        Columns ``patch_id`` and ``split``.
    contents : Contents, optional
        What `her2core.data.checks.contents.read_contents` read from the images.
    half_width : float, optional
        Requested half-width of each class's 95 % interval, as a proportion.
    embeddings : ndarray, float (N, D), optional
        Of a trained network, row for row with the manifest; NaN where there is none.

    Examples
    --------
    >>> table = pd.DataFrame({"path": ["a.png", "b.png"], "label": ["negative", "positive"]})
    >>> split = pd.DataFrame({"patch_id": ["a.png", "b.png"], "split": ["train", "test"]})
    >>> inputs = CheckInputs(build_manifest(table, root="."), split)
    >>> list(inputs.split_rows()["split"])
    ['train', 'test']
    """

    manifest: Manifest
    split: pd.DataFrame | None = None
    contents: Contents | None = None
    half_width: float | None = None
    embeddings: np.ndarray | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """The manifest's table, one row per patch."""
        return self.manifest.frame

    @property
    def images(self) -> Contents:
        """The image contents. Raises RuntimeError in a check that is registered without requiring them."""
        if self.contents is None:
            raise RuntimeError("the check uses image contents without requiring them in the registry")
        return self.contents

    @property
    def of_tissue(self) -> bool:
        """Whether the classes are no HER2 status: they may be kinds of tissue, which differ in colour by themselves."""
        return not self.manifest.scheme.is_her2

    def has(self, requirement: Requirement) -> bool:
        """Whether an optional input is there.

        Examples
        --------
        >>> example_inputs(split=["train", "test"]).has("split")
        True
        """
        return getattr(self, requirement) is not None

    def split_rows(self) -> pd.DataFrame:
        """Rows of the manifest that the split names, with their part in ``split``.

        Rows with a blank part are left out. A column ``split`` of the manifest itself is renamed ``split_manifest``.

        Examples
        --------
        >>> example_inputs(split=["train", "test"]).split_rows()[["patch_id", "split"]].to_numpy().tolist()
        [['0.png', 'train'], ['1.png', 'test']]
        """
        if self.split is None:
            raise RuntimeError("the check uses the split without requiring it in the registry")
        split = self.split.loc[self.split["split"].fillna("") != "", ["patch_id", "split"]]
        return self.frame.merge(split, on="patch_id", suffixes=("_manifest", ""))

    def parts(self) -> pd.Series:
        """Split part of each row of the manifest, in row order.

        Missing where the split does not name the row; an empty string in every row where no split was given.

        Examples
        --------
        >>> example_inputs(split=["train", "test"]).parts().tolist()
        ['train', 'test']
        """
        if self.split is None:
            return pd.Series("", index=self.frame.index)
        return self.frame["patch_id"].map(self.split.drop_duplicates("patch_id").set_index("patch_id")["split"])


def example_inputs(
    *,
    split: list[str] | None = None,
    contents: Contents | None = None,
    half_width: float | None = None,
    embeddings: np.ndarray | None = None,
    **columns: object,
) -> CheckInputs:
    """Inputs of a small data set, for examples and tests of single checks.

    Parameters
    ----------
    split : list of str, optional
        Part of each row.
    contents : Contents, optional
    half_width : float, optional
    embeddings : ndarray, optional
    **columns
        Columns of the manifest. ``path`` is numbered and ``label`` alternates between negative and positive where they
        are left out; there are two rows where no column says otherwise.

    Returns
    -------
    CheckInputs

    Examples
    --------
    >>> example_inputs(patient_id=["P1", "P2", "P2"]).frame[["path", "label", "patient_id"]].to_numpy().tolist()
    [['0.png', 'negative', 'P1'], ['1.png', 'positive', 'P2'], ['2.png', 'negative', 'P2']]
    """
    count = max([2, *(len(v) for v in (split, *columns.values()) if isinstance(v, list))])
    paths = [f"{i}.png" for i in range(count)]
    labels = ["negative" if i % 2 == 0 else "positive" for i in range(count)]
    manifest = build_manifest(pd.DataFrame({"path": paths, "label": labels}).assign(**columns), root=".")
    table = None if split is None else pd.DataFrame({"patch_id": manifest.frame["patch_id"], "split": split})
    return CheckInputs(manifest, table, contents, half_width, embeddings)
