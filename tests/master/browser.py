"""A headless Chromium, driven over WebDriver (W3C) through chromedriver, with nothing but HTTP."""

import base64
import contextlib
import http.client
import json
import socket
import subprocess
import tempfile

WAIT_S = 60.0
# No sandbox: tests run as root in containers. The rest keeps it from talking to the Internet
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
)


class Browser:
    """One session. Raises AssertionError with WebDriver's words when it says no."""

    def __init__(self):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self._folder = tempfile.TemporaryDirectory()
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={self.port}", "--allowed-ips=127.0.0.1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for line in self._driver.stdout:
            if b"was started successfully" in line:
                break
        options = {"args": [*FLAGS, f"--user-data-dir={self._folder.name}"]}
        wanted = {
            "alwaysMatch": {
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
            }
        }
        self._session = ""
        said = self._ask("POST", "/session", {"capabilities": wanted})
        self._session = f"/session/{said['sessionId']}"

    def _ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        connection.request(
            method, self._session + path, None if body is None else json.dumps(body)
        )
        response = connection.getresponse()
        value = json.loads(response.read())["value"]
        connection.close()
        assert response.status == 200, value
        return value

    def open(self, url):
        self._ask("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        """Run a function's body in the page and return what it returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def until(self, condition):
        """Return once an expression in the page is true."""
        script = f"""
            const done = arguments[0];
            const look = () => ({condition}) ? done(true) : requestAnimationFrame(look);
            look();
        """
        return self._ask("POST", "/execute/async", {"script": script, "args": []})

    def cdp(self, command, **parameters):
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def look_like(self, *, wide=1200, high=900, dark=False):
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=wide, height=high, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, *keys):
        """Press keys one after the other, whatever has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._ask(
            "POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": actions}]}
        )

    def picture(self):
        """Return a PNG of the whole page."""
        said = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(said["data"])

    def complaints(self):
        """Return what the console was told: errors, refused resources."""
        return [line["message"] for line in self._ask("POST", "/se/log", {"type": "browser"})]

    def close(self):
        with contextlib.suppress(AssertionError, OSError):
            self._ask("DELETE", "")
        self._driver.terminate()
        self._driver.wait(WAIT_S)
        self._driver.stdout.close()
        self._folder.cleanup()


TAB = "\ue004"
ENTER = "\ue007"
