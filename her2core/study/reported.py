"""Figures reported by Joshi et al. 2025 (ETASR 15(5), 26640-26647, doi 10.48084/etasr.12140)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CITATION = "Joshi et al. 2025"
#: Patch accuracy on the test part of a 60/20/20 split; data, patch size and the unit of the split are not public.
ACCURACY = 0.9804
#: "Accuracy" of each class; the paper does not say whether it is sensitivity or one-vs-rest accuracy.
CLASS_ACCURACY: Mapping[str, float] = MappingProxyType({"negative": 0.9773, "equivocal": 0.9970, "positive": 0.9893})
