"""The report: its parts, and the page itself in a real browser, as wide as a phone and as a desk."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import websocket

from kpl import score
from kpl.errors import BadInput
from kpl.landmarks import GROUPS, MEAN_SHAPE
from kpl.reporting import breakdown, overlay, report, report_contents, results
from kpl.stacking import coordinates

CAMERA = np.array([[0.3, 0.02, 0.1, 0.5], [0.03, -0.3, 0.05, 0.5], [0.01, 0.02, -0.05, 1.0]])
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --remote-debugging-port=0"
).split()


def make_scored(ages: dict | None = None) -> report_contents.Scored:
    """20 samples of 5 subjects in 4 expressions, seen by one and the same camera three times."""
    rng = np.random.default_rng(0)
    subjects = np.repeat([f"{i:05d}" for i in range(5)], 4)
    expressions = np.tile(["01", "02", "03", "04"], 5)
    gt = MEAN_SHAPE + rng.normal(0, 0.02, (20, 106, 3))
    pred = gt + rng.normal(0, 0.01, gt.shape)
    means = np.broadcast_to(MEAN_SHAPE, gt.shape)
    errors = {
        "mean_shape": score.nme(means, gt),
        "mean": score.nme((pred + means) / 2, gt),
        "final": score.nme(pred, gt),
    }
    points2d = np.stack([[overlay.project(CAMERA, shape)] * 3 for shape in gt])
    crops = rng.integers(0, 255, (20, 3, 32, 32, 3)).astype(np.uint8)
    samples = np.array([f"{subject}/{expression}" for subject, expression in zip(subjects, expressions)])
    return report_contents.Scored(
        "test subjects", samples, subjects, expressions, errors, pred, gt, lambda i: crops[i], points2d, ages or {}
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    scored = make_scored({f"{i:05d}": 20.0 + 15 * i for i in range(5)})
    table = pd.DataFrame(
        results.row(f"{name}_with_quite_a_long_name" * long, split, scored.pred, scored.gt, scored.subjects)
        | {"name": name}
        for split in ("oof", "test")
        for long, name in enumerate(("mean_shape", "hgnetv2_b0_64_late_fc+mirror", "final"))
    )
    duel = coordinates.side_by_side(
        scored.pred, scored.pred[:, ::-1], scored.gt, scored.subjects, ("lightgbm", "neural")
    )
    choice = {"reason": "ridge <b>won</b> & so on.", "seconds": {"ridge": 1.5}, "seed": 0, "not_chosen": ["neural"]}
    choice |= {"ratio_to_best_network": [0.9, 0.8, 1.0], "nested_nme": 0.05, "best_network": "small"}
    runs = {"small": {"backbone": "mobilenetv3", "size": 32, "folds": 2, "epochs": 1, "minutes": 0.5, "seed": 0}}
    file = tmp_path_factory.mktemp("report") / "report.html"
    sections = report_contents.sections(table, scored, choice, table.drop(columns="split"), duel, runs)
    report.write(file, "A report", "of little", sections)
    return file


def test_the_page_stands_alone(page):
    text = page.read_text()
    assert page.stat().st_size < 8_000_000
    assert not any(word in text for word in ("http://", "https://", "<link", "@import", "url("))
    assert "ridge &lt;b&gt;won&lt;/b&gt; &amp; so on." in text
    for heading in (
        "Result",
        "Error curves",
        "By region",
        "By expression",
        "By age",
        "As seen in each view",
        "The worst",
    ):
        assert heading in text
    assert text.count('class="photo"') == 2 * report_contents.SHOWN


def test_without_ages_cameras_and_pictures_their_parts_are_absent():
    whole = make_scored()
    bare = report_contents.Scored(**{**vars(whole), "crops": None, "points2d": None})
    assert "By age" not in report_contents._where(whole)
    assert report_contents._worst_and_best(bare) == ""


def test_a_camera_is_found_from_what_it_sees():
    seen = overlay.project(CAMERA, MEAN_SHAPE)
    found = overlay.fit_camera(MEAN_SHAPE, seen)
    other = MEAN_SHAPE + np.random.default_rng(1).normal(0, 0.05, MEAN_SHAPE.shape)
    np.testing.assert_allclose(overlay.project(found, other), overlay.project(CAMERA, other), atol=1e-9)


def test_landmarks_are_drawn_where_the_camera_sees_them():
    scored = make_scored()
    drawn = report_contents.strip(scored, 3)
    plain = report_contents.strip(report_contents.Scored(**{**vars(scored), "points2d": None}), 3)
    assert drawn.shape == (256, 768, 3)
    changed = np.argwhere((drawn != plain).any(axis=2)[:, :256])
    aligned = score.align(scored.pred[3:4], scored.gt[3:4])[0]
    points = np.concatenate([overlay.project(CAMERA, shape) for shape in (aligned, scored.gt[3])]) * 256
    np.testing.assert_allclose(changed.min(axis=0)[::-1], points.min(axis=0), atol=3)
    np.testing.assert_allclose(changed.max(axis=0)[::-1], points.max(axis=0), atol=3)


def test_errors_are_put_down_to_the_right_region_and_view():
    gt = np.repeat(MEAN_SHAPE[None], 6, axis=0)
    pred, subjects = gt.copy(), np.repeat(["a", "b"], 3)
    eye_distance = np.linalg.norm(MEAN_SHAPE[74] - MEAN_SHAPE[77])
    pred[:, GROUPS["contour"], 2] += 0.1 * eye_distance  # along the middle camera's line of sight
    by_region = breakdown.by_region(pred, gt, subjects).set_index("group")["error"]
    assert by_region["contour"] == pytest.approx(0.1) and by_region.drop("contour").max() < 1e-9
    by_view = breakdown.by_view(pred, gt, subjects).set_index("group")["error"]
    share = len(GROUPS["contour"]) / 106 * 0.1
    assert by_view["middle view"] == pytest.approx(0, abs=1e-9)
    assert by_view["left view"] == pytest.approx(share * np.sin(np.radians(40))) == by_view["right view"]
    assert by_view["depth of the middle view"] == pytest.approx(share)


def test_ages_come_from_a_table_and_fall_into_groups(tmp_path):
    assert breakdown.ages(tmp_path) == {}
    (tmp_path / "subjects.csv").write_text("subject,age\n00007,34.9\n50001,65\n")
    assert breakdown.ages(tmp_path) == {"00007": 34.9, "50001": 65.0}
    groups = breakdown.age_groups(np.array([18.0, 24.9, 25.0, 64.9, 65.0, 90.0]))
    assert [group.split(" · ")[1] for group in groups] == ["below 25"] * 2 + ["25 to 34", "50 to 64"] + [
        "65 and older"
    ] * 2
    (tmp_path / "subjects.csv").write_text("name\n00007\n")
    with pytest.raises(BadInput, match="columns subject and age"):
        breakdown.ages(tmp_path)


def test_side_by_side_finds_the_better_one_of_each_coordinate():
    rng = np.random.default_rng(0)
    gt = MEAN_SHAPE + rng.normal(0, 0.02, (60, 106, 3))
    small, large = rng.normal(0, 0.002, gt.shape), rng.normal(0, 0.02, gt.shape)
    a, b = gt + small, gt + small
    contour = GROUPS["contour"]  # which the alignment does not use
    b[:, contour, 1], a[:, contour, 2] = (
        gt[:, contour, 1] + large[:, contour, 1],
        gt[:, contour, 2] + large[:, contour, 2],
    )
    table = coordinates.side_by_side(a, b, gt, np.arange(60) // 4, ("lightgbm", "neural"))
    assert len(table) == 318
    on_contour = table[table["landmark"].isin(contour)].set_index("axis")["better"]
    assert set(on_contour["y"]) == {"lightgbm"} and set(on_contour["z"]) == {"neural"}
    assert (on_contour["x"] == "").mean() > 0.8  # both err alike; chance makes a few seem sure
    assert (table["low"] <= table["gain"]).all() and (table["gain"] <= table["high"]).all()


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

    browser.events.clear()
    for domain in ("Runtime", "Network", "Log", "Page"):
        browser(f"{domain}.enable")
    phone = width < 500
    browser("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=phone)
    browser("Page.navigate", url=page.as_uri())
    wait_for(lambda: evaluate("document.readyState === 'complete' && location.protocol === 'file:'"), 60)
    assert evaluate("document.title") == "A report"
    assert (
        evaluate("document.documentElement.scrollWidth") <= width
    )  # nothing sticks out; wide tables scroll on their own
    assert evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert evaluate("document.images.length") >= 2 * report_contents.SHOWN + 5

    evaluate("document.querySelector('canvas').scrollIntoView({block: 'center'})")
    picture = "document.querySelector('canvas').toDataURL()"
    before, text = evaluate(picture), evaluate("document.querySelector('output').textContent")
    box = evaluate(
        "(({x, y, width, height}) => [x, y, width, height])(document.querySelector('canvas').getBoundingClientRect())"
    )
    assert 0.8 * min(width, 1000) < box[2] <= width
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    for kind, shift in (("mousePressed", 0), ("mouseMoved", 60), ("mouseReleased", 60)):
        browser("Input.dispatchMouseEvent", type=kind, x=x + shift, y=y, button="left", buttons=1, clickCount=1)
    assert evaluate("document.querySelector('canvas').dataset.drawn").split()[1] == f"{-0.5 + 60 / 150:.3f}"
    turned = evaluate(picture)
    assert turned != before and len(turned) > 3000  # not blank
    evaluate(
        "const choice = document.querySelector('select'); choice.selectedIndex = 2; choice.dispatchEvent(new Event('change'))"
    )
    assert evaluate(picture) != turned and evaluate("document.querySelector('output').textContent") != text

    methods = [event.get("method") for event in browser.events]
    assert "Runtime.exceptionThrown" not in methods
    urls = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    assert urls and all(url.startswith(("file:", "data:")) for url in urls)
