"""The log is for people who look; nobody who works waits for it or falls with it."""

import io
import sys
from collections.abc import Iterator

import pytest
import structlog

from worklore.commands.log import configure_log


@pytest.fixture
def as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("as_before")
def test_lines_go_where_standard_error_leads_now_and_nowhere_when_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    configure_log("warning")
    log = structlog.get_logger()
    log.warning("one")
    log.info("too quiet")
    monkeypatch.setattr(sys, "stderr", second)
    log.error("two", exc_info=ValueError("why"))
    assert "one" in first.getvalue()
    assert "too quiet" not in first.getvalue()
    assert "two" in second.getvalue()
    assert "why" in second.getvalue()
    second.close()
    log.error("three")
