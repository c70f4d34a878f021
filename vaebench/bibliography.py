"""What a text cites, as BibTeX: "Kingma & Welling 2014" is the entry kingma2014 of references.bib."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

REFERENCES = Path(__file__).with_name("references.bib")
CITATION = re.compile(r"\b([A-Z][\w-]+)(?: et al\.| (?:&|and) [A-Z][\w-]+)? \(?((?:19|20)\d\d[a-z]?)\b")


def entries() -> dict[str, str]:
    """Every entry of references.bib by its key, in the file's order."""
    blocks = REFERENCES.read_text(encoding="utf-8").strip().split("\n\n")
    return {re.match(r"@\w+\{(\w+),", block)[1]: block for block in blocks}


def cited(text: str) -> list[str]:
    """The entries that a text cites by names and year, once each, by key."""
    known = entries()
    keys = {_key(surname, year) for surname, year in CITATION.findall(text)}
    return [known[key] for key in sorted(keys & known.keys())]


def _key(surname: str, year: str) -> str:
    """ "Loaiza-Ganem" and "2019" -> "loaizaganem2019"; "Mölder" and "2021" -> "molder2021"."""
    plain = unicodedata.normalize("NFKD", surname.replace("ø", "o")).encode("ascii", "ignore").decode()
    return re.sub(r"\W", "", plain).lower() + year
