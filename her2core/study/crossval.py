"""Cross-validation study: networks under one or several designs, each fold a training of its own.

The out-of-fold predictions of one network, design and seed become one run (``study.out_of_fold``). Folds that share
patients are not independent, and neither are repetitions: there is no unbiased estimate of the variance of k-fold
cross-validation from its folds (Bengio & Grandvalet 2004, J Mach Learn Res 5:1089; Nadeau & Bengio 2003, doi
10.1023/A:1024068626366). Intervals therefore come from patients, taken together over all repetitions, and from the
seeds, never from folds x seeds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, model_validator

from her2core.data.folds import SMALLEST_SITE, FoldAssignment, Folds, assign_folds
from her2core.data.manifest import Manifest, read_manifest
from her2core.data.split_units import Unit, design_name
from her2core.study.backbones import NetworkEntry, run_of_network
from her2core.study.config import StudyConfig, read_study
from her2core.study.jobs import Job
from her2core.training.config import make_config
from her2core.training.config_split import FoldConfig

_EXAMPLE = "configs/study/cv-demo.yaml"


class Design(BaseModel):
    """One way to hold patches out.

    Attributes
    ----------
    unit : str
        What stays together: patient, slide, field, site or patch_random.
    folds : int or 'each'
        Number of folds; 'each', for site, leaves out one site after another.
    validation : float
        Share of the other patients by which epoch, regularisation and temperature are chosen.
    smallest_site : int
        With 'each': sites with fewer patients are left out together.

    Examples
    --------
    >>> Design(unit="site", folds="each").name, Design(unit="patch_random").name
    ('each-site', 'patch-random')
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: Unit = Field("patient", description="what stays together")
    folds: Folds = Field(5, description="number of folds; each, for site, leaves out one site after another")
    validation: float = Field(0.2, gt=0, lt=1, description="share of the other patients by which settings are chosen")
    smallest_site: int = Field(SMALLEST_SITE, ge=1, description="each: sites with fewer patients are left out together")

    @model_validator(mode="after")
    def _possible(self) -> Design:
        if self.unit == "predefined" or (self.folds == "each" and self.unit != "site"):
            raise ValueError("a design by patient, slide, field, site or patch_random; `each` for site alone")
        if self.folds != "each" and self.folds < 2:
            raise ValueError("`folds` to be 2 or more, or each", self.folds)
        return self

    @property
    def name(self) -> str:
        """As in names of groups and folders."""
        return design_name(self.unit, each=self.folds == "each")


class CrossValidationConfig(StudyConfig):
    """Configuration of the study: which training, networks, designs and seeds; further fields as in StudyConfig.

    Attributes
    ----------
    networks : tuple of NetworkEntry
        At least one, as in a backbone study.
    designs : tuple of Design
        At least one; of different names. A seed is that of the folds too.
    reference : str
        Group (network-design): its network is what other networks are compared with, its design what other designs of
        each network are compared with; the first where empty.

    Examples
    --------
    >>> load_study("configs/study/cv-demo.yaml").groups
    ('lcnet-linear-patient', 'lcnet-linear-site', 'lcnet-linear-patch-random')
    """

    SETS = ("seed", "split", "network", "serving", "frozen")

    networks: tuple[NetworkEntry, ...] = Field(..., min_length=1)
    designs: tuple[Design, ...] = Field((Design(),), min_length=1)
    reference: str = Field("", description="network-design that others are compared with; the first where empty")

    @model_validator(mode="after")
    def _plain(self) -> CrossValidationConfig:
        if len(set(self.groups)) < len(self.groups):
            raise ValueError("networks and designs of different names", list(self.groups))
        if self.reference and self.reference not in self.groups:
            raise ValueError(f"`reference` to be one of {', '.join(self.groups)}", self.reference)
        if kept := [n.label for n in self.networks if n.weights]:
            raise ValueError("networks without `weights`: a fold's model is not served", kept)
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """Every network under every design, in the order of networks."""
        return tuple(f"{n.label}-{d.name}" for n in self.networks for d in self.designs)

    @property
    def pairs(self) -> dict[str, str]:
        """Reference of each group that has one.

        A design is compared with the reference design of the same network, and a network under the reference design
        with the reference network.

        Examples
        --------
        >>> load_study("configs/study/cv-demo.yaml").pairs["lcnet-linear-site"]
        'lcnet-linear-patient'
        """
        chosen = self.reference or self.groups[0]
        design = next(d for d in self.designs for n in self.networks if f"{n.label}-{d.name}" == chosen)
        found: dict[str, str] = {}
        for network in self.networks:
            own = f"{network.label}-{design.name}"
            found |= {f"{network.label}-{d.name}": own for d in self.designs if d != design}
            if own != chosen:
                found[own] = chosen
        return found


@dataclass(frozen=True, eq=False)
class Repetition:
    """All folds of one network, design and seed; together they predict every patch once.

    Attributes
    ----------
    group : str
        Network and design.
    network : NetworkEntry
    design : Design
    seed : int
    assignment : FoldAssignment
    jobs : tuple of Job
        One a fold.
    """

    group: str
    network: NetworkEntry
    design: Design
    seed: int
    assignment: FoldAssignment
    jobs: tuple[Job, ...]

    @property
    def name(self) -> str:
        """Folder of the out-of-fold run."""
        return f"{self.group}-seed{self.seed}"


def load_study(path: str | os.PathLike[str]) -> CrossValidationConfig:
    """Read the study's YAML; the configurations are checked before the first is trained.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    CrossValidationConfig

    Raises
    ------
    ConfigError
        That names the field.

    Examples
    --------
    >>> load_study("configs/study/cv-demo.yaml").seeds
    (0, 1, 2)
    """
    study = read_study(path, CrossValidationConfig, example=_EXAMPLE)
    for network in study.networks:
        for design in study.designs:
            _fold_job(study, network, design, 0, 0, where=str(path))
    return study


def repetitions(study: CrossValidationConfig, *, where: str = "cross-validation") -> list[Repetition]:
    """List every network, design and seed with its folds, seed after seed.

    Parameters
    ----------
    study : CrossValidationConfig
    where : str, optional
        The source, for messages.

    Returns
    -------
    list of Repetition

    Raises
    ------
    ConfigError
        For fields of ``run`` that RunConfig does not accept.
    Her2Error
        For a manifest that cannot be read, or that does not allow a design.
    """
    found, manifest = [], manifest_of(study, where=where)
    asked = [(place, seed, n) for n in study.networks for place, seed in enumerate(n.seeds or study.seeds)]
    for _, seed, network in sorted(asked, key=lambda one: one[0]):
        for design in study.designs:
            assignment = assign_folds(
                manifest, design.unit, folds=design.folds, seed=seed, smallest_site=design.smallest_site
            )
            jobs = [_fold_job(study, network, design, seed, fold, where=where) for fold in range(len(assignment))]
            group = f"{network.label}-{design.name}"
            found.append(Repetition(group, network, design, seed, assignment, tuple(jobs)))
    return found


def manifest_of(study: CrossValidationConfig, *, where: str = "cross-validation") -> Manifest:
    """Read the study's manifest.

    Parameters
    ----------
    study : CrossValidationConfig
    where : str, optional
        The source, for messages.

    Returns
    -------
    Manifest

    Raises
    ------
    Her2Error
        For a manifest that cannot be read.
    """
    return read_manifest(_fold_job(study, study.networks[0], study.designs[0], 0, 0, where=where).config.manifest)


def _fold_job(
    study: CrossValidationConfig, network: NetworkEntry, design: Design, seed: int, fold: int, *, where: str
) -> Job:
    held_out = FoldConfig(
        folds=design.folds, held_out=fold, validation=design.validation, smallest_site=design.smallest_site
    )
    group = f"{network.label}-{design.name}"
    config = make_config(
        {
            **run_of_network(study.run, network, where=where),
            "seed": seed,
            "split": {"unit": design.unit, "seed": seed, "fold": held_out.model_dump()},
            "serving": False,
            "title": f"{study.title}: {group}, seed {seed}, fold {fold + 1}",
        },
        where=where,
    )
    return Job(f"{group}-seed{seed}-fold{fold + 1}", group, seed, config)
