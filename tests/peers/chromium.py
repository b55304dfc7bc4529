"""Debian's Chromium, headless, with made-up camera and microphone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

from tests.programs import need

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--use-fake-device-for-media-stream=fps=15",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    # A machine without any network interface still has a call to place.
    "--allow-loopback-in-peer-connection",
]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    program = need("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, headless=True, args=FLAGS, ignore_default_args=["--mute-audio"]
        )
        try:
            yield browser
        finally:
            await browser.close()
