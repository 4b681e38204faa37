"""Text from outside as Markdown of a page: ``her2core.io.text`` with this project's own path left out."""

from __future__ import annotations

from dashboard import HOME
from her2core.io.text import NAME_LENGTH as NAME
from her2core.io.text import SENTENCE_LENGTH as SENTENCE
from her2core.io.text import markdown_text


def plain(text: object, length: int = NAME) -> str:
    """``text`` as Markdown that shows it as it is."""
    return markdown_text(text, length)


def sentence(text: object) -> str:
    """A message that may quote text from outside, such as an error's; the path of this project is left out."""
    return markdown_text(str(text).replace(f"{HOME}/", ""), SENTENCE)
