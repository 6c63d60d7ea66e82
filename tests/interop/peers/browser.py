"""Debian's Chromium without a window, driven by its own driver through selenium."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from tests.interop.peers.available import missing, program
from tests.interop.peers.lifeline import lifeline
from tests.interop.peers.process import scratch_directory

#: Seconds to wait for a page to show something.
PATIENCE = 20.0


@contextmanager
def chromium(*arguments: str, width: int = 1280, height: int = 800) -> Iterator[Any]:
    """Start a browser that resolves every name ending in .test to this host.

    Args:
        *arguments: More for its command line.
        width, height: Of its window, in CSS pixels.
    """
    binary, driver = program("chromium"), program("chromedriver", "chromium-driver")
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        missing("selenium, of the extra txsmtpconn[test]")
    with scratch_directory("chromium") as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for argument in (
            "--headless=new",
            "--no-sandbox",  # tests may run as root
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--no-proxy-server",
            "--disable-background-networking",
            "--hide-scrollbars",
            "--lang=en-GB",
            "--host-resolver-rules=MAP *.test 127.0.0.1",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            *arguments,
        ):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = Service(driver, popen_kw={"start_new_session": True})
        browser = webdriver.Chrome(options=options, service=service)
        # Whatever dies with the tests before their end takes the browser along.
        lifeline.tie(service.process.pid)
        try:
            browser.set_page_load_timeout(30)
            browser.set_script_timeout(30)
            yield browser
        finally:
            browser.quit()
            lifeline.untie(service.process.pid)


def wait(browser: Any, done: Callable[[Any], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until a function of the browser returns something true; return that."""
    from selenium.common.exceptions import (
        NoSuchElementException,
        StaleElementReferenceException,
        TimeoutException,
    )
    from selenium.webdriver.support.ui import WebDriverWait

    ignored = (NoSuchElementException, StaleElementReferenceException)
    waiting = WebDriverWait(browser, seconds, poll_frequency=0.05, ignored_exceptions=ignored)
    try:
        return waiting.until(done)
    except TimeoutException:
        raise AssertionError(f"not within {seconds:.0f} s: {what}") from None


def find(browser: Any, selector: str) -> Any:
    """Return the first element that a CSS selector finds, waiting for it."""
    return wait(browser, lambda it: it.find_element("css selector", selector), selector)


def texts(browser: Any, selector: str) -> list[str]:
    """Return the text of each element that a CSS selector finds."""
    return [each.text for each in browser.find_elements("css selector", selector)]


def press(browser: Any, *keys: str) -> None:
    """Press keys, wherever the focus is."""
    from selenium.webdriver.common.action_chains import ActionChains

    actions = ActionChains(browser)
    for key in keys:
        actions.send_keys(key)
    actions.perform()


def complaints(browser: Any) -> Sequence[str]:
    """Return what the browser's console has been told since the last call."""
    return [entry["message"] for entry in browser.get_log("browser")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for the tests of a module."""
    with chromium() as started:
        yield started
