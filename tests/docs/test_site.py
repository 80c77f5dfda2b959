"""The site: built once, from the committed notebooks, and read as its visitors read it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import procrustes_lab as pl

ROOT = Path(__file__).parents[2]

LOADING = {
    ("script", "src"),
    ("img", "src"),
    ("source", "srcset"),
    ("iframe", "src"),
    ("object", "data"),
    ("use", "href"),
    ("image", "href"),
}


class Html(HTMLParser):
    """Where a page leads, what it loads, and the places in it."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.places, self.unnamed = [], [], {"", "top"}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.places.update(filter(None, [attributes.get("id"), attributes.get("name")]))
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        decoration = "logo__image" in (attributes.get("class") or "")  # its name stands beside it
        if tag == "img" and not attributes.get("alt") and not decoration:
            self.unnamed.append(attributes.get("src"))
        if tag == "link" and "canonical" not in attributes.get("rel", ""):
            self.loaded.append(attributes["href"])
        self.loaded += [value for key, value in attributes.items() if (tag, key) in LOADING]

    handle_startendtag = handle_starttag


@pytest.fixture(scope="module")
def pages(site):
    paths = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    return {path: Html(path) for path in paths}


def test_every_link_and_anchor_within_the_site_leads_somewhere(site, pages):
    astray = []
    for path, page in pages.items():
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            if target.is_dir():
                target /= "index.html"
            known = target.is_relative_to(site) and target.exists()
            anchor = unquote(parts.fragment)
            if not known or (target.suffix == ".html" and anchor not in pages[target].places):
                astray.append(f"{path.relative_to(site)}: {link}")
    assert astray == []


def test_nothing_is_loaded_from_another_host(site, pages):
    foreign = {link for page in pages.values() for link in page.loaded if urlsplit(link).netloc}
    assert foreign == set()
    sheets = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert len(sheets) > 3
    assert not [
        url for text in sheets for url in re.findall(r"url\(['\"]?((?:https?:)?//[^)]+)", text)
    ]


def test_every_notebook_is_in_the_book_and_in_order(site):
    index = (site / "index.html").read_text(encoding="utf-8")
    found = re.findall(
        r'toctree-l1"><a class="reference internal" href="notebooks/(\w+)\.html"', index
    )
    names = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert names
    assert list(dict.fromkeys(found)) == sorted(names, key=_part)


def _part(name):
    return "A" if name.startswith("A") else "2" if name.startswith("1") else "1", name


def test_every_public_name_has_a_page_with_the_notebooks_that_use_it(site):
    for name in pl.__all__:
        text = (site / "api" / f"{name}.html").read_text(encoding="utf-8")
        assert f'id="procrustes_lab.{name}"' in text
    certify = (site / "api" / "certify.html").read_text(encoding="utf-8")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        sources = [
            c["source"] for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"
        ]
        code = "\n".join("".join(source) for source in sources)
        uses = re.search(r"\bpl\.certify\(|from procrustes_lab import .*\bcertify\b", code)
        assert (f"../notebooks/{path.stem}.html" in certify.split("<article")[1]) >= bool(uses), (
            path
        )


def test_the_ledger_has_every_claim_of_the_notebooks(site):
    claims = (site / "claims.html").read_text(encoding="utf-8")
    total = 0
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        count = path.read_text(encoding="utf-8").count(
            '"application/vnd.procrustes-lab.claim+json"'
        )
        assert len(re.findall(rf'href="notebooks/{path.stem}\.html#claim-', claims)) == count
        total += count
    assert f"<strong>{total} claims</strong>" in claims
    assert "Retired" in claims


def test_every_command_is_described_in_its_own_words(site):
    from procrustes_lab.cli.main import cli

    text = (site / "command_line.html").read_text(encoding="utf-8")
    for name in cli.commands:
        assert f"Usage: procrustes-lab {name}" in text


def test_a_letter_has_one_meaning():
    text = (ROOT / "docs" / "notation.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (\$.+?) \| .+ \|$", text, re.MULTILINE)
    letters = [
        letter for cell in cells for letter in re.findall(r"\$([^$=]+?)(?: =[^$]*)?\$", cell)
    ]
    assert len(letters) > 15
    assert [letter for letter in letters if letters.count(letter) > 1] == []


def test_notebooks_can_be_launched_elsewhere(pages, site, repository):
    name = min(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    links = pages[site / "notebooks" / f"{name}.html"].links
    hosted = repository.removeprefix("https://github.com/")
    assert (
        f"https://mybinder.org/v2/gh/{hosted}/main?urlpath=lab/tree/notebooks/{name}.ipynb" in links
    )
    assert (
        f"https://colab.research.google.com/github/{hosted}/blob/main/notebooks/{name}.ipynb"
        in links
    )


def test_every_picture_has_words(site, pages):
    unnamed = {page: html.unnamed for page, html in pages.items() if html.unnamed}
    assert unnamed == {}


SET = (
    "[...document.querySelectorAll('span.math, div.math')].every(e => e.querySelector('svg'))"
    "&& !document.querySelector('[data-mml-node=merror]')"
)
READ = ("03_upgrade_the_query_encoder", "05_survive_a_retraining")


@pytest.mark.parametrize(
    ("width", "scheme", "shown"),
    [(1280, "light", ("index", "claims", "notation")), (390, "dark", ("**/*",))],
    ids=["wide", "narrow"],
)
def test_pages_fit_their_window_set_their_formulas_and_ask_no_host(
    site, pages, chromium, width, scheme, shown
):
    paths = [path for name in shown for path in site.glob(f"{name}.html") if path in pages]
    assert len(paths) >= len(shown)
    page, formulas = chromium.open(paths[0], width=width, scheme=scheme), 0
    for path in paths:
        page.go(path)
        page.wait_for(SET)  # every formula, and none with an error
        formulas += page.evaluate("document.querySelectorAll('mjx-container').length")
        assert page.foreign == [], path
        assert [line for line in page.console if "[PST]" not in line] == [], path
        assert page.overflow <= 0, path
    assert formulas > 3
    page.close()


BROAD = "[...document.querySelectorAll('img.broad')].map(e => e.getBoundingClientRect().width)"
CUT = (
    "[...document.querySelectorAll('table, img')].filter(e => e.getBoundingClientRect().right > {})"
)


def test_broad_pictures_stay_readable_on_a_phone_and_nothing_is_cut_on_paper(site, chromium):
    phone, paper = ({"width": 390}, {"width": 700, "media": "print"})
    for path in (site / "notebooks" / f"{name}.html" for name in READ):
        page = chromium.open(path, **phone)
        widths = page.evaluate(BROAD)
        assert min(widths) >= 640, path
        assert page.overflow <= 0, path
        page.show(scheme="light", **paper)
        assert page.evaluate(f"{CUT.format(700)}.length") == 0, path
        page.close()


def test_search_finds_a_page_from_a_disk(site, chromium):
    page = chromium.open(f"{(site / 'search.html').as_uri()}?q=orthogonal_procrustes")
    page.wait_for("document.querySelectorAll('#search-results li').length > 0")
    assert "orthogonal_procrustes" in page.evaluate(
        "document.querySelector('#search-results').innerText"
    )
    assert page.foreign == []
    assert [line for line in page.console if "[PST]" not in line] == []
