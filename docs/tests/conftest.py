"""The browser that reads the site and the demos."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Page, sync_playwright


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield chromium
        chromium.close()


def is_local(url: str) -> bool:
    return urlparse(url).scheme in ("file", "data", "blob")


def watched(page: Page) -> list[str]:
    """What the page complains of from now on: what it asks for outside or cannot have, and what its console says."""
    complaints: list[str] = []
    page.context.set_offline(True)
    page.on("request", lambda request: None if is_local(request.url) else complaints.append(f"asks for {request.url}"))
    page.on("requestfailed", lambda request: complaints.append(f"cannot have {request.url}"))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints
