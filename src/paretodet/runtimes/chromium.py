"""A headless Chromium with one page: found on this machine, started, and ended with this process."""

import os
import shutil
import signal
import subprocess
import weakref
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from paretodet.extras import MissingExtra
from paretodet.writing import claim

PATH = "PARETODET_CHROMIUM"  # the environment variable with the path of the program
COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PROFILE = "paretodet-chromium-"  # name of a folder that Chromium writes to
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # there is none for root in a container; the page has no content of others
    "--disable-gpu",
    "--disable-dev-shm-usage",  # containers have a small /dev/shm
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",  # no work while it waits, and nothing over the network
    "--disable-breakpad",
    "--disable-component-extensions-with-background-pages",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-features=SpareRendererForSitePerProcess",  # a process for a next page, which never comes
    "--disable-sync",
    "--metrics-recording-only",
    "--password-store=basic",
    "--use-mock-keychain",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)
# Chromium ends when the pipe for its third descriptor is closed, as it is when this process is killed.
UNTIL_CLOSED = ("/bin/sh", "-c", 'exec "$@" 3<&0 4>/dev/null 0</dev/null', "sh")
LAST = 300  # characters of what Chromium prints that a message quotes


def program() -> str:
    """The path of Chromium or Chrome. Raises MissingExtra if there is none."""
    given = os.environ.get(PATH)
    candidates = (given,) if given else COMMANDS
    if found := next(filter(None, map(shutil.which, candidates)), None):
        return found
    where = f"{PATH}={given} is not a program" if given else f"none of {', '.join(COMMANDS)} is on the PATH"
    raise MissingExtra(f"runtime web needs Chromium or Chrome, {where}: install one, or set {PATH} to its path")


class Chromium:
    """A process with this page. `end` ends it and all that it started; so does the end of this object."""

    def __init__(self, address: str) -> None:
        profile = TemporaryDirectory(prefix=PROFILE, ignore_cleanup_errors=True)
        claim(Path(profile.name), f"{PROFILE}*")
        self._printed = Path(profile.name) / "stderr"
        is_posix = os.name == "posix"
        command = [program(), *FLAGS, f"--user-data-dir={profile.name}", address]
        if is_posix:
            command = [*UNTIL_CLOSED, *command[:-1], "--remote-debugging-pipe", address]
        with self._printed.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                process_group=0 if is_posix else None,
            )
        self.end = weakref.finalize(self, _end, self._process, profile)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def printed(self) -> str:
        """The end of its last line of errors; empty if there is none."""
        lines = self._printed.read_text("utf-8", "replace").splitlines()
        return next((line[-LAST:] for line in reversed(lines) if line.strip()), "")


def _end(process: "subprocess.Popen[bytes]", profile: "TemporaryDirectory[str]") -> None:
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
    profile.cleanup()
