"""The page to play with, by keyboard and mouse; its numbers are held against the package's."""

import numpy as np
import pytest

import procrustes_lab as pl

WIDE, NARROW = 1280, 390


@pytest.fixture(scope="module")
def page(site, chromium):
    opened = chromium.open(site / "play.html")
    opened.wait_for("window.procrustesPlay")
    return opened


def numbers(page, section):
    """What the page shows, by name."""
    pairs = page.evaluate(
        f"[...document.querySelectorAll('#{section}-numbers > div')]"
        ".map((row) => [row.querySelector('dt').innerText, row.querySelector('dd').innerText])"
    )
    return {name: value for name, value in pairs}


def clouds(page, section):
    X, Y = page.evaluate(f"[procrustesPlay.{section}.X, procrustesPlay.{section}.Y]")
    return np.array(X), np.array(Y)


def said(page, section):
    page.evaluate("new Promise((done) => setTimeout(done, 160))")  # it waits 150
    return page.evaluate(f"document.querySelector('#{section}-said').innerText")


def test_the_certificate_is_that_of_the_package(page):
    rng = np.random.default_rng(0)
    for scale in (1.0, 1e-3, 300.0):
        X, Y = scale * rng.normal(size=(2, 9, 2)) @ np.diag([1, rng.uniform(0.01, 1)])
        ours = pl.certify(X, Y)
        theirs = page.evaluate(f"procrustesPlay.certify({X.tolist()}, {Y.tolist()})")
        for name, value in theirs.items():
            assert value == pytest.approx(getattr(ours, name), rel=1e-9), name


@pytest.mark.parametrize("kind", range(5))
def test_a_cloud_turned_to_its_best_angle_leaves_what_align_leaves(page, kind):
    page.evaluate(
        f"(() => {{ const list = document.querySelector('#turn-kind'); list.selectedIndex = {kind};"
        "list.dispatchEvent(new Event('change')); })()"
    )
    X, Y = clouds(page, "turn")
    certificate, shown = pl.certify(X, Y), numbers(page, "turn")
    assert float(shown["least error"]) == pytest.approx(certificate.error, rel=6e-3, abs=1e-12)
    assert float(shown["cannot be less (lens, T2)"]) == pytest.approx(
        certificate.lower, rel=6e-3, abs=1e-12
    )
    assert float(shown["cannot be more (lens, T2)"]) == pytest.approx(
        certificate.upper, rel=6e-3, abs=1e-12
    )
    assert float(shown["the paper's bound (T1)"]) == pytest.approx(
        certificate.theorem, rel=6e-3, abs=1e-12
    )
    page.click("#turn-best")
    shown = numbers(page, "turn")
    assert shown["error now"] == shown["least error"]
    assert "the best there is" in said(page, "turn")
    W = pl.align(X, Y).map
    mirrored = page.evaluate("document.querySelector('#turn-mirror').checked")
    assert mirrored == (np.linalg.det(W) < 0)
    angle = np.radians(page.evaluate("procrustesPlay.turn.angle"))
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    np.testing.assert_allclose(np.diag([1, -1 if mirrored else 1]) @ turn, W, atol=1e-9)


def test_a_cloud_is_turned_by_mouse_and_by_keys(page):
    page.evaluate("document.querySelector('#turn-kind').dispatchEvent(new Event('change'))")
    middle = page.centre("#turn-cloud")
    page.drag((middle[0] + 80, middle[1]), (middle[0], middle[1] - 80))  # a quarter turn
    assert page.evaluate("procrustesPlay.turn.angle") == pytest.approx(90, abs=1)
    assert page.evaluate("document.activeElement.id") == "turn-cloud"
    page.press("Home")
    page.press("ArrowLeft", 5)
    page.press("PageDown")
    assert page.evaluate("procrustesPlay.turn.angle") == pytest.approx(-5)
    assert (
        page.evaluate("document.querySelector('#turn-cloud').getAttribute('aria-valuenow')") == "-5"
    )
    X, Y = clouds(page, "turn")
    angle = np.radians(-5)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    expected = np.sum((X @ turn - Y) ** 2) / len(X)
    assert float(numbers(page, "turn")["error now"]) == pytest.approx(expected, rel=6e-3)
    assert "Turned by -5°" in said(page, "turn")


def test_two_clouds_stand_where_the_point_was_dragged(page):
    page.centre("#lens-plane")  # scrolls to it
    left, top, width = page.evaluate(
        "(({left, top, width}) => [left, top, width])"
        "(document.querySelector('#lens-plane').getBoundingClientRect())"
    )
    unit = width / 380  # the lens is drawn 300 wide in a frame of 380
    start = (left + (52 + 300 * 0.6) * unit, top + (12 + 300 * 0.65) * unit)
    end = (left + (52 + 300 * 0.8) * unit, top + (12 + 300 * 0.4) * unit)
    page.drag(start, end)
    x, y = page.evaluate("[procrustesPlay.lens.x, procrustesPlay.lens.y]")
    assert (x, y) == (pytest.approx(0.8, abs=0.01), pytest.approx(0.6, abs=0.01))
    page.drag(end, (left + (52 + 300 * 0.9) * unit, top + 2))  # above the lens: held at its side
    x, y = page.evaluate("[procrustesPlay.lens.x, procrustesPlay.lens.y]")
    assert y == x == pytest.approx(0.9, abs=0.01)


def test_every_place_in_the_lens_is_taken(page):
    page.evaluate("document.querySelector('#lens-plane').focus()")
    page.press("ArrowLeft", 12, shift=True)  # to the corner
    places = [("ArrowRight", 3, True), ("ArrowUp", 2, True), ("ArrowRight", 40, False)]
    places += [("ArrowDown", 3, True), ("ArrowUp", 7, False), ("ArrowRight", 9, True)]
    for key, times, shift in places:
        page.press(key, times, shift=shift)
        x, y = page.evaluate("[procrustesPlay.lens.x, procrustesPlay.lens.y]")
        X, Y = clouds(page, "lens")
        assert pl.certify(X, Y).lens_point == pytest.approx((x, y), abs=1e-7)
        assert np.linalg.norm(pl.align(X, Y).map - np.eye(2)) < 1e-6 or y == x  # already aligned
        shown = numbers(page, "lens")
        assert float(shown["Δ/t of the clouds drawn"]) == pytest.approx(x, abs=6e-5)
        assert float(shown["p²/t of the clouds drawn"]) == pytest.approx(y, abs=6e-5)
    assert (x, y) == (1, 1)
    for button in page.evaluate(
        "[...document.querySelectorAll('#lens [data-to]')].map(b => b.dataset.to)"
    ):
        page.click(f"#lens [data-to='{button}']")
        assert pl.certify(*clouds(page, "lens")).lens_point == pytest.approx(
            tuple(map(float, button.split())), abs=1e-4
        )


def test_tilts_give_the_position(page):
    """N2: p²/t = 1 − E cos θ and Δ/t = E sin θ, here over the two tilts that the page names."""
    page.click("#lens [data-to='0.5 0.5']")
    shown = numbers(page, "lens")
    tilts = np.radians([float(shown[f"{which} tilt"].rstrip("°")) for which in ("first", "second")])
    assert np.degrees(tilts.sum()) == pytest.approx(90, abs=0.2)
    assert np.degrees(tilts) == pytest.approx([0, 90], abs=0.2)


def set_value(page, field, value):
    page.evaluate(
        f"((field) => {{ field.value = '{value}'; field.dispatchEvent(new Event('input', "
        f"{{bubbles: true}})); }})(document.querySelector('#break-{field}'))"
    )


def test_the_sum_breaks_even_at_old_over_new(page):
    set_value(page, "old", 0.354)
    set_value(page, "new", 0.449)
    set_value(page, "kept", 78)
    assert "Re-embed" in said(page, "break")
    assert numbers(page, "break")["the map breaks even at"] == f"{round(100 * 0.354 / 0.449)} %"
    set_value(page, "kept", 80)
    assert "Align now, re-embed later" in said(page, "break")
    assert float(numbers(page, "break")["new queries over the old index"]) == pytest.approx(
        0.8 * 0.449, rel=6e-3
    )
    set_value(page, "kept", 97)
    assert "Align and keep the index" in said(page, "break")
    set_value(page, "new", 0.3)
    assert "Leave things alone" in said(page, "break")
    set_value(page, "documents", 2_000_000)
    set_value(page, "pairs", 3000)
    set_value(page, "price", 0.5)
    set_value(page, "seconds", 3)
    shown = numbers(page, "break")
    assert (shown["price of the pairs"], shown["price of all documents"]) == ("1.5", "1,000")
    assert (shown["time for the pairs"], shown["time for all documents"]) == ("9 s", "100 min")


def test_a_wrong_entry_is_named(page):
    page.click("#break-old")
    page.press("ArrowDown")  # a number field steps
    set_value(page, "old", -1)
    assert "Score of the old model over its index: a number from 0 to 1 is expected." in said(
        page, "break"
    )
    assert numbers(page, "break") == {}
    set_value(page, "old", "")
    assert "is expected" in said(page, "break")
    set_value(page, "old", 0.4)
    assert numbers(page, "break")


def test_a_query_is_found_by_typing_and_ranked_as_numpy_ranks_it(page):
    page.click("#search-box")
    page.press("Backspace")
    page.type("array")
    assert page.evaluate("document.querySelectorAll('#search-list li').length") > 0
    assert (
        page.evaluate("document.querySelector('#search-box').getAttribute('aria-expanded')")
        == "true"
    )
    page.press("ArrowDown", 2)
    chosen = page.evaluate("document.querySelector('#search-list [aria-selected=true]').innerText")
    assert "array" in chosen.lower()
    page.press("Enter")
    assert page.evaluate("document.querySelector('#search-box').value") == chosen
    assert page.evaluate("document.querySelector('#search-list').hidden")
    sides = page.evaluate(
        "Object.fromEntries(Object.entries(procrustesPlay.search.sides)"
        ".map(([name, rows]) => [name, rows.map((row) => [...row])]))"
    )
    ways = page.evaluate("PLAY.ways")
    number = page.evaluate("Number(document.querySelector('#search').dataset.query)")
    assert page.evaluate(f"PLAY.queries[{number}]") == chosen
    tops = page.evaluate(
        "[...document.querySelectorAll('#search-lists section')].map(s => s.dataset.top)"
    )
    assert len(tops) == len(ways) == 3
    for way, top in zip(ways, tops, strict=True):
        scores = np.array(sides[way["documents"]]) @ np.array(sides[way["queries"]])[number]
        assert list(map(int, top.split())) == np.argsort(-scores, kind="stable")[:5].tolist()
    assert "Place of the answer" in said(page, "search")


def test_a_query_that_is_not_there_is_said_so(page):
    page.click("#search-box")
    page.press("Backspace")
    page.type("zebra xylophone")
    assert "No prepared query" in said(page, "search")
    page.press("Escape")
    page.click("#search-another")
    assert "Place of the answer" in said(page, "search")


def test_everything_is_reached_by_keyboard_and_has_a_name(page):
    unnamed = page.evaluate(
        "[...document.querySelectorAll('.play :is(input, select, button, [tabindex])')]"
        ".filter((e) => !e.getAttribute('aria-label') && !e.innerText?.trim() && !e.labels?.length)"
        ".map((e) => e.outerHTML)"
    )
    assert unnamed == []
    page.evaluate("document.querySelector('#turn-kind').focus()")
    reached = []
    for _ in range(24):
        page.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.textContent")
        )
    for name in ("turn-mirror", "turn-best", "turn-cloud", "lens-plane", "break-old", "search-box"):
        assert name in reached


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (NARROW, "dark")])
def test_it_fits_asks_no_host_and_says_nothing_in_the_console(site, chromium, width, scheme):
    page = chromium.open(site / "play.html", width=width, scheme=scheme)
    page.wait_for("window.procrustesPlay")
    for shown in (scheme, "light", "dark"):
        page.show(width=width, scheme=shown)
        assert page.overflow <= 0
    assert page.foreign == []
    assert [line for line in page.console if "[PST]" not in line] == []


def test_without_its_vectors_the_rest_works(site, chromium, tmp_path):
    text = (site / "play.html").read_text(encoding="utf-8")
    bare = tmp_path / "play.html"
    bare.write_text(
        text.replace('<script src="_static/play/data.js"></script>', ""), encoding="utf-8"
    )
    for path in site.iterdir():
        if path.name != bare.name:
            (tmp_path / path.name).symlink_to(path)
    page = chromium.open(bare)
    page.wait_for("window.procrustesPlay")
    assert "built without the vectors" in page.text
    assert numbers(page, "turn")
