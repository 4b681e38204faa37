"""Spellings of identifiers: which ids of patients or slides are one, written differently.

Two ids are one spelling where they agree after Unicode compatibility normalisation, without case, accents, blanks,
separators and leading zeros, and without a decimal part of zero. Letters that look alike in Latin, Greek and Cyrillic
count as the same. TCGA barcodes name the patient in their first three fields, whatever sample, portion or slide follows
(https://docs.gdc.cancer.gov/Encyclopedia/pages/TCGA_Barcode/).
"""

from __future__ import annotations

import re
import unicodedata

#: Cyrillic and Greek letters, lower case, with the Latin one that their capital or small form looks like.
_ALIKE = str.maketrans("авекмнорстухіјѕαβεηικμνορτυχ", "abekmhopctyxijsabehikmnoptyx")
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_TCGA = re.compile(r"(?<![a-z0-9])tcga[-_. ]?([a-z0-9]{2})[-_. ]?([a-z0-9]{4})(?![a-z0-9])", re.IGNORECASE)


def spelling_key(identifier: str) -> tuple[str, ...]:
    """What is left of an id without the differences that spelling makes.

    Parameters
    ----------
    identifier : str
        Of a patient or slide.

    Returns
    -------
    tuple of str
        Runs of letters and of digits in order; of a TCGA barcode its patient. Empty where there are none.

    Examples
    --------
    >>> {spelling_key(i) for i in ("P-007", "p7", " P 07", "\\uff30\\uff17", "p_7")}
    {('p', '7')}
    >>> spelling_key("12.0") == spelling_key("012"), spelling_key("1-12") == spelling_key("11-2")
    (True, False)
    >>> spelling_key("TCGA-A7-A0CD-01Z-00-DX1") == spelling_key("tcga.a7.a0cd")
    True
    """
    patient = tcga_patient(identifier)
    if patient:
        return (patient,)
    text = unicodedata.normalize("NFKD", identifier).casefold()
    text = "".join(c for c in text if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
    text = re.sub(r"^(\d+)[.,]0+$", r"\1", text.strip()).translate(_ALIKE)
    return tuple(str(int(token)) if token.isdecimal() else token for token in _TOKEN.findall(text))


def tcga_patient(text: str) -> str:
    """The patient of the TCGA barcode in a text, such as a file name; empty where there is none.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    Examples
    --------
    >>> tcga_patient("slides/TCGA-A7-A0CD-01Z-00-DX1_1200_400.png"), tcga_patient("P7")
    ('TCGA-A7-A0CD', '')
    """
    found = _TCGA.search(text.replace("/", " ").replace("_", " "))
    return f"TCGA-{found[1]}-{found[2]}".upper() if found else ""
