"""Text on pictures and pages: names are data, and stay what they are."""

import html
from collections.abc import Mapping

import pandas as pd
from IPython.display import HTML
from matplotlib.figure import Figure
from matplotlib.text import Text

PREDICTION, TRUTH = "darkorange", "royalblue"
SHEET = {"layout": "constrained", "dpi": 120}  # of every matplotlib figure


def short(text: str, most: int = 48) -> str:
    """Each line of a text, cut where it is longer than `most` characters."""
    return "\n".join(line if len(line) <= most else f"{line[: most - 1]}…" for line in str(text).split("\n"))


def plain(figure: Figure) -> Figure:
    """The figure with all its texts as they stand: `$` begins no formula, which names would often break."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    return figure


def table(frame: pd.DataFrame, digits: int = 4) -> HTML:
    """A table without its index, for a notebook's output."""
    return HTML(frame.to_html(index=False, border=0, na_rep="", float_format=f"%.{digits}f", justify="unset"))


def tiles(figures: Mapping[str, str]) -> HTML:
    """The few figures that should be seen first, {what: figure}, for a notebook's output."""
    said = [f"<div><b>{html.escape(figure)}</b><br>{html.escape(what)}</div>" for what, figure in figures.items()]
    return HTML(f'<div class="tiles" style="display: flex; flex-wrap: wrap; gap: 1em 2em">{"".join(said)}</div>')
