"""Section of a run's configuration on its split: by fractions, or one fold held out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from her2core.data.folds import SMALLEST_SITE
from her2core.data.split_units import UNIT_NAMES, Unit


class Section(BaseModel):
    """Fields and values; unknown fields are refused, and nothing changes once it is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FoldConfig(Section):
    """One fold of cross-validation or leave-one-site-out, held out as the test part; as ``data.folds``."""

    folds: Annotated[int, Field(ge=2)] | Literal["each"] = Field(5, description="number, or each: site after site")
    held_out: int = Field(..., ge=0, description="the fold that is tested, from 0")
    validation: float = Field(0.2, gt=0, lt=1, description="share of the other patients by which settings are chosen")
    smallest_site: int = Field(SMALLEST_SITE, ge=1, description="each: sites with fewer patients are left out together")


class SplitConfig(Section):
    """Partition of the patches into training, validation and test."""

    unit: Unit = Field("patient", description=f"what is kept together: {', '.join(UNIT_NAMES)}")
    fractions: tuple[float, float, float] = Field((0.6, 0.2, 0.2), description="train, val, test (the paper's)")
    seed: int = Field(0, ge=0, description="which of the possible splits")
    fold: FoldConfig | None = Field(None, description="hold one fold out, in place of fractions; as her2 study cv does")
