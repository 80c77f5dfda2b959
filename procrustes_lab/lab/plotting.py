"""How the laboratory draws: one style, one palette, and the same bytes for the same picture."""

import io
import os
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib as mpl
import matplotlib.style
from cycler import cycler
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from procrustes_lab.core import bounds
from procrustes_lab.core.tables import Html

COLOURS = {
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "sky": "#56B4E9",
    "orange": "#E69F00",
    "purple": "#CC79A7",
    "yellow": "#F0E442",
    "black": "#000000",
}
"""The palette of Okabe and Ito (2008), distinct under every common form of colour blindness."""

FIGURES_VARIABLE = "PROCRUSTES_LAB_FIGURES"


def use_style() -> None:
    """Make every later figure follow the laboratory's style. Call it once per notebook."""
    lines = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1))]
    mpl.style.use(Path(__file__).with_name("light.mplstyle"))
    mpl.rc("axes", prop_cycle=cycler(color=list(COLOURS.values())[:6], linestyle=lines))


def dark_style() -> AbstractContextManager[None]:
    """Draw light ink on a dark page inside a ``with`` block; the palette stays."""
    return mpl.style.context(Path(__file__).with_name("dark.mplstyle"))


def save(fig: Figure, name: str, *, svg: bool = False, show: bool = True) -> None:
    """Draw a figure, show it where it is said and close it: the same bytes for the same picture.

    It is also written as ``<name>.png``, and ``<name>.svg`` if asked, into the folder that the
    environment variable ``PROCRUSTES_LAB_FIGURES`` names, made if need be. With the variable unset
    nothing is written: a reader's notebook leaves no files behind.
    """
    # Version and date stamps would make equal pictures differ, as would random element names.
    fig.savefig(picture := io.BytesIO(), metadata={"Software": None})
    if folder := os.environ.get(FIGURES_VARIABLE):
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, f"{name}.png").write_bytes(picture.getvalue())
        if svg:
            with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": "procrustes-lab"}):
                fig.savefig(Path(folder, f"{name}.svg"), metadata={"Creator": None, "Date": None})
    if show:
        from IPython.display import Image, display

        display(Image(picture.getvalue(), width=round(fig.get_figwidth() * fig.dpi)))
    plt.close(fig)


def keep(table: Html, name: str) -> None:
    """Write a table beside the figures, as Markdown, where they are written at all."""
    if folder := os.environ.get(FIGURES_VARIABLE):
        Path(folder, f"{name}.md").write_text(f"{table}\n", encoding="utf-8")


def committed(name: str) -> None:
    """Show the committed figure or table of a name, or both: results of data not at hand."""
    from IPython.display import Image, Markdown, display

    kinds = {".png": Image, ".md": Markdown}
    paths = [Path("..", "figures", f"{name}{ending}") for ending in kinds]
    found = [kinds[path.suffix](filename=path) for path in paths if path.is_file()]
    if not found:
        raise FileNotFoundError(f"figures holds neither {name}.png nor {name}.md: run make refresh")
    display(*found)


def lens_axes(ax: Axes, label_sides: bool = True) -> None:
    """Prepare axes for points (Δ/t, p²/t): the lens shaded, and along each side its inequality."""
    ink = mpl.rcParams["text.color"]
    x, y = bounds.lower_side()
    ax.fill([*x, 0.0], [*y, 0.0], color=ink, alpha=0.07, linewidth=0, zorder=0)
    ax.plot(x, y, color=ink, linestyle="-", linewidth=1.6, zorder=3)
    ax.plot([0.0, 1.0], [0.0, 1.0], color=ink, linestyle="-", linewidth=1.6, zorder=3)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.set_xlabel(r"Gram discrepancy over energy,  $\Delta\,/\,t$")
    ax.set_ylabel(r"squared alignment error over energy,  $p^2\,/\,t$")
    if label_sides:
        along = {"rotation": 45, "rotation_mode": "anchor", "ha": "center", "color": ink}
        ax.text(0.44, 0.47, r"upper side:  $p^2 \leq \Delta$", va="bottom", **along)
        below = r"lower side:  $p^2 \geq t - \sqrt{t^2 - \Delta^2}$"
        ax.text(0.775, 0.285, below, va="top", **along)
