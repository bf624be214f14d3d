"""The report: 05 run by papermill on odd names, and its page in a real browser, as wide as a phone and as a desk."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import nbformat
import papermill
import plotly
import pytest
import report
from browser import javascript, opened, requested, wait_for
from draw.made import ODD, world

from kpl.config import NOTEBOOKS
from kpl.errors import BadInput

HEADINGS = [
    "Written, read back, checked",
    "The scores",
    "The error curve",
    "Where the error is",
    "A face to turn",
    "The worst, and the best",
    "The submitted shapes",
    "Where the cameras stood",
    "How it was made",
]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    parameters = {name: str(place) for name, place in world(folder, tested=4, subjects=ODD[::-1]).parameters.items()}
    executed = folder / "executed.ipynb"
    papermill.execute_notebook(
        NOTEBOOKS / "05_submit.ipynb", executed, parameters, progress_bar=False, log_output=False
    )
    command = [sys.executable, NOTEBOOKS / "report.py", executed, folder / "report.html"]
    subprocess.run(command, check=True, cwd=folder, env=os.environ | {"PYTHONPATH": str(NOTEBOOKS.parent)})
    return folder / "report.html"


def test_the_page_stands_alone(page):
    text = page.read_text()
    assert page.stat().st_size < 8_000_000
    own = text.replace(plotly.offline.get_plotlyjs(), "", 1)
    assert len(own) < len(text) - 1_000_000  # plotly is there, once
    assert not any(word in own for word in ("http://", "https://", "<link", "@import", "url("))
    assert "<!--" not in own and "<script>alert" not in own and "ridge &lt;b&gt;won&lt;/b&gt; &amp; so on." in own
    assert "import numpy" not in own and "papermill notebooks" not in own  # no code, and no word to who runs it
    assert own.index('class="tiles"') < own.index("<h2")


def test_what_is_no_notebook_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "page.html").write_text("<html>")
    for name in ("page.html", "missing.ipynb"):
        with pytest.raises(BadInput, match=f"{name} is no notebook"):
            report.write(tmp_path / name, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_page_without_a_figure_to_turn_has_no_plotly(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("# Of <b>little</b> & few"), nbformat.v4.new_markdown_cell("## One")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    report.write(tmp_path / "a.ipynb", tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text()
    assert len(text) < 10_000 and "<title>Of &lt;b&gt;little&lt;/b&gt; &amp; few</title>" in text
    assert '<a href="#One">One</a>' in text


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("profile")) as send:
        yield send


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_in_a_browser(page, browser, width):
    evaluate = partial(javascript, browser)

    def middle(selector: str) -> tuple[float, float]:
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        return tuple(evaluate(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})"))

    def press(x: float, y: float, shift: float = 0.0) -> None:
        for kind, by in (
            ("mousePressed", 0),
            ("mouseMoved", shift / 2),
            ("mouseMoved", shift),
            ("mouseReleased", shift),
        ):
            browser("Input.dispatchMouseEvent", type=kind, x=x + by, y=y, button="left", buttons=1, clickCount=1)

    browser.events.clear()
    for domain in ("Runtime", "Network", "Page"):
        browser(f"{domain}.enable")
    browser("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
    browser("Page.navigate", url=page.as_uri())
    wait_for(lambda: evaluate("document.readyState === 'complete' && location.protocol === 'file:'"), 60)
    assert evaluate("document.title") == "05 · The submission, and how good it is"
    assert evaluate("[...document.querySelectorAll('h2')].map(h => h.firstChild.textContent)") == HEADINGS  # all of it
    assert evaluate(
        "[...document.querySelectorAll('nav a')].every(a => document.getElementById(decodeURI(a.hash.slice(1))))"
    )
    assert evaluate("document.documentElement.scrollWidth") <= width  # wide tables scroll on their own
    assert evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert evaluate("document.images.length") >= 9
    columns = evaluate("getComputedStyle(document.querySelector('.pairs')).gridTemplateColumns.split(' ').length")
    assert columns == (1 if width < 500 else 2)

    plot = "document.querySelector('.plotly-graph-div')"
    wait_for(lambda: evaluate(f"!!{plot}._fullLayout.scene._scene"), 60)
    evaluate(f"{plot}.scrollIntoView({{block: 'center'}})")
    assert 0.8 * min(width, 1000) < evaluate(f"{plot}.getBoundingClientRect().width") <= width
    camera = f"JSON.stringify({plot}._fullLayout.scene._scene.getCamera().eye)"
    before = evaluate(camera)
    press(*middle(".plotly-graph-div"), shift=60)
    wait_for(lambda: evaluate(camera) != before, 20)

    label, first = "document.querySelector('.updatemenu-header text').textContent", f"{plot}.data[0].x[0]"
    before, place = evaluate(label), evaluate(first)
    press(*middle(".updatemenu-header-group"))
    texts = "[...document.querySelectorAll('.updatemenu-dropdown-button text')].map(text => text.textContent)"
    wait_for(lambda: evaluate(texts), 20)
    for name in ("<!--<script>", "$\\frac{1}$", '"it\'s"'):
        assert any(name in text for text in evaluate(texts))
    text = evaluate(texts)[2]
    press(*middle(".updatemenu-dropdown-button:nth-of-type(3)"))
    wait_for(lambda: evaluate(label) == text != before, 20)
    assert evaluate(first) != place

    methods = [event.get("method") for event in browser.events]
    assert "Runtime.exceptionThrown" not in methods
    urls = requested(browser)
    assert urls and all(url.startswith(("file:", "data:", "blob:")) for url in urls)
