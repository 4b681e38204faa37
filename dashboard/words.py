"""How does text from outside stand in a sentence? Any text in; the same, with nothing that Markdown acts on, out."""

from __future__ import annotations

import re
import unicodedata

from dashboard import HOME

#: Longest name from outside, and longest sentence that quotes one.
NAME, SENTENCE = 120, 2000
#: What Streamlit's Markdown gives a meaning to: emphasis, code, links, HTML, LaTeX, tables, headings, quotes, lists.
_MARKS = re.compile(r"([\\`*_{}\[\]<>()#+\-!|~$:.&=])")
#: What becomes an emoji, an icon or a link even where its marks are escaped; a joiner of no width breaks each.
_AUTOMATIC = re.compile(r"(?i)(:(?=[\w+/-]*:)|:(?=//)|www(?=\.)|\w(?=@))")


def plain(text: object, length: int = NAME) -> str:
    """``text`` as Markdown that shows it as it is: every mark escaped.

    Characters that are not printable (control, format and direction marks) are dropped, lines run together, and more
    than ``length`` characters are shortened in the middle.
    """
    joined = " ".join(str(text)[: 100 * length].split())
    clean = unicodedata.normalize("NFC", "".join(c for c in joined if c.isprintable())) or "unnamed"
    if len(clean) > length:
        clean = f"{clean[: length // 2]}...{clean[-length // 2 + 3 :]}"
    return _MARKS.sub(r"\\\1", _AUTOMATIC.sub("\\1\u200c", clean))


def sentence(text: object) -> str:
    """A message that may quote what came from outside, such as an error's; where this project lies is left out."""
    return plain(str(text).replace(f"{HOME}/", ""), SENTENCE)
