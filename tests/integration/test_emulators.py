"""The emulators leave nothing behind."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import emulators

_KILLED = """
import os, signal
from tests.emulators import pubsub_emulator
with pubsub_emulator() as emulator:
    print(emulator.port, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_emulator_ends_with_its_owner() -> None:
    """When the process that started an emulator is killed, the emulator's port is soon free again."""
    reason = emulators.missing()
    if reason is not None:
        pytest.skip(f"the Pub/Sub emulator cannot run here: {reason}")
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", _KILLED], cwd=root, capture_output=True, text=True, check=False)
    port = int(run.stdout)
    assert any(not _held_until_its_end(port) for _ in range(50))


def _held_until_its_end(port: int) -> bool:
    """Whether anybody listens; then it reads until the dying emulator, which greets first, closes the connection.

    Raises TimeoutError when it has not in 20 s.
    """
    with socket.socket() as client:
        client.settimeout(20)
        if client.connect_ex(("127.0.0.1", port)) != 0:
            return False
        with contextlib.suppress(ConnectionResetError):
            while client.recv(65_536):
                pass
        return True
