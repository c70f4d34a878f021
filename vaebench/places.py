"""Places of a report that are filled when it has been written: `<!-- name -->`, content, `<!-- end of name -->`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from vaebench.files import read_text, write_text


def fill(page: Path, name: str, content: str) -> None:
    """Replace what stands in the page's place of this name, if there is a page; all else of it stays as it is, and so does
    its time: what depends on the page is no older for it."""
    if not page.exists():
        return
    made = page.stat()
    place = re.compile(f"(?<=<!-- {name} -->).*(?=<!-- end of {name} -->)", re.DOTALL)
    write_text(page, place.sub(lambda _: content, read_text(page)))
    os.utime(page, ns=(made.st_atime_ns, made.st_mtime_ns))
