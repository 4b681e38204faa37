"""Which classes does a label name, in which order? IHC and ISH results in, the class of a named scheme out.

HER2 IHC score, ISH result and the class derived from them stay apart in a manifest; a scheme is the rule between
them. Clinical rule: ASCO/CAP 2018, affirmed 2023 (Wolff et al. 2023, Arch Pathol Lab Med 147:993,
doi 10.5858/arpa.2023-0950-SA).
"""

from __future__ import annotations

from dataclasses import dataclass

from her2core.errors import ManifestError

IHC_SCORES = ("0", "1+", "2+", "3+")
ISH_RESULTS = ("negative", "positive", "unknown")


@dataclass(frozen=True)
class LabelScheme:
    """A named list of classes and, where there is one, the rule from (her2_ihc, ish) to a class.

    ``by_ihc`` maps an IHC score to a class; ``by_ihc_ish`` is asked first and maps (score, ish) to a class.
    ``is_her2`` says whether a class of this scheme may be called a HER2 status at all.
    """

    name: str
    classes: tuple[str, ...]
    meaning: str
    by_ihc: tuple[tuple[str, str], ...] = ()
    by_ihc_ish: tuple[tuple[tuple[str, str], str], ...] = ()
    is_her2: bool = True

    def derive(self, her2_ihc: str | None, ish: str | None = "unknown") -> str | None:
        """The class of one case, or None where the scheme cannot say (score missing, or 2+ without ISH)."""
        if her2_ihc is None:
            return None
        exact = dict(self.by_ihc_ish).get((her2_ihc, ish or "unknown"))
        return exact if exact is not None else dict(self.by_ihc).get(her2_ihc)


SCHEMES: dict[str, LabelScheme] = {
    s.name: s
    for s in (
        LabelScheme(
            "paper3",
            ("negative", "equivocal", "positive"),
            "Joshi et al. 2025: IHC 0 and 1+ negative, 2+ equivocal (a request for ISH), 3+ positive",
            by_ihc=(("0", "negative"), ("1+", "negative"), ("2+", "equivocal"), ("3+", "positive")),
        ),
        LabelScheme(
            "ihc4", IHC_SCORES, "the four IHC scores as they were read", by_ihc=tuple((s, s) for s in IHC_SCORES)
        ),
        LabelScheme(
            "binary",
            ("negative", "positive"),
            "final HER2 result: IHC 0 and 1+ negative, 3+ positive, 2+ by its ISH result",
            by_ihc=(("0", "negative"), ("1+", "negative"), ("3+", "positive")),
            by_ihc_ish=((("2+", "negative"), "negative"), (("2+", "positive"), "positive")),
        ),
        LabelScheme(
            "erbb2_level",
            ("low", "middle", "high"),
            "tertile of ERBB2 counts per 10,000 over the training sections: mRNA expression, not a HER2 status",
            is_her2=False,
        ),
    )
}


def get_scheme(name: str) -> LabelScheme:
    """The scheme of that name. Raises ManifestError, with the known names, for any other."""
    try:
        return SCHEMES[name]
    except KeyError:
        raise ManifestError(
            f"a label scheme out of {', '.join(SCHEMES)}",
            got=repr(name),
            where="label scheme",
            fix="Use one of these, or declare your own classes in the manifest.",
        ) from None


def declared_scheme(name: str, classes: tuple[str, ...], meaning: str, *, is_her2: bool = False) -> LabelScheme:
    """A scheme that a manifest brings itself: any classes, in the order given."""
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise ManifestError(
            "at least two different class names",
            got=f"{list(classes)}",
            where=f"label scheme {name!r}",
            fix="Name each class once.",
        )
    return LabelScheme(name, tuple(classes), meaning, is_her2=is_her2)
