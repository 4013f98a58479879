"""A book chapter for the tests: real prose with dialogue, abbreviations, dates and times, in the public domain."""

from __future__ import annotations

from pathlib import Path


def chapter() -> str:
    """The text of chapter I of "Dracula": over 30,000 characters, paragraphs apart by blank lines."""
    page = (Path(__file__).parent / "texts/dracula_chapter_1.txt").read_text(encoding="utf-8")
    return page.partition("\n\n")[2].strip()  # what stands before the first blank line says where it is from
