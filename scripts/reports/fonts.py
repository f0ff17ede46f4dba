"""Fonts for labels in any script: matplotlib's own first, and glyph by glyph those of the package weblate-fonts."""

import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path


@contextmanager
def lettering() -> Generator[set[str]]:
    """Text drawn within the block uses these fonts, and literally: a "$" in a label begins no formula.

    Yields a set. At the end it holds the characters that no font has: they are drawn as boxes with the sign of their script.
    """
    from matplotlib import rc_context

    missing: set[str] = set()
    with (
        rc_context({"font.family": ["DejaVu Sans", *_families()], "text.parse_math": False}),
        warnings.catch_warnings(record=True) as said,
    ):
        warnings.simplefilter("always")
        yield missing
        missing.update(chr(int(code)) for one in said for code in re.findall(r"^Glyph (\d+) ", str(one.message)))


def _families() -> list[str]:
    from matplotlib.font_manager import FontProperties, fontManager

    families = []
    with suppress(ModuleNotFoundError):
        folder = Path(str(resources.files("weblate_fonts"))) / "static/weblate_fonts/kurinto/ttf"
        for file in sorted(folder.glob("*-Rg.ttf")):
            name = FontProperties(fname=file).get_name()
            if name not in fontManager.get_font_names():
                fontManager.addfont(file)
            families.append(name)
    return families
