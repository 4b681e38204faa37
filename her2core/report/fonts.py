"""Fonts of the reports: Source Sans Pro, DejaVu Sans, and one of Chinese, Japanese and Korean where there is one.

The first two come with their packages under the SIL Open Font License 1.1 and the Bitstream Vera licence. For Chinese,
Japanese and Korean the font of the extra ``cjk`` is used, or an installed family whose licence permits embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import category

from her2core.errors import ConfigError

if TYPE_CHECKING:
    import typst

#: Character in place of one that no font has.
REPLACEMENT = "\ufffd"
_SOURCE = ("SourceSansPro-Regular.ttf", "SourceSansPro-It.ttf", "SourceSansPro-Semibold.ttf")
_DEJAVU = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
#: Families of Chinese, Japanese and Korean that may be embedded, in the order in which they are looked for.
_CJK = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Noto Sans JP"),
    *("Source Han Sans SC", "Source Han Sans", "Droid Sans Fallback", "WenQuanYi Micro Hei"),
)


@dataclass(frozen=True)
class ReportFonts:
    """The fonts of a report.

    Attributes
    ----------
    families : tuple of str
        Families in the order in which a character is looked for.
    files : tuple of Path
        Font files of these families.
    characters : tuple of frozenset of int
        Code points that each family can draw.
    """

    families: tuple[str, ...]
    files: tuple[Path, ...]
    characters: tuple[frozenset[int], ...]

    def drawable(self, text: str) -> str:
        """``text`` with U+FFFD for every character that no font has, or not in the font of the letter it belongs to.

        Examples
        --------
        >>> report_fonts().drawable("id \u05d0 \U0001f9ec") == "id \u05d0 \ufffd"
        True
        """
        if text.isascii():
            return text
        kept: list[str] = []
        of_letter: frozenset[int] = frozenset()
        for c in text:
            if category(c) not in ("Mn", "Mc", "Me"):
                of_letter = next((known for known in self.characters if ord(c) in known), frozenset())
            kept.append(c if ord(c) in of_letter else REPLACEMENT)
        return "".join(kept)


@lru_cache(1)
def report_fonts() -> ReportFonts:
    """Find the fonts, once.

    Returns
    -------
    ReportFonts

    Raises
    ------
    ConfigError
        A package was installed without its fonts.
    """
    import font_source_sans_pro
    import matplotlib

    source, dejavu = Path(font_source_sans_pro.font_directory), Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = {"Source Sans Pro": [source / name for name in _SOURCE], "DejaVu Sans": [dejavu / name for name in _DEJAVU]}
    for file in (file for files in faces.values() for file in files if not file.is_file()):
        fix = "Install the package again from PyPI: it contains the font."
        raise ConfigError(f"the font {file.name}", got="no such file", where=str(file.parent), fix=fix)
    if (east_asian := _east_asian()) is not None:
        faces[east_asian[0]] = [east_asian[1]]
    # Every face of a family has to have a character, since a heading may contain it.
    characters = tuple(frozenset(set.intersection(*map(_characters, files))) for files in faces.values())
    return ReportFonts(tuple(faces), tuple(file for files in faces.values() for file in files), characters)


@lru_cache(1)
def typst_fonts() -> typst.Fonts:
    """The folders of these fonts for typst; the report names the families, so that no other font is used.

    Returns
    -------
    typst.Fonts

    Examples
    --------
    >>> set(typst_fonts().families()) >= {"Source Sans Pro", "DejaVu Sans"}
    True
    """
    import typst

    folders = list(dict.fromkeys(str(file.parent) for file in report_fonts().files))
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=folders)


def _east_asian() -> tuple[str, Path] | None:
    """Family and file of a font of Chinese, Japanese and Korean; None where there is none."""
    import typst

    package = find_spec("noto_cjk_sans_otc")
    folders = [] if package is None or package.origin is None else [str(Path(package.origin).parent)]
    found = typst.Fonts(include_system_fonts=not folders, include_embedded_fonts=False, font_paths=folders).fonts()
    regular = {font.family: font.path for font in found if font.style == "normal" and font.weight == 400 and font.path}
    family = next((name for name in _CJK if name in regular), None)
    return None if family is None else (family, Path(str(regular[family])))


def _characters(file: Path) -> set[int]:
    from matplotlib.ft2font import FT2Font

    return set(FT2Font(file).get_charmap())
