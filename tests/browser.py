"""A real browser for several tests, driven by the DevTools protocol."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import websocket

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


def find_browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("no browser was found: apt-get install chromium")
    if found is None:
        pytest.skip("no Chromium is installed here; where CI is set that is a failure")
    return found


@contextmanager
def opened(profile: Path) -> Iterator:
    """A function that sends one command of the DevTools protocol to a blank page and returns its answer; `.events`."""
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


def javascript(browser, code: str):
    """What JavaScript says on the page."""
    return browser("Runtime.evaluate", expression=code, returnByValue=True)["result"].get("value")


def requested(browser) -> list[str]:
    """The addresses that the page has asked for, if Network is enabled."""
    asked = (event for event in browser.events if event.get("method") == "Network.requestWillBeSent")
    return [event["params"]["request"]["url"] for event in asked]


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
