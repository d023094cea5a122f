"""A real MLflow server for the tests of this folder, started once on a free port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE = 180
"""Seconds for a server to answer; it makes its database first."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server with an empty registry; the test is skipped where its parts are missing."""
    for module in ("mlflow", "flask", "flask_cors", "sqlalchemy", "alembic", "waitress"):
        pytest.importorskip(module, reason=f"the MLflow server needs {module}; pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    # waitress alone takes few packages; the server's own default takes aiohttp and a job runner besides.
    command = [
        sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{folder}/registry.db", "--artifacts-destination", str(folder / "artifacts"),
        "--serve-artifacts", "--waitress-opts=--threads=4",
    ]  # fmt: skip
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    address = f"http://127.0.0.1:{port}"
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _await(address, running, folder / "log")
            yield address
        finally:
            os.killpg(running.pid, signal.SIGTERM)  # its own group: the command and the server it starts
            running.wait(30)


def _await(address: str, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and running.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"the MLflow server did not start: {log.read_text(errors='replace')[-2000:]}")
