"""By what is an item of a guideline judged? A RunReport in; met, partly, not reported or not applicable, and why, out.

Each rule looks at what the report holds and at nothing else. Several items of the two guidelines ask the same, so that
their rules stand here once; tripod.py and claim.py say which item has which.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from her2core.errors import RunError
from her2core.report.run_report import RunReport
from her2core.report.sections import where

State = Literal["met", "partly", "not reported", "not applicable"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Verdict:
    state: State
    where: str


Rule = Callable[[RunReport], Verdict]


@dataclass(frozen=True)
class Item:
    """``text``: what the guideline asks, in our own short words."""

    number: str
    topic: str
    text: str
    rule: Rule


@dataclass(frozen=True)
class Checklist:
    name: str
    citation: str
    items: tuple[Item, ...]


_NO_MODEL = "the table of predictions does not say"
_BY_AUTHOR = "a run does not hold it; its authors have to add it"
_NO_PEOPLE = "synthetic patches: nobody took part"


def met(words: str, *sections: str) -> Verdict:
    return Verdict("met", f"{where(*sections)}: {words}")


def partly(words: str, *sections: str) -> Verdict:
    return Verdict("partly", f"{where(*sections)}: {words}" if sections else words)


def absent(words: str = _BY_AUTHOR) -> Verdict:
    return Verdict("not reported", words)


def needless(words: str) -> Verdict:
    return Verdict("not applicable", words)


def always(verdict: Verdict) -> Rule:
    """The same for every report."""
    return lambda _: verdict


def of_run(rule: Rule, without: Verdict | None = None) -> Rule:
    """``rule`` for a run; a table of predictions says nothing of its model and data."""
    return lambda r: rule(r) if r.run is not None else without or absent(_NO_MODEL)


def of_people(rule: Rule | None = None) -> Rule:
    """Not applicable to synthetic patches; otherwise ``rule``, or left to the authors."""
    return lambda r: needless(_NO_PEOPLE) if r.synthetic else rule(r) if rule else absent()


def source(r: RunReport) -> Verdict:
    facts = r.card["data"].get("facts", {})
    if r.synthetic:
        return met("synthetic cohort, with the specification it is drawn from", "data")
    if facts.get("citation") or facts.get("licence"):
        return partly(
            "source, citation and licence as far as the importer knew them; why these data, and whether they "
            "are representative, is not said",
            "data",
        )
    return partly("only the name of the source", "data") if r.card["data"]["sources"] else absent()


def preprocessing(r: RunReport) -> Verdict:
    return partly(
        "centre square, size, stain, normalisation, and coded checks of the data; whether quality is alike "
        "across groups of people is not shown",
        "model",
        "data",
    )


def outcome(r: RunReport) -> Verdict:
    if r.synthetic:
        return met("the class a patch was drawn from, under the label scheme that is named", "data")
    return partly("the label scheme; how, when and by whom the labels were made is not in the run", "data")


def missing_data(r: RunReport) -> Verdict:
    if r.run is None:
        return partly(
            "rows with a missing score are refused and none is filled in; what was left out before is not known",
            "missing",
        )
    if r.checks is None:
        return absent("the run has no record of the checks of its data")
    return partly(
        "missing ids and scales are coded findings, and nothing is filled in; reasons for leaving data out "
        "are not recorded",
        "data",
        "missing",
    )


def assignment(r: RunReport) -> Verdict:
    """How the data were divided: met only where that keeps patients apart and the ids show it."""
    p = r.partition
    if r.run is None and len(p.parts) < 2:
        return absent("the table has a test part only and does not say how it came about")
    if p.keeps_patients_apart:
        return met(
            f"divided by {p.unit}, with fractions, seed and counts by class; {p.sentence[0].lower()}{p.sentence[1:-1]}",
            "partition",
        )
    return partly(f"counts by part and class. {p.sentence}", "partition")


def disjoint(r: RunReport) -> Verdict:
    """At which level the parts share nothing."""
    p = r.partition
    if p.keeps_patients_apart:
        return met("disjoint by patient, shown by the ids of all three parts", "partition")
    if r.run is None and len(p.parts) < 2:
        return absent("one part only")
    return partly(f"disjoint by patch at most. {p.sentence}", "partition")


def sizes(r: RunReport) -> Verdict:
    """How many participants and cases each analysis has."""
    p = r.partition
    complete = len(p.parts) == 3 and p.counts["patients"].notna().all()
    words = "patches and patients of each class and part"
    if complete:
        return met(words, "partition")
    return partly(f"{words}, as far as they are known: participants cannot be counted in every part", "partition")


def training(r: RunReport) -> Verdict:
    if not r.config.get("train"):
        return partly("network, first weights, best epoch; the training settings cannot be read", "model")
    return met("every setting of the training, augmentation, epochs, seed", "model")


def building(r: RunReport) -> Verdict:
    return partly(
        "network, first weights, all settings, choice of the epoch and temperature on validation; why this "
        "network and these settings is not said",
        "model",
        "methods",
    )


def selection(r: RunReport) -> Verdict:
    train = r.config.get("train")
    monitor = train.get("monitor") if isinstance(train, dict) else None
    if not monitor or not {"best_epoch", "chosen"} & set(r.run.info):
        return absent("which epoch was kept, and why, is not recorded")
    return met(f"the {'setting' if 'chosen' in r.run.info else 'epoch'} with the best {monitor} on validation", "model")


def imbalance(r: RunReport) -> Verdict:
    train = r.config.get("train")
    weights = train.get("class_weights") if isinstance(train, dict) else None
    if weights is None:
        return absent("the setting of class weights cannot be read")
    if weights in ("none", False, ""):
        return needless("no class weights were used")
    return partly(
        f"class weights: {weights}; probabilities were calibrated afterwards (temperature); why is not said",
        "model",
        "calibration",
    )


def heterogeneity(r: RunReport) -> Verdict:
    held = [b for b in ("site", "scanner") if (r.result_tables["subgroups"]["by"] == b).any()]
    if not held:
        return absent("sites and scanners are unknown, or there is one only")
    return partly(
        f"performance by {' and '.join(held)} with intervals; no test of a difference, and no look at parameters",
        "subgroups",
    )


def robustness(r: RunReport) -> Verdict:
    found = heterogeneity(r)
    return (
        found
        if found.state == "not reported"
        else partly("figures by group; no changed stain, focus or scanner was tried", "subgroups")
    )


def measures(r: RunReport) -> Verdict:
    return met(
        "discrimination, calibration, abstention and net benefit, each with its definition, reference and use",
        "methods",
    )


def estimates(r: RunReport) -> Verdict:
    """Figures with intervals: met only where these draw patients, and patients are on one side of the split."""
    lacking = []
    if not r.resamples_patients:
        lacking.append("intervals draw single patches at some unit and are too narrow")
    if "patient" not in r.units:
        lacking.append("no figure by patient can be given")
    if not r.partition.keeps_patients_apart:
        lacking.append("it is not shown that no patient stands on both sides")
    if lacking:
        return partly(f"every figure with a 95 % interval, but {'; '.join(lacking)}", "performance")
    return met("every figure by patch and patient, with 95 % intervals that draw patients", "performance")


def estimates_by_group(r: RunReport) -> Verdict:
    found = estimates(r)
    if not r.result_tables["subgroups"].empty and r.about_people:
        return Verdict(found.state, f"{found.where}; by {', '.join(r.about_people)} in {where('subgroups')}")
    groups = (
        "no groups of people" if r.result_tables["subgroups"].empty else "groups of site or scanner, none of people"
    )
    return partly(f"{found.where.split(': ', 1)[1]}; {groups}", "performance", "subgroups")


def uncertainty(r: RunReport) -> Verdict:
    if r.resamples_patients:
        return met("95 % bootstrap over patients for every figure", "methods", "performance")
    return partly("95 % bootstrap, but over single patches where patients are unknown or too few", "methods")


def output(r: RunReport) -> Verdict:
    if r.result_tables["operating_points"].empty:
        return partly(
            "probabilities, and the class of the highest; no threshold could be set on validation", "operating"
        )
    words = "probabilities, the class of the highest, and thresholds by named rules set on validation"
    return (
        met(words, "operating", "methods")
        if r.run is not None
        else partly(f"{words}; how the scores were made is not known", "operating")
    )


def specification(r: RunReport) -> Verdict:
    if r.run.has_weights:
        return met("the run folder holds weights, card and configuration to predict for new patches", "model", "card")
    return partly("card and configuration; the weights were not released", "model", "card")


def code(r: RunReport) -> Verdict:
    git = r.run.info.get("git")
    if not isinstance(git, dict) or not git.get("commit"):
        return absent("the run does not name the code it was made with")
    changed = " (with changes that were not committed)" if git.get("changed_files") else ""
    return partly(f"the commit{changed} and all package versions; where the code can be had is not in the run", "model")


def sharing(r: RunReport) -> Verdict:
    if r.synthetic:
        return met("the cohort can be drawn again from its specification, pixel by pixel", "data", "card")
    if r.card["data"].get("facts", {}).get("citation"):
        return partly("citation and licence of the source; how to get the data is not said", "data")
    return absent("where the data can be had is not in the run")


def availability(r: RunReport) -> Verdict:
    found = [specification(r), code(r), sharing(r)]
    if all(v.state == "not reported" for v in found):
        return absent()
    return partly(
        "weights and card with the run, commit of the code, citation or specification of the data; where "
        "they can be had is not in the run",
        "model",
        "data",
    )


def limitations(r: RunReport) -> Verdict:
    if r.run is None:
        return partly(
            "what could not be assessed, with reasons; the limits of the study are for its authors to discuss",
            "missing",
        )
    return partly(
        "the limits on the card, the warnings at the top, what could not be assessed; their effect on the "
        "figures is not discussed",
        "card",
        "missing",
    )


def characteristics(r: RunReport) -> Verdict:
    try:
        table = r.run.dataset
    except RunError:
        return absent("the run has no table of its data")
    known = [
        c
        for c in ("site", "scanner", "her2_ihc", "ish")
        if c in table and (table[c].astype(object).fillna("unknown").astype("str") != "unknown").any()
    ]
    if not known:
        return absent("nothing is known of the people or the sites")
    people = f"; {', '.join(r.about_people)} as subgroups" if r.about_people else "; nothing of age, sex or treatment"
    return partly(
        f"counts by class and part; {', '.join(known)} of each patch in the run's data table{people}",
        "partition",
        "subgroups",
    )


def flow(r: RunReport) -> Verdict:
    if r.partition.counts["patients"].notna().all() and len(r.partition.parts) == 3:
        return partly("patients of each class and part; who was left out before is not recorded", "partition")
    return absent("participants cannot be counted: patient ids are unknown, or a part is not at hand")


def failure(r: RunReport) -> Verdict:
    if r.pictures:
        return met("confusion matrices, and the surest mistakes with their pictures", "performance", "failures")
    return partly("confusion matrices and the surest mistakes as a table; no pictures", "performance", "failures")


def internal(r: RunReport) -> Verdict:
    p = r.partition
    if r.run is None:
        return absent("where the test rows come from is not known")
    if p.keeps_patients_apart:
        return met("a test part of the same data that training and validation did not see", "performance", "partition")
    return partly(f"a test part of the same data. {p.sentence}", "performance", "partition")


def explained(r: RunReport) -> Verdict:
    if r.maps is None:
        return absent("maps were not tried")
    return met("class-activation maps, held against truth, deletion, insertion and random weights", "maps")
