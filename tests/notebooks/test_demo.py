"""The demo: what it answers, and its page in a real browser, from the upload to the downloads."""

import json
import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import demo
import pytest
from browser import javascript, opened, requested, wait_for

import kpl

FIELD = "document.querySelectorAll('input[type=file]')"
CLICK = "[...document.querySelectorAll('button')].find(one => one.innerText.includes('Find the landmarks')).click()"
SAID = "document.querySelector('#said')?.innerText ?? ''"
NAMES = "[...document.querySelectorAll('a[download]')].map(one => one.download)"


@pytest.fixture(scope="module")
def photographs(tiny_captures) -> list[str]:
    table = kpl.captures.find(tiny_captures)
    row = table[table["split"] == "test"].iloc[0]
    return [str(Path(tiny_captures) / row[f"view{view}"]) for view in range(3)]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Where the demo runs, with a folder of its own for what is uploaded."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, demo.__file__, "--port", str(port)]
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=os.environ | {"TMPDIR": str(folder)})
    try:
        wait_for(lambda: process.poll() is not None or "Running" in (folder / "said").read_text(), 120)
        assert process.poll() is None, (folder / "said").read_text()
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def browser(tmp_path):
    with opened(tmp_path) as send:
        yield send


def upload(browser, field: int, picture: str) -> None:
    found = browser("Runtime.evaluate", expression=f"{FIELD}[{field}]")["result"]
    browser("DOM.setFileInputFiles", files=[picture], objectId=found["objectId"])


def test_without_a_picture_there_is_a_sentence():
    (answer,) = demo.answer(None, None, None)
    assert answer[0] == "Give at least one picture." and answer[2:] == (None, None, None)


def test_the_files_hold_every_landmark(photographs):
    answers = demo.answer(*photographs)
    said, _, drawing, turned, files = next(answers)
    assert "Expected error" in said and Path(drawing).stat().st_size > 10_000 and not turned.layout.updatemenus
    assert len(json.loads(Path(files[0]).read_text())["landmarks"]) == 106
    of_csv, of_obj = (Path(file).read_text().splitlines() for file in files[1:])
    assert len(of_csv) == 107 and of_csv[0] == "index,name,x,y,z,spread"
    assert sum(line.startswith("v ") for line in of_obj) == 106
    ends = [int(word) for line in of_obj if line.startswith("l ") for word in line.split()[1:]]
    assert min(ends) >= 1 and max(ends) <= 106
    assert next(answers, None) is None and not Path(drawing).exists()  # nothing is left behind


@pytest.mark.slow
def test_the_page_in_a_browser(address, browser, photographs, tmp_path):
    evaluate = partial(javascript, browser)
    for domain in ("Runtime", "Network", "Page"):
        browser(f"{domain}.enable")
    browser("Page.navigate", url=address)
    wait_for(lambda: evaluate(f"{FIELD}.length") == 3, 60)
    for field, picture in zip((2, 1, 0), photographs[::-1]):  # a field that is filled is no longer one to upload to
        upload(browser, field, picture)
        wait_for(lambda: evaluate(f"{FIELD}.length") == field and evaluate(f"{NAMES}.length") == 3 - field, 60)
    evaluate(CLICK)
    wait_for(lambda: "Expected error" in evaluate(SAID), 120)
    wait_for(lambda: evaluate("!!document.querySelector('.js-plotly-plot canvas')"), 60)
    wait_for(lambda: {"face.json", "face.csv", "face.obj"} <= {*evaluate(NAMES)}, 60)
    assert evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert evaluate("document.documentElement.scrollWidth <= innerWidth")

    (tmp_path / "letter.jpg").write_text("Dear reader, this is no picture.")
    evaluate("document.querySelector('[aria-label=\"Clear\"], [aria-label=\"Remove\"]').click()")
    wait_for(lambda: evaluate(f"{FIELD}.length") == 1, 60)
    upload(browser, 0, str(tmp_path / "letter.jpg"))
    wait_for(lambda: "letter.jpg" in evaluate(NAMES), 60)
    evaluate(CLICK)
    wait_for(lambda: "Not possible: the left picture, letter.jpg," in evaluate(SAID), 60)
    wait_for(lambda: not evaluate("!!document.querySelector('.js-plotly-plot')"), 60)
    shown = evaluate("document.body.innerText")
    assert "Traceback" not in shown and "Error" not in shown

    assert "Runtime.exceptionThrown" not in [event.get("method") for event in browser.events]
    urls = requested(browser)
    assert len(urls) > 10 and all(url.startswith((address, "data:", "blob:")) for url in urls)
