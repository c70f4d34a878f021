"""The documentation as a site: built without a warning, complete without a network."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
# What a browser fetches by itself, and the attribute that says from where.
FETCHED = {"link": "href", "script": "src", "img": "src", "iframe": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Its pages, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    # Not --quiet: what is not said is not counted by --strict.
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=TOP, env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert {line.partition(" ")[0] for line in said.splitlines()} == {"INFO"}, said
    return folder


class Sources(HTMLParser):
    """The addresses that a page fetches something from."""

    def __init__(self, page: Path):
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attributes if name == FETCHED.get(tag) and value]


def test_every_document_is_a_page(site):
    pages = {path.stem for path in site.glob("*.html")}
    assert pages == {path.stem for path in TOP.glob("docs/*.md")} | {"index", "contributing", "changes", "results", "404"}


def test_pages_and_styles_fetch_nothing_from_elsewhere(site):
    fetched = {address for page in site.glob("*.html") for address in Sources(page).addresses}
    assert "javascripts/iframe-worker.js" in fetched
    assert not [address for address in fetched if re.match(r"(\w+:)?//", address)]
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert not re.search(r"@import|url\([\"']?(\w+:)?//", styles)


def test_pages_open_from_files_and_fit_on_a_phone(site, browser):
    requests, faults = [], []
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    for path in sorted(site.glob("*.html")):
        # Links of 404.html begin at the root of a server.
        if path.stem != "404":
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") == 390, path.name
            assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    page.close()
    assert {request.partition("://")[0] for request in requests} == {"file"}
    assert faults == []


def test_the_search_finds_a_page_that_was_opened_from_a_file(site, browser):
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto((site / "index.html").as_uri())
    page.locator(".md-search__input").click()
    page.keyboard.type("importance-sampled")
    page.locator(".md-search-result__item h1", has_text="Metrics").wait_for(timeout=10_000)
    page.close()
