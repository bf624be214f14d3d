"""The report: 05 run by papermill on odd names, and its page in a real browser, as wide as a phone and as a desk."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import papermill
import plotly
import pytest
import websocket

from draw.made import ODD, world
from kpl.config import NOTEBOOKS
from kpl.draw import report
from kpl.errors import BadInput

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
]
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
    command = [sys.executable, "-m", "kpl.draw.report", executed, folder / "report.html"]
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


def find_browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("no browser was found: apt-get install chromium")
    if found is None:
        pytest.skip("no Chromium is installed here; where CI is set that is a failure")
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A function that sends one command of the DevTools protocol to a blank page and returns its answer; `.events`."""
    profile = tmp_path_factory.mktemp("profile")
    command = [find_browser(), *QUIET, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port, path = wait_for(lambda: (profile / "DevToolsActivePort").read_text().split(), 60)
        socket = websocket.create_connection(f"ws://127.0.0.1:{port}{path}", suppress_origin=True, timeout=60)
        events, session = [], {}

        def send(method: str, **params) -> dict:
            send.count += 1
            socket.send(json.dumps({"id": send.count, "method": method, "params": params} | session))
            while (answer := json.loads(socket.recv())).get("id") != send.count:
                events.append(answer)
            assert "error" not in answer, answer
            return answer["result"]

        send.count, send.events = 0, events
        target = send("Target.createTarget", url="about:blank")["targetId"]
        session["sessionId"] = send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        yield send
        socket.close()
    finally:
        process.terminate()
        process.wait()


def wait_for(look, seconds: float):
    """What `look` returns once it does not fail and is not empty."""
    end = time.monotonic() + seconds
    while True:
        try:
            if found := look():
                return found
        except (OSError, ValueError):
            pass
        assert time.monotonic() < end, "the browser did not answer in time"
        time.sleep(0.1)


@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_in_a_browser(page, browser, width):
    def evaluate(code: str):
        return browser("Runtime.evaluate", expression=code, returnByValue=True)["result"].get("value")

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
    urls = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert urls and all(url.startswith(("file:", "data:", "blob:")) for url in urls)
