"""A real browser without a window, driven over a pipe by its own protocol (DevTools); nothing else is needed for it."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-sync", "--disable-quic", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe", "--mute-audio", "--hide-scrollbars",
)  # fmt: skip
_PATIENCE_SECONDS = 60.0


class Browser:
    """One process, with tabs. Its protocol is JSON, a zero byte after each message, on its files 3 and 4."""

    def __init__(self, profile: Path) -> None:
        hears, self._write = os.pipe()
        self._read, says = os.pipe()
        command = [str(CHROMIUM), *_QUIET, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{hears} 4>&{says}', "bash", *command],
            pass_fds=(hears, says), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        os.close(hears)
        os.close(says)
        self._unread = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._read)
        os.close(self._write)

    def open(self, url: str) -> Tab:
        """A tab of its own, which shares nothing with the others: as somebody else's browser."""
        own = self.tell("Target.createBrowserContext")["browserContextId"]
        target = self.tell("Target.createTarget", url="about:blank", browserContextId=own)["targetId"]
        session = self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.tell(f"{domain}.enable")
        tab.go(url)
        return tab

    def tell(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        number = self._last
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        _write_all(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._message()
            if found.get("id") == number:
                assert "error" not in found, f"{method}: {found['error']}"
                return dict(found["result"])
            self.events.append(found)

    def _message(self) -> dict[str, Any]:
        until = time.monotonic() + _PATIENCE_SECONDS
        while b"\0" not in self._unread:
            there, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            part = os.read(self._read, 1 << 16) if there else b""
            assert part, "the browser says nothing"
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        return dict(json.loads(message))


class Tab:
    """One page, and somebody who looks at it and hits keys."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.tell(method, self._session, **parameters)

    def go(self, url: str) -> None:
        self.tell("Page.navigate", url=url)

    def reload(self) -> None:
        self.tell("Page.reload")

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is. The protocol may evaluate; the page's own policy still holds for the page."""
        found = self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        """Waits for it to be true."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while not self.value(f"document.readyState === 'complete' && ({expression})"):
            assert time.monotonic() < end, (
                f"never: {expression}; the page says {self.value('document.body.innerText')!r:.600}"
            )
            time.sleep(0.02)

    def sees(self, state: str) -> None:
        self.until(f"document.body.dataset.state === '{state}'")

    def text(self, selector: str) -> str:
        return str(self.value(f"document.querySelector({json.dumps(selector)}).textContent"))

    def visible(self, selector: str) -> bool:
        return bool(self.value(f"document.querySelector({json.dumps(selector)}).checkVisibility()"))

    def click(self, selector: str) -> None:
        self.value(f"document.querySelector({json.dumps(selector)}).click()")

    def hit(self, key: str) -> None:
        """A key goes down and up, as by a hand."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self.tell("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.tell("Input.dispatchKeyEvent", type="keyUp", key=key)

    def type(self, words: str) -> None:
        self.tell("Input.insertText", text=words)

    def looks(self, width: int, height: int = 900, dark: bool = False) -> None:
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.tell("Emulation.setEmulatedMedia", features=scheme)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.tell("Page.captureScreenshot", format="png")["data"]))

    def requests(self) -> list[str]:
        """Every address that the page has asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self._browser.events
            if event.get("sessionId") == self._session and event["method"] == "Network.requestWillBeSent"
        ]

    def complaints(self) -> list[str]:
        """Errors on the console, as of scripts and of the policy."""
        named = {"Runtime.exceptionThrown", "Log.entryAdded"}
        found = (e for e in self._browser.events if e.get("sessionId") == self._session and e["method"] in named)
        return [json.dumps(event["params"]) for event in found]


def _write_all(to: int, data: bytes) -> None:
    while data:
        data = data[os.write(to, data) :]
