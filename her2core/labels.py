"""HER2 label schemes: classes, their clinical order, and the rule from IHC and ISH to a class.

IHC score, ISH result and the class derived from them are separate columns of a manifest; a scheme is the rule between
them. The clinical rule is that of ASCO/CAP 2018, affirmed in 2023 (Wolff et al. 2023, Arch Pathol Lab Med 147:993,
doi 10.5858/arpa.2023-0950-SA).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from her2core.errors import ManifestError

IHC_SCORES = ("0", "1+", "2+", "3+")
ISH_RESULTS = ("negative", "positive", "unknown")


@dataclass(frozen=True)
class LabelScheme:
    """A named list of classes in their clinical order and, where there is one, the rule from (IHC, ISH) to a class.

    Attributes
    ----------
    name : str
        The key in ``SCHEMES``, or a name of the manifest's own.
    classes : tuple of str
        At least two class names, in clinical order where they have one.
    meaning : str
        What the classes mean, for the model card.
    by_ihc : tuple of (str, str)
        Pairs of IHC score and class.
    by_ihc_ish : tuple of ((str, str), str)
        Pairs of (IHC score, ISH result) and class; they take precedence over ``by_ihc``.
    is_her2 : bool
        Whether a class of this scheme may be called a HER2 status.

    Examples
    --------
    >>> SCHEMES["paper3"].classes
    ('negative', 'equivocal', 'positive')
    """

    name: str
    classes: tuple[str, ...]
    meaning: str
    by_ihc: tuple[tuple[str, str], ...] = ()
    by_ihc_ish: tuple[tuple[tuple[str, str], str], ...] = ()
    is_her2: bool = True

    def derive(self, her2_ihc: str | None, ish: str | None = "unknown") -> str | None:
        """Derive the class of one case.

        Parameters
        ----------
        her2_ihc : str or None
            One of ``IHC_SCORES``; None where the score is missing.
        ish : str or None
            One of ``ISH_RESULTS``; None counts as unknown.

        Returns
        -------
        str or None
            The class; None where the scheme has no rule for the case (score missing, or 2+ without ISH).

        Examples
        --------
        >>> SCHEMES["binary"].derive("2+", "positive")
        'positive'
        >>> SCHEMES["binary"].derive("2+") is None
        True
        """
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
            "ihc3",
            ("0/1+", "2+", "3+"),
            "IHC scores as they were read, 0 and 1+ together",
            by_ihc=(("0", "0/1+"), ("1+", "0/1+"), ("2+", "2+"), ("3+", "3+")),
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

#: IHC scores that are negative, and those that are positive, without an ISH test.
_ENDS = (("0", "1+"), ("3+",))
#: Abbreviations and synonyms of class names, after ``_plain``.
SPELLINGS = {
    "0 1+": "0/1+",
    "0/1": "0/1+",
    "0,1+": "0/1+",
    "0 or 1+": "0/1+",
    "0 and 1+": "0/1+",
    "neg": "negative",
    "equiv": "equivocal",
    "borderline": "equivocal",
    "pos": "positive",
    "mid": "middle",
    "medium": "middle",
    "moderate": "middle",
    "intermediate": "middle",
}


def get_scheme(name: str) -> LabelScheme:
    """Look a scheme up by its name.

    Parameters
    ----------
    name : str
        A key of ``SCHEMES``.

    Returns
    -------
    LabelScheme

    Raises
    ------
    ManifestError
        For any other name; the message lists the known ones.

    Examples
    --------
    >>> get_scheme("ihc4").classes
    ('0', '1+', '2+', '3+')
    """
    try:
        return SCHEMES[name]
    except KeyError:
        raise ManifestError(
            f"a label scheme out of {', '.join(SCHEMES)}",
            got=repr(name),
            where="label scheme",
            fix="Use one of these, or declare your own classes in the manifest.",
        ) from None


def find_scheme(names: Iterable[str]) -> LabelScheme | None:
    """Find the scheme whose classes these are, in any order, case and spelling.

    Parameters
    ----------
    names : iterable of str
        All classes of a data set.

    Returns
    -------
    LabelScheme or None
        None where the names are not exactly the classes of one scheme.

    Examples
    --------
    >>> find_scheme(["Positive", "HER2_negative"]).name
    'binary'
    >>> find_scheme(["tumour", "stroma"]) is None
    True
    """
    names = tuple(names)
    found = {spelled_class(name) for name in names}
    return next((s for s in SCHEMES.values() if found == set(s.classes) and len(names) == len(found)), None)


def order_classes(names: Iterable[str]) -> tuple[str, ...]:
    """Put class names into clinical order where they have one.

    Parameters
    ----------
    names : iterable of str
        Class names in any order, as a table has them.

    Returns
    -------
    tuple of str
        The same names, unchanged: in the order of the known scheme that holds all of them (in any case and spelling;
        two or more of its classes are enough); whole numbers by value; in the given order otherwise.

    Examples
    --------
    >>> order_classes(["Equivocal", "Negative", "Positive"])
    ('Negative', 'Equivocal', 'Positive')
    >>> order_classes(["1+", "0"])
    ('0', '1+')
    >>> order_classes(["2", "0", "1"]), order_classes(["tumour", "stroma"])
    (('0', '1', '2'), ('tumour', 'stroma'))
    """
    names = tuple(names)
    if all(re.fullmatch(r"-?\d{1,9}", name) for name in names):
        return tuple(sorted(names, key=int))
    classes = {name: spelled_class(name) for name in names}
    if len(names) < 2 or len(set(classes.values())) < len(names):
        return names
    for scheme in SCHEMES.values():
        if set(classes.values()) <= set(scheme.classes):
            return tuple(sorted(names, key=lambda name: scheme.classes.index(classes[name])))
    return names


def her2_classes(names: Iterable[str]) -> tuple[tuple[str, ...], str, tuple[str, ...]] | None:
    """Sort classes by what they ask for: nothing further, an ISH test, or treatment as HER2-positive.

    Parameters
    ----------
    names : iterable of str
        Class names in any order and spelling.

    Returns
    -------
    tuple of (tuple of str, str, tuple of str) or None
        Negative classes, the class that asks for ISH (IHC 2+ or equivocal; empty where the scheme has none) and
        positive classes, each in the given spelling. None where the names are not the classes of one of ``SCHEMES``
        that is a HER2 status.

    Examples
    --------
    >>> her2_classes(["positive", "equivocal", "negative"]), her2_classes(["0", "1+", "2+", "3+"])
    ((('negative',), 'equivocal', ('positive',)), (('0', '1+'), '2+', ('3+',)))
    >>> her2_classes(["negative", "positive"]), her2_classes(["tumour", "stroma"])
    ((('negative',), '', ('positive',)), None)
    """
    given = {spelled_class(name): name for name in names}
    scheme = find_scheme(given.values())
    if scheme is None or not scheme.is_her2:
        return None
    asks = dict(scheme.by_ihc).get("2+", "")
    ends = [tuple(given[c] for c in scheme.classes if c in {dict(scheme.by_ihc)[i] for i in ihc}) for ihc in _ENDS]
    return ends[0], given[asks] if asks else "", ends[1]


def referral_class(names: Iterable[str]) -> str:
    """Find the class that is no answer but asks for an ISH test: equivocal, or IHC 2+.

    Parameters
    ----------
    names : iterable of str
        All classes of a data set.

    Returns
    -------
    str
        Empty where the classes are no HER2 scheme, or one without such a class.

    Examples
    --------
    >>> referral_class(["negative", "equivocal", "positive"]), referral_class(["negative", "positive"])
    ('equivocal', '')
    """
    found = her2_classes(names)
    return found[1] if found else ""


def spelled_class(name: str) -> str:
    """Map a known spelling of a class to the class of the schemes, any other name to itself.

    Parameters
    ----------
    name : str
        A class name as a table has it, such as ``"HER2-Pos"`` or ``"IHC 2+"``.

    Returns
    -------
    str

    Examples
    --------
    >>> spelled_class("HER2-Pos"), spelled_class("IHC 2+"), spelled_class("Tumour")
    ('positive', '2+', 'Tumour')
    >>> spelled_class("HER2+"), spelled_class("HER2-"), spelled_class("HER2 3+")
    ('positive', 'negative', '3+')
    """
    plain = SPELLINGS.get(plain := _plain(name), plain)
    if signed := re.fullmatch(r"her2(?:/neu)?[\s_]*\(?([-+\u2212])(?:ve)?\)?", name.strip().casefold()):
        plain = "positive" if signed[1] == "+" else "negative"
    return plain if any(plain in scheme.classes for scheme in SCHEMES.values()) else name


def near_spellings(spellings: Iterable[str], classes: Iterable[str]) -> dict[str, str]:
    """Spellings that differ from one class only by case, blanks or a known abbreviation.

    Parameters
    ----------
    spellings : iterable of str
        Class names as a column has them.
    classes : iterable of str
        The classes.

    Returns
    -------
    dict
        Spelling -> class, without the spellings that are a class and those that fit none or several.

    Examples
    --------
    >>> near_spellings(["Positive", "HER2-neg", "unsure"], ["negative", "positive"])
    {'HER2-neg': 'negative', 'Positive': 'positive'}
    """
    classes = list(classes)
    plain: dict[str, set[str]] = {}
    for name in classes:
        for form in {_squeezed(name), _squeezed(spelled_class(name))}:
            plain.setdefault(form, set()).add(name)
    near: dict[str, str] = {}
    for spelling in sorted(set(spellings) - set(classes)):
        fitting = plain.get(_squeezed(spelling)) or plain.get(_squeezed(spelled_class(spelling))) or set()
        if len(fitting) == 1:
            near[spelling] = next(iter(fitting))
    return near


def _squeezed(name: str) -> str:
    return "".join(name.split()).casefold()


def _plain(name: str) -> str:
    """Lower case, separators as one space, without a leading HER2, IHC or score."""
    words = re.sub(r"[\s_\-]+", " ", name.casefold()).strip()
    return re.sub(r"^(?:(?:her2(?:/neu)?|ihc|score)\b ?)+", "", words).strip().replace(" +", "+") or words


def declared_scheme(name: str, classes: tuple[str, ...], meaning: str, *, is_her2: bool = False) -> LabelScheme:
    """Make a scheme that a manifest declares itself.

    Parameters
    ----------
    name : str
        Its name in the manifest.
    classes : tuple of str
        At least two different class names, in their order.
    meaning : str
        What the classes mean, for the model card.
    is_her2 : bool, optional
        Whether a class may be called a HER2 status.

    Returns
    -------
    LabelScheme
        Without a rule from IHC and ISH.

    Raises
    ------
    ManifestError
        For fewer than two classes, or a name given twice.

    Examples
    --------
    >>> declared_scheme("tissue", ("tumour", "stroma"), "tissue classes").is_her2
    False
    """
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise ManifestError(
            "at least two different class names",
            got=f"{list(classes)}",
            where=f"label scheme {name!r}",
            fix="Name each class once.",
        )
    return LabelScheme(name, tuple(classes), meaning, is_her2=is_her2)
