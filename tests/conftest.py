"""What all tests share: hypothesis profiles, the real inputs, servers that may be absent, and a loud end summary.

A test that cannot run here says why. With CI=true the only thing that may be absent is the folder of real inputs:
every other skip becomes a failure.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.postgres", "tests.keycloak"]

CHECKOUT = Path(__file__).resolve().parent.parent
NO_SHARED_DATA = "the real inputs are absent"

settings.register_profile("developer", deadline=None, print_blob=True)
settings.register_profile(
    "ci", deadline=None, print_blob=True, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "developer")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Give the folder of real inputs (VOLTWEAVE_SHARED_DATA, else ../shared/data beside the checkout) or skip."""
    folder = Path(os.environ.get("VOLTWEAVE_SHARED_DATA") or CHECKOUT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"{NO_SHARED_DATA} (../shared/data beside the checkout, or VOLTWEAVE_SHARED_DATA)")
    return folder


@pytest.fixture(scope="module", autouse=True)
def logs_as_before() -> Iterator[None]:
    """Undo what a module did to the logs, for the modules that look into them."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `requires_server(name)` when no program of that name is on the path."""
    for mark in item.iter_markers("requires_server"):
        (name,) = mark.args
        if shutil.which(name) is None:
            pytest.skip(f"the server {name} is not installed (make servers)")


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    expected_failure = hasattr(report, "wasxfail")
    if os.environ.get("CI") == "true" and report.skipped and not expected_failure and NO_SHARED_DATA not in reason:
        report.outcome = "failed"
        report.longrepr = f"CI=true allows no skip but for absent real inputs: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failure where CI=true does not allow it."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn a module skipped at import into a failure where CI=true does not allow it."""
    report = yield
    _refuse_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what did not run and why, by reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    reasons: Counter[str] = Counter()
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason.removeprefix("Skipped: ")] += 1
    terminalreporter.section(f"{len(skipped)} TESTS DID NOT RUN", sep="!", red=True, bold=True)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count:5}  {reason}", red=True)
