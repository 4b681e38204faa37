"""Sanitising of text from outside: file names, identifiers, titles, quoted messages.

Text that somebody else wrote reaches messages, Markdown pages, HTML and PDF reports. Every one of them calls this
module, so that one rule decides which characters are shown. Cells of a spreadsheet are another matter
(``her2core.io.spreadsheet``): they keep their text and lose only the power to be run as a formula.

References
----------
M. Davis, M. Suignard (2014), Unicode Security Considerations, Unicode Technical Report 36 (invisible characters and
directional overrides).
N. Boucher, R. Anderson (2023), Trojan Source: Invisible Vulnerabilities, USENIX Security (directional overrides).
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

#: Longest name and longest sentence shown on a page, in characters (our choice).
NAME_LENGTH, SENTENCE_LENGTH = 120, 2000

#: Explicit directional marks (Unicode Standard Annex 9): with one of them "gnp.exe" may read as "exe.png".
_DIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: What Streamlit's Markdown gives a meaning to: emphasis, code, links, HTML, LaTeX, tables, headings, quotes, lists.
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+\-!|~$:.&=])")
#: What becomes an emoji, an icon or a link even where its marks are escaped; a zero-width non-joiner breaks each.
_AUTOMATIC = re.compile(r"(?i)(:(?=[\w+/-]*:)|:(?=//)|www(?=\.)|\w(?=@))")
#: What Markdown, HTML or a shell gives a meaning to in a file name. Round brackets, "!", "=" and ":" stay, as real
#: names contain them and they start nothing without the others; inside quotes no shell acts on what is left.
_ACTIVE = dict.fromkeys(map(ord, "<>`$[]*|~#;\"'{}^%?\\@"))
#: The same in a sentence, where quotation marks and percent signs are ordinary.
_ACTIVE_IN_SENTENCE = dict.fromkeys(map(ord, "<>`$[]*|~#\\"))
#: An absolute path of two parts or more; not what follows the host of an address, nor a fraction.
_ABSOLUTE = re.compile(r"(?<![\w./:<~-])/(?:[^\s/:,;()'\"`<>|]+/)+[^\s/:,;()'\"`<>|]*")
#: Letters and marks without width or ink: a name made of them would look empty, or like another one.
_INVISIBLE = dict.fromkeys(
    [
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0),
        *(*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)),
    ]
)


def clean_text(text: object, length: int = 100) -> str:
    """One line of visible text, at most ``length`` characters long.

    White space is collapsed to single spaces; control, format (bidirectional, zero-width), surrogate, private and
    unassigned characters are dropped (Unicode categories Cc, Cf, Cs, Co, Cn); of stacked combining marks two remain;
    the result is in normalisation form C.

    Parameters
    ----------
    text : object
        Text from outside; anything else is converted by ``str``. Only the first 8,192 characters are read.
    length : int, default 100
        Longest result in characters, 8 or more; longer text is shortened in the middle.

    Returns
    -------
    str
        Printable text, empty where nothing visible was given.

    Examples
    --------
    >>> clean_text("photo\\u202egnp.exe\\x00\\nsecond line")
    'photognp.exe second line'
    >>> clean_text("a very long file name.png", length=14)
    'a very ...png'
    """
    kept: list[str] = []
    marks = 0
    for c in unicodedata.normalize("NFC", str(text)[:8192]):
        category = unicodedata.category(c)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if c.isspace():
            kept.append(" ")
        elif category[0] != "C" and marks <= 2:
            kept.append(c)
    return shortened(" ".join("".join(kept).split()), length)


def shortened(text: str, length: int) -> str:
    """``text``, with its middle replaced by "..." where it is longer than ``length`` characters.

    Parameters
    ----------
    text : str
        Any text.
    length : int
        Longest result in characters, 8 or more.

    Returns
    -------
    str
        The beginning and the end are kept, since a file's ending says what it is.

    Examples
    --------
    >>> shortened("TCGA-A1-A0SB-01Z-00-DX1.png", 17)
    'TCGA-A1-...X1.png'
    """
    head = length // 2
    return text if len(text) <= length else f"{text[:head]}...{text[head + 3 - length :]}"


def capitalised(text: str) -> str:
    """``text`` with a capital first letter and the rest as it is; a name of a file at the beginning is kept.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        The text, to begin a sentence with.

    Examples
    --------
    >>> capitalised("mpp unknown for H&E patches")
    'Mpp unknown for H&E patches'
    >>> capitalised("broken.png: not an image")
    'broken.png: not an image'
    """
    first = text.partition(" ")[0].rstrip(".:,;!?")
    return text if {".", "/", "_"} & set(first) else text[:1].upper() + text[1:]


def markdown_text(text: object, length: int = NAME_LENGTH) -> str:
    """Markdown that renders as ``text`` itself: cleaned, with every mark escaped.

    Parameters
    ----------
    text : object
        Text from outside.
    length : int, default 120
        Longest visible result in characters; the escapes do not count.

    Returns
    -------
    str
        Markdown; "unnamed" where nothing visible was given.

    Examples
    --------
    >>> print(markdown_text("**case** <b>7</b>"))
    \\*\\*case\\*\\* \\<b\\>7\\</b\\>
    """
    return _MARKUP.sub(r"\\\1", _AUTOMATIC.sub("\\1\u200c", clean_text(text, length) or "unnamed"))


def without_markup(sentence: object, length: int = SENTENCE_LENGTH) -> str:
    """A sentence for Markdown, HTML and CSV alike: cleaned, without the characters that any of them acts on.

    Parameters
    ----------
    sentence : object
        A message that may quote a few characters of a file.
    length : int, default 2000
        Longest result in characters.

    Returns
    -------
    str
        Plain text.

    Examples
    --------
    >>> without_markup("a.png: a file that begins with `<svg>`")
    'a.png: a file that begins with svg'
    """
    return clean_text(sentence, length).translate(_ACTIVE_IN_SENTENCE)


def without_folders(text: str, roots: Iterable[Path] = ()) -> str:
    """A message without the folders of this machine: of an absolute path its last two parts remain.

    Parameters
    ----------
    text : str
        A message that may quote paths.
    roots : iterable of Path
        Folders that are left out altogether, such as the one with the runs; their names may contain spaces.

    Returns
    -------
    str

    Examples
    --------
    >>> without_folders("/srv/my runs/models/demo/run.json: broken", [Path("/srv/my runs")])
    'models/demo/run.json: broken'
    >>> without_folders("/tmp/secret/runs/demo/run.json: broken (/proc/1 of 3/4, https://a.b/c/d/e)")
    'demo/run.json: broken (proc/1 of 3/4, https://a.b/c/d/e)'
    """
    for root in sorted((r for r in roots if len(r.parts) > 1), key=lambda r: -len(str(r))):
        text = text.replace(f"{root}{os.sep}", "")
    return _ABSOLUTE.sub(lambda found: "/".join(found[0].strip("/").split("/")[-2:]), text)


def safe_file_name(name: str, length: int = 60) -> str:
    """The last part of a path from outside, without any character that Markdown, HTML or a shell acts on.

    Parameters
    ----------
    name : str
        A file name or path as a browser or an archive states it.
    length : int, default 60
        Longest result in characters; longer names are shortened in the middle.

    Returns
    -------
    str
        A recognisable name: "&" becomes "+", "_" remains beside a letter only, nothing begins like a list, an option
        or a formula, no "www." and no ":smile:" is left; "unnamed" where nothing visible remains.

    Examples
    --------
    >>> safe_file_name("C:\\\\scans\\\\H&E_01 <b>.png")
    'H+E_01 b.png'
    >>> safe_file_name("../../=cmd.csv")
    'cmd.csv'
    """
    last = name[-8192:].replace("\\", "/").rsplit("/", 1)[-1].replace("&", "+")
    clean = clean_text(clean_text(last, 8192).translate(_ACTIVE).translate(_INVISIBLE), 8192)
    clean = re.sub(r"(?<![^\W_])(?<!_)_+|_+(?![^\W_]|_)", "", clean)  # Markdown's emphasis, but not "case_01"
    clean = clean.lstrip(" .,:+=-").rstrip(" .:")
    clean = re.sub(r":(?=[\w+-]*(?::|$))", "", clean)  # an emoji's short name, with the colon that follows a name
    clean = " ".join(re.sub(r"(?i)www\.", "www-", clean).split())
    clean = re.sub(r"^(\d+)[.)]\s", r"\1 ", clean) or "unnamed"
    return shortened(clean, length)


def safe_path(path: str, length: int = 90) -> str:
    """``safe_file_name`` of each part of a relative path, so that "P1/01.png" and "P2/01.png" remain two names.

    Parameters
    ----------
    path : str
        A path inside an archive or a folder, with "/" or "\\\\" between its parts.
    length : int, default 90
        Longest result in characters.

    Returns
    -------
    str
        The path with "/" between its parts, without "." and "..".

    Examples
    --------
    >>> safe_path("../P1/<01>.png")
    'P1/01.png'
    """
    parts = [safe_file_name(part) for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return shortened("/".join(parts) or "unnamed", length)


def printable_path(path: object) -> str:
    """A path as text that can be printed, encoded and joined back to its file.

    Parameters
    ----------
    path : str or PathLike
        A path as the system gives it; bytes that are not UTF-8 are lone surrogates in it (PEP 383).

    Returns
    -------
    str
        The path itself; such bytes as ``\\xe9``, and control characters likewise, so that two names stay two.

    Examples
    --------
    >>> import os
    >>> printable_path("P1/a.png"), printable_path(os.fsdecode(bytes([99, 97, 102, 233])) + ".png")
    ('P1/a.png', 'caf\\\\xe9.png')
    """
    return "".join(map(_printable, str(path)))


def _printable(c: str) -> str:
    if "\udc80" <= c <= "\udcff":
        return f"\\x{ord(c) - 0xDC00:02x}"
    return repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in _DIRECTIONAL else c


def has_hidden_characters(name: str) -> bool:
    """Whether a name contains control characters, line separators, lone surrogates or directional marks.

    Parameters
    ----------
    name : str
        A file name as an archive states it.

    Returns
    -------
    bool
        True where the name may look different from what it is.

    Examples
    --------
    >>> has_hidden_characters("gnp.\\u202eexe"), has_hidden_characters("Gewebe \\u00c4.png")
    (True, False)
    """
    return any(c in _DIRECTIONAL or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in name)
