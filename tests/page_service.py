"""The real service in a thread and Debian's Chromium before it, for the tests of the page.

Whatever a page says on its console, throws, or asks of another host fails the test that opened it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
CLIPS = ROOT / "examples" / "clips"
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MS = 30_000


def needed() -> None:
    """Skip the module, and say why, where the service or a browser is missing."""
    for name in ("fastapi", "uvicorn", "playwright.sync_api"):
        pytest.importorskip(name, reason=f"{name} is not installed: the page is not tested")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: the page is not tested", allow_module_level=True)


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[str]:
    """The address of a service on a free port, with its state in `folder`; it ends with the block."""
    import uvicorn

    from synthprint.web.application import application
    from synthprint.web.settings import ServiceSettings

    app = application(ServiceSettings(folder=folder, port=0, workers=2, **settings))
    server = uvicorn.Server(
        uvicorn.Config(
            app, host="127.0.0.1", port=0, log_level="warning", access_log=False, timeout_graceful_shutdown=5
        )
    )
    thread = threading.Thread(target=server.run, name="page service")
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@cache
def shared(config: pytest.Config) -> tuple[str, Any]:
    """The address of a service and a browser, for all tests of a run; they end with it."""
    stack = ExitStack()
    config.add_cleanup(stack.close)
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="page-service-"))
    return stack.enter_context(served(Path(folder))), stack.enter_context(chromium())


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser, without a window."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        yield browser
        browser.close()


class Watched:
    """Pages of a browser whose every request and complaint is seen.

    Attributes:
        complaints: errors and warnings of the console, refused styles and scripts among them, and what was thrown.
        foreign: addresses of other hosts that were asked for, which none ever reaches.
        expected: words of complaints that a test brings about itself, such as the status of a refused request.
    """

    def __init__(self, browser: Any, address: str) -> None:
        self.browser, self.address = browser, address
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.expected: list[str] = []
        self._contexts: list[Any] = []

    def open(self, path: str = "/", width: int = 1440, height: int = 1000, shade: str = "light") -> Any:
        """A page of a fresh visitor."""
        context = self.browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=shade, accept_downloads=True
        )
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.route("**/*", self._let)
        context.on("console", lambda message: self._heard(message.type, message.text))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        page = context.new_page()
        page.goto(self.address + path)
        return page

    def _let(self, route: Any) -> None:
        if route.request.url.startswith((self.address, "blob:", "data:")):
            route.continue_()
        else:
            self.foreign.append(route.request.url)
            route.abort()

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(words in text for words in self.expected):
            self.complaints.append(text)

    def close(self) -> None:
        """End all pages, and fail where one of them complained."""
        while self._contexts:
            self._contexts.pop().close()
        assert not self.complaints, self.complaints
        assert not self.foreign, self.foreign


def add(page: Any, *clips: Path | dict[str, Any]) -> None:
    """Choose clips, files or their content under a name; wait until all are answered."""
    page.set_input_files("#files", list(clips))
    page.wait_for_function("() => document.querySelector('#clip-list li')")
    settled(page)


def payload(name: str, path: Path) -> dict[str, Any]:
    """A clip under another name."""
    return {"name": name, "mimeType": "audio/flac", "buffer": path.read_bytes()}


def settled(page: Any) -> None:
    """Wait until no clip is being examined."""
    page.locator("#progress").wait_for(state="hidden")


def clip_row(page: Any, name: str) -> Any:
    """The row of a clip in the list."""
    return page.locator("#clip-list li").filter(has=page.get_by_text(name, exact=True))


def drop(page: Any, *paths: Path) -> None:
    """Drop files on the page, as a file manager does."""
    files = [{"name": path.name, "data": base64.b64encode(path.read_bytes()).decode()} for path in paths]
    page.evaluate(
        """(files) => {
          const transfer = new DataTransfer();
          for (const { name, data } of files) {
            const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name));
          }
          for (const kind of ["dragover", "drop"]) {
            const event = new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true });
            document.getElementById("drop").dispatchEvent(event);
          }
        }""",
        files,
    )


def said(page: Any, words: str) -> None:
    """Wait until a screen reader is told `words`."""
    page.wait_for_function("(words) => document.getElementById('said').textContent.includes(words)", arg=words)


def case_of(page: Any) -> dict[str, Any]:
    """The case of a page as the server holds it."""
    page.wait_for_function("() => location.pathname.startsWith('/cases/')")
    return ask(page, "/v1" + page.evaluate("location.pathname"))


def ask(page: Any, path: str) -> Any:
    """What the server answers to a GET of the page."""
    return page.evaluate("(path) => fetch(path).then((response) => response.json())", path)


def ratio(statement: str) -> str:
    """Of a statement how many times more probable, and with which proposition; without the cap and the strength."""
    return re.split(r" \(the most|: (?=\w[\w ]* support )", statement)[0]


def serious(page: Any) -> list[str]:
    """What axe-core finds serious or critical, each with the elements it is about."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{violation['id']}: {json.dumps([node['target'] for node in violation['nodes']])}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


def overflow(page: Any) -> int:
    """By how many pixels a page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
