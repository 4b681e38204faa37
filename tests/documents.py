"""Readers of finished documents: the elements of an HTML page, the words of each page of a PDF."""

from __future__ import annotations

import io
from html.parser import HTMLParser

import pypdf

VOID = {"meta", "img", "br", "col", "circle", "polyline", "polygon"}


class Page(HTMLParser):
    """Every element with its attributes and all of its text; complains about tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict, list[str]]] = []
        self.open: list[int] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs), []))
        if tag not in VOID:
            self.open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag):
        assert self.elements[self.open.pop()][0] == tag

    def handle_data(self, data):
        for i in self.open:
            self.elements[i][2].append(data)

    def found(self, tag: str, **wanted) -> list[tuple[dict, str]]:
        """Attributes and text of each element of this tag with these attributes."""
        found = [(a, "".join(text).strip()) for t, a, text in self.elements if t == tag]
        return [(a, text) for a, text in found if wanted.items() <= a.items()]

    def all(self, tag: str) -> list[str]:
        """Text of each element of this tag."""
        return [text for _, text in self.found(tag)]

    @property
    def text(self) -> str:
        """All words, one blank between them."""
        return " ".join(self.all("body")[0].split())


def pages(content: bytes, first: int | None = None) -> list[str]:
    """The words of each page of a PDF, or of the first few."""
    return [" ".join(p.extract_text().split()) for p in pypdf.PdfReader(io.BytesIO(content)).pages[:first]]
