"""Pages of the site that lie outside docs/: one text serves the repository and the site, where links lead to pages."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# File of the repository -> page of the site.
ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    "results/README.md": "results.md",
}
SOURCES = {page: source for source, page in ELSEWHERE.items()}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by mkdocs with the files of docs/."""
    top = Path(config.config_file_path).parent
    for source, page in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(top / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Called by mkdocs with the text of each page, whose links lead from file to file of the repository."""
    folder = posixpath.dirname(SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}"))

    def turn(link: re.Match) -> str:
        file = posixpath.normpath(posixpath.join(folder, link[1]))
        return f"]({ELSEWHERE.get(file, file.removeprefix('docs/'))}"

    return re.sub(r"\]\(([^)#:]+)", turn, markdown)
