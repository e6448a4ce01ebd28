"""A headless chromium, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --remote-debugging-port=0"
).split()
SECONDS = 60  # that a page may take on a busy machine


class Page:
    """One page; every call waits for its answer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: aiohttp.ClientWebSocketResponse):
        self.loop, self.socket, self.calls = loop, socket, 0

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self.calls += 1
        message = {"id": self.calls, "method": method, "params": params}

        async def answer() -> dict[str, Any]:
            await self.socket.send_json(message)
            while True:
                reply = await self.socket.receive_json(timeout=SECONDS)
                if reply.get("id") == message["id"]:
                    return reply["result"]

        return self.loop.run_until_complete(answer())

    def open(self, address: str) -> None:
        self._call("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        return self._call("Runtime.evaluate", expression=script)["result"].get("value")

    def wait_for_text(self, *texts: str) -> str:
        """The text of the page as soon as it holds all of these."""
        seen, deadline = "", time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            seen = self.run("document.body ? document.body.innerText : ''") or ""
            if all(text in seen for text in texts):
                return seen
            time.sleep(0.2)
        raise AssertionError(f"{texts} not all on the page after {SECONDS} s:\n{seen}")

    def click(self, text: str) -> None:
        """Follow the link with this text."""
        link = f"[...document.querySelectorAll('a')].find(a => a.innerText === {json.dumps(text)})"
        self.run(f"{link}.click()")

    def resize(self, width: int, height: int) -> None:
        """Give the window another size, in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)

    def prefer(self, scheme: str) -> None:
        """Prefer `light` or `dark` colours, as the reader's system may."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._call("Emulation.setEmulatedMedia", features=[feature])

    def press(self, key: str) -> None:
        """Press and release a key: Tab, Enter or a character."""
        text = {"Enter": "\r", "Tab": ""}.get(key, key)
        code = {"Enter": 13, "Tab": 9}.get(key, ord(key[0]))
        event = {"key": key, "text": text, "windowsVirtualKeyCode": code}
        self._call("Input.dispatchKeyEvent", type="keyDown", **event)
        self._call("Input.dispatchKeyEvent", type="keyUp", **event)

    def picture(self, file: Path, width: int = 1280, height: int = 800) -> None:
        """Write the window as a small PNG."""
        self.resize(width, height)
        time.sleep(1)  # for the page to be laid out anew
        data = self._call("Page.captureScreenshot", format="png")["data"]
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            image.convert("RGB").quantize(128).save(file, optimize=True)


@contextmanager
def page(folder: Path) -> Iterator[Page]:
    """A browser with its profile in `folder`, and its one page."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "--window-size=1280,800"]
    process = subprocess.Popen([*command, "about:blank"], stderr=subprocess.DEVNULL)
    loop = asyncio.new_event_loop()
    session = loop.run_until_complete(_session())
    try:
        socket = loop.run_until_complete(_connect(session, folder / "DevToolsActivePort"))
        yield Page(loop, socket)
    finally:
        loop.run_until_complete(session.close())
        process.terminate()
        process.wait(20)
        loop.close()


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


async def _connect(session: aiohttp.ClientSession, file: Path) -> aiohttp.ClientWebSocketResponse:
    deadline = time.monotonic() + SECONDS
    while not (file.exists() and file.read_text().count("\n")) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    port = file.read_text().split()[0]
    async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
        pages = [target for target in await reply.json() if target["type"] == "page"]
    return await session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
