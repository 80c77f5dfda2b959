"""Figures are files that do not change unless the picture does."""

import hashlib
import os
import subprocess
import sys

import matplotlib as mpl
import pytest

mpl.use("agg")

from matplotlib import pyplot as plt

from procrustes_lab.core.tables import table
from procrustes_lab.lab import plotting

DRAW = """
import matplotlib; matplotlib.use("agg")
from matplotlib import pyplot as plt
from procrustes_lab.lab import plotting
from procrustes_lab.core.tables import table
plotting.use_style()
fig, ax = plt.subplots()
plotting.lens_axes(ax)
ax.scatter([0.2, 0.5], [0.1, 0.3], label="pairs")
ax.set_title("A lens with $x^2$ in its title")
ax.legend()
plotting.save(fig, "lens", svg=True, show=False)
"""


@pytest.fixture(autouse=True)
def _style_undone():
    with mpl.rc_context():
        yield
    plt.close("all")


def test_two_processes_write_the_same_bytes(tmp_path, monkeypatch):
    digests = []
    for run in ("here", "there"):
        folder = tmp_path / run
        monkeypatch.setenv(plotting.FIGURES_VARIABLE, str(folder))
        if run == "here":
            exec(DRAW, {})
        else:  # where strings have other hashes
            environment = {**os.environ, "PYTHONHASHSEED": "2"}
            subprocess.run([sys.executable, "-c", DRAW], env=environment, check=True)
        assert sorted(path.name for path in folder.iterdir()) == ["lens.png", "lens.svg"]
        digests.append(
            [
                hashlib.sha256((folder / f"lens.{kind}").read_bytes()).hexdigest()
                for kind in ("png", "svg")
            ]
        )
    assert digests[0] == digests[1]


def test_saving_says_nothing_of_software_or_date(tmp_path, monkeypatch):
    monkeypatch.setenv(plotting.FIGURES_VARIABLE, str(tmp_path))
    plotting.use_style()
    plotting.save(plt.figure(), "empty", svg=True)
    assert b"Software" not in (tmp_path / "empty.png").read_bytes()
    words = (tmp_path / "empty.svg").read_text()
    assert "<dc:date>" not in words
    assert "<dc:creator>" not in words


def test_nothing_is_written_where_no_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv(plotting.FIGURES_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    plotting.save(plt.figure(), "nowhere", svg=True)
    assert list(tmp_path.iterdir()) == []


def contrast(one, other):
    """Return the contrast ratio of two colours as WCAG 2 defines it."""

    def luminance(colour):
        channels = (
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in mpl.colors.to_rgb(colour)
        )
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), channels, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def ink_and_page():
    fig, ax = plt.subplots()
    plotting.lens_axes(ax)
    ax.set_title("Title")
    inks = [text.get_color() for text in (*ax.texts, ax.title, ax.xaxis.label)] + [
        ax.lines[0].get_color()
    ]
    return inks, fig.get_facecolor()


def test_the_lens_is_legible_on_light_and_on_dark_pages():
    plotting.use_style()
    light_inks, light_page = ink_and_page()
    with plotting.dark_style():
        dark_inks, dark_page = ink_and_page()
    assert contrast(light_page, dark_page) > 10
    for inks, page in ((light_inks, light_page), (dark_inks, dark_page)):
        assert all(contrast(ink, page) > 7 for ink in inks)


def test_the_dark_style_ends_with_its_block():
    plotting.use_style()
    before = dict(mpl.rcParams)
    with plotting.dark_style():
        assert mpl.rcParams["text.color"] != before["text.color"]
    assert mpl.rcParams == before


def test_the_lens_can_be_drawn_without_words():
    _, ax = plt.subplots()
    plotting.lens_axes(ax, label_sides=False)
    assert not ax.texts


def test_the_lens_is_drawn_to_scale():
    _, ax = plt.subplots()
    plotting.lens_axes(ax)
    assert ax.get_aspect() == 1.0


def test_a_table_is_kept_beside_the_figures_and_shown_as_committed(tmp_path, monkeypatch, capsys):
    kept = table(["map", "error"], [["turn", 0.25]])
    plotting.keep(kept, "nowhere")
    figures = tmp_path / "figures"
    figures.mkdir()
    monkeypatch.setenv(plotting.FIGURES_VARIABLE, str(figures))
    plotting.keep(kept, "05_films")
    assert [path.name for path in figures.iterdir()] == ["05_films.md"]
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    plotting.committed("05_films")
    assert "Markdown" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match=r"neither other\.png nor other\.md"):
        plotting.committed("other")
