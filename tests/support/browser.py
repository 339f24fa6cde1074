"""Open a page in headless Chromium without a network, through chromedriver's plain HTTP."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not on PATH"
)
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-dev-shm-usage", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND"),
)


class Page:
    """A page in the browser."""

    def __init__(self, address: str, session: str) -> None:
        self.address, self.session = address, session

    def call(self, path: str, **values: Any) -> Any:
        """Send a command of WebDriver; without values, ask for something."""
        return _send(self.address, f"/session/{self.session}/{path}", values or None)

    def run(self, script: str) -> Any:
        """Run the body of a function in the page and return what it returns."""
        return self.call("execute/sync", script=script, args=[])

    def errors(self) -> list[str]:
        """Return what the page has written to its console as warnings and errors."""
        entries = self.call("se/log", type="browser")
        return [e["message"] for e in entries if e["level"] in ("SEVERE", "WARNING")]


@contextmanager
def opened(file: Path, profile: Path) -> Iterator[Page]:
    """Open a file in a browser of its own, whose files are in the folder `profile`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    driver = subprocess.Popen(
        [str(DRIVER), f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait(address)
        options = {"binary": CHROMIUM, "args": [*_OPTIONS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = _send(address, "/session", {"capabilities": {"alwaysMatch": wanted}})
        page = Page(address, made["sessionId"])
        try:
            page.call("url", url=file.resolve().as_uri())
            yield page
        finally:
            urllib.request.urlopen(
                urllib.request.Request(f"{address}/session/{page.session}", method="DELETE")
            ).close()
    finally:
        driver.terminate()
        driver.wait(timeout=30)


def _send(address: str, path: str, values: dict[str, Any] | None) -> Any:
    data = None if values is None else json.dumps(values).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["value"]


def _wait(address: str) -> None:
    for _ in range(300):
        try:
            if _send(address, "/status", None)["ready"]:
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("chromedriver does not answer")
