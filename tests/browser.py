"""Pages as their reader meets them: in a headless Chromium that can reach no other host.

It is driven over its DevTools protocol, https://chromedevtools.github.io/devtools-protocol.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import websocket

EXECUTABLE = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))),
    None,
)
"""The browser of this machine; None where there is none, and its tests are skipped."""

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)

KEYS = {
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Enter": 13,
    "Escape": 27,
    "Tab": 9,
    "Home": 36,
    "End": 35,
    "PageUp": 33,
    "PageDown": 34,
    "Backspace": 8,
}
"""Keys by name, with the number that browsers know them by."""


class Browser:
    """One Chromium with a profile of its own; a context manager."""

    def __enter__(self) -> Browser:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [EXECUTABLE, *FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            address = Path(self._profile.name, "DevToolsActivePort")
            end = time.monotonic() + 60
            while not (address.exists() and len(found := address.read_text().split()) == 2):
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{EXECUTABLE} did not start")
                time.sleep(0.05)
            self._socket = websocket.create_connection(
                f"ws://127.0.0.1:{found[0]}{found[1]}",
                suppress_origin=True,
                skip_utf8_validation=True,  # in Python it takes seconds; `json` decodes all anyway
                timeout=60,
            )
        except BaseException:
            self._end()
            raise
        self._number, self._pages = 0, {}
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._profile.cleanup()

    def open(
        self,
        page: str | Path,
        *,
        width: int = 1280,
        height: int = 900,
        scheme: str = "light",
        media: str = "screen",
        scripts: bool = True,
    ) -> Page:
        """Open a file or an address in a new tab, and wait until it has loaded.

        Parameters
        ----------
        page : str or Path
        width, height : int
            The window's size, in CSS pixels.
        scheme : {"light", "dark"}
            The colours that the reader prefers.
        media : {"screen", "print"}
        scripts : bool
            Whether scripts run.
        """
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        opened = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Network", "Log"):
            opened.send(f"{domain}.enable")
        opened.show(width=width, height=height, scheme=scheme, media=media)
        opened.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        opened.go(page)
        return opened

    def send(self, method: str, session: str | None = None, **parameters: object) -> dict:
        """Send one command of the protocol, and return what it returns."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._socket.send(json.dumps(message | ({"sessionId": session} if session else {})))
        while (answer := self.receive()).get("id") != self._number:
            continue
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def receive(self) -> dict:
        """Wait for the next message, and let the page that it is about know."""
        message = json.loads(self._socket.recv())
        if "method" in message and message.get("sessionId") in self._pages:
            self._pages[message["sessionId"]].note(message["method"], message["params"])
        return message


class Page:
    """One tab.

    Attributes
    ----------
    requests : list of str
        The address of everything that was asked for, the page itself first; what stands in the
        page (``data:``, ``blob:``) is left out.
    console : list of str
        What the page has said or complained of in the console.
    """

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self.requests: list[str] = []
        self.console: list[str] = []
        self._loaded = False

    def send(self, method: str, **parameters: object) -> dict:
        """Send one command of the protocol to this tab."""
        return self._browser.send(method, self._session, **parameters)

    def note(self, method: str, event: dict) -> None:
        """Keep what an event says."""
        match method:
            case "Network.requestWillBeSent":
                if not (url := event["request"]["url"]).startswith(("data:", "blob:")):
                    self.requests.append(url)
            case "Runtime.consoleAPICalled":
                said = (str(a.get("value", a.get("description"))) for a in event["args"])
                self.console.append(f"{event['type']}: {' '.join(said)}")
            case "Runtime.exceptionThrown":
                details = event["exceptionDetails"]
                said = details.get("exception", {}).get("description", details["text"])
                self.console.append(f"exception: {said}")
            case "Log.entryAdded":
                entry = event["entry"]
                self.console.append(f"{entry['level']}: {entry['text']} {entry.get('url', '')}")
            case "Page.loadEventFired":
                self._loaded = True

    def go(self, page: str | Path) -> None:
        """Open another page in this tab, and wait until it has loaded."""
        self._loaded = False
        address = page.resolve().as_uri() if isinstance(page, Path) else page
        answer = self.send("Page.navigate", url=address)
        if "errorText" in answer:
            raise RuntimeError(f"{address}: {answer['errorText']}")
        while not self._loaded:
            self._browser.receive()

    def close(self) -> None:
        """Close the tab."""
        self.send("Page.close")

    def show(self, *, width: int, height: int = 900, scheme: str, media: str = "screen") -> None:
        """Show the page in another size, scheme or medium."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        preferred = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", media=media, features=preferred)

    def evaluate(self, expression: str) -> object:
        """Return the value of a JavaScript expression; a promise is awaited."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 60) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({expression})"):
            if time.monotonic() > end:
                raise TimeoutError(f"not true after {seconds} s: {expression}")
            time.sleep(0.05)

    @property
    def text(self) -> str:
        """The text that the page shows."""
        return str(self.evaluate("document.body.innerText"))

    @property
    def foreign(self) -> list[str]:
        """The requests for what is not a file of this machine."""
        return [url for url in self.requests if not url.startswith("file:")]

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        return int(
            self.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
        )

    def centre(self, selector: str) -> tuple[float, float]:
        """Scroll to an element, and return where in the window its middle is."""
        x, y = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        return x, y

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of an element."""
        place = self.centre(selector)
        self.drag(place, place)

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 5) -> None:
        """Move the mouse from one place in the window to another with its button down."""
        self._mouse("mouseMoved", start)
        self._mouse("mousePressed", start, button="left", clickCount=1)
        if start != end:
            for i in range(1, steps + 1):
                place = tuple(a + (b - a) * i / steps for a, b in zip(start, end, strict=True))
                self._mouse("mouseMoved", place, button="left", buttons=1)
        self._mouse("mouseReleased", end, button="left", clickCount=1)

    def _mouse(self, kind: str, place: tuple[float, ...], **parameters: object) -> None:
        self.send("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], **parameters)

    def press(self, key: str, times: int = 1, *, shift: bool = False) -> None:
        """Press and release a key, by its name in `KEYS`."""
        code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                self.send(
                    "Input.dispatchKeyEvent",
                    type=kind,
                    modifiers=8 * shift,
                    **code,
                    **(text if kind == "keyDown" else {}),
                )

    def type(self, text: str) -> None:
        """Type text into what has the focus."""
        for character in text:
            self.send("Input.dispatchKeyEvent", type="char", text=character)

    def screenshot(self, path: Path | None = None, *, whole: bool = True) -> bytes:
        """Return a PNG of the page, of all its length or of what the window shows; keep it too."""
        shot = self.send(
            "Page.captureScreenshot",
            format="png",
            captureBeyondViewport=whole,
            **({"clip": self._whole()} if whole else {}),
        )
        picture = base64.b64decode(shot["data"])
        if path is not None:
            path.write_bytes(picture)
        return picture

    def _whole(self) -> dict:
        size = self.send("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
