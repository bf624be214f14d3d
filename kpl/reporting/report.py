"""One self-contained HTML page: sections of text, tables and pictures, and a face to turn by hand.

Pictures are WebP in data URIs; there is no network access, no library, and the page fits a phone as it fits a desk.
"""

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from kpl.files import atomic
from kpl.landmarks import OUTLINES

QUALITY = 82  # of WebP
_PAGE, _VIEWER = (Path(__file__).with_name(name) for name in ("report_page.html", "report_viewer.js"))


def write(file: str | Path, title: str, subtitle: str, sections: Sequence[tuple[str, str]]) -> None:
    """Write the page, atomically. sections: heading and HTML body of each."""
    body = "\n".join(
        f'<section id="s{i}">\n<h2>{html.escape(heading)}</h2>\n{text}\n</section>'
        for i, (heading, text) in enumerate(sections)
    )
    contents = " ".join(f'<a href="#s{i}">{html.escape(heading)}</a>' for i, (heading, _) in enumerate(sections))
    page = Template(_PAGE.read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        subtitle=html.escape(subtitle),
        contents=contents,
        body=body,
        script=_VIEWER.read_text(encoding="utf-8"),
    )
    with atomic(file) as temporary:
        temporary.write_text(page, encoding="utf-8")


def paragraph(text: str, quiet: bool = False) -> str:
    """A paragraph of plain text."""
    return f"<p{' class=quiet' if quiet else ''}>{html.escape(text)}</p>"


def numbers(values: dict[str, str]) -> str:
    """A few figures that should be seen first: {what: figure}."""
    boxes = "".join(
        f"<div><b>{html.escape(value)}</b><span class=quiet>{html.escape(what)}</span></div>"
        for what, value in values.items()
    )
    return f'<div class="numbers">{boxes}</div>'


def table(frame: pd.DataFrame, digits: int = 4) -> str:
    """A table that scrolls on its own where the window is narrow."""
    text = frame.to_html(
        index=False, border=0, escape=True, na_rep="", float_format=lambda value: f"{value:.{digits}f}", justify="unset"
    )
    return f'<div class="wide">{text}</div>'


def chart(figure: Figure, caption: str = "") -> str:
    """A matplotlib figure, which is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    plt.close(figure)
    with Image.open(buffer) as image:
        return _figure(image.convert("RGB"), caption, "chart")


def picture(pixels: np.ndarray, caption: str = "") -> str:
    """A picture (H, W, 3) uint8 RGB."""
    return _figure(Image.fromarray(pixels), caption, "photo")


def viewer(samples: Sequence[dict], centre: np.ndarray) -> str:
    """Faces to turn by hand. samples: {"label", "text", "prediction" (106, 3), "truth" (106, 3) or None}; centre:
    (3,)."""
    data = {
        "centre": np.round(centre, 4).tolist(),
        "outlines": [outline.tolist() for outline in OUTLINES.values()],
        "samples": [
            sample | {name: None if sample[name] is None else np.round(sample[name], 4).tolist() for name in _SHAPES}
            for sample in samples
        ],
    }
    options = "".join(f"<option>{html.escape(sample['label'])}</option>" for sample in samples)
    boxes = "".join(
        f'<label class="{name}"><input type="checkbox" id="show-{name}" checked> {text}</label>'
        for name, text in (("prediction", "prediction"), ("truth", "truth"), ("lines", "their differences"))
    )
    inside = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    return (
        f'<div id="viewer"><div class="controls"><select aria-label="sample">{options}</select>{boxes}</div>'
        '<canvas tabindex="0" aria-label="face in 3D: drag to turn it"></canvas>'
        '<div class="controls quiet"><output></output><span>Drag to turn, wheel or two fingers to zoom.</span></div></div>'
        f'<script type="application/json" id="faces">{inside}</script>'
    )


_SHAPES = ("prediction", "truth")


def _figure(image: Image.Image, caption: str, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="webp", quality=QUALITY, method=4)
    source = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    size = f'width="{image.width}" height="{image.height}"'
    text = html.escape(caption)
    return f'<figure><img class="{kind}" src="{source}" {size} alt="{text}"><figcaption>{text}</figcaption></figure>'
