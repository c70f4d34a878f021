"""Every paper that is named has its entry, and every entry is named somewhere."""

import html
import re
from pathlib import Path

import pytest

from vaebench.bibliography import CITATION, _key, cited, entries

PACKAGE = Path(__file__).parents[1] / "vaebench"
# Every text that a report is made of, and the docstrings around it.
TEXTS = " ".join(
    path.read_text(encoding="utf-8") for suffix in ("py", "html") for path in sorted(PACKAGE.glob(f"*.{suffix}"))
)
NAMED = {_key(surname, year) for surname, year in CITATION.findall(" ".join(html.unescape(TEXTS).split()))}


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("the ELBO (Kingma & Welling 2014; Rezende et al. 2014)", ["kingma2014", "rezende2014"]),
        ("of Holm (1979), Loshchilov and Hutter (2017)", ["holm1979", "loshchilov2017"]),
        ("Loaiza-Ganem & Cunningham 2019, Mölder et al. 2021", ["loaizaganem2019", "molder2021"]),
        ("van der Maaten & Hinton 2008", ["maaten2008"]),
        ("Kingma et al. 2014b; Kingma & Welling 2014, bits", ["kingma2014", "kingma2014b"]),
        ("M2 (Kingma et al. 2014b)", ["kingma2014b"]),
        ("since May 2020, in 1998", []),
    ],
)
def test_what_a_text_cites(text, keys):
    assert [re.match(r"@\w+\{(\w+)", entry)[1] for entry in cited(text)] == keys


def test_every_paper_named_has_an_entry_and_every_entry_is_named():
    assert set(entries()) == NAMED


@pytest.mark.parametrize(("key", "entry"), entries().items(), ids=list(entries()))
def test_an_entry_is_whole_and_its_key_follows_from_it(key, entry):
    fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", entry, re.M))
    assert {"author", "title", "year"} <= fields.keys()
    assert fields.keys() & {"journal", "booktitle", "howpublished", "institution", "publisher"}
    assert entry.count("{") == entry.count("}")
    first = re.sub(r"\{\\.?(\w)\}", r"\1", fields["author"]).split(",")[0].split()[-1]
    # A letter tells papers of one author and year apart.
    assert re.fullmatch(_key(first, fields["year"]) + "[a-z]?", key)
