"""The emulators leave nothing behind."""

from __future__ import annotations

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
    with socket.socket() as client:
        client.settimeout(20)
        if client.connect_ex(("127.0.0.1", int(run.stdout))) == 0:
            assert client.recv(1_000_000) is not None  # blocks until the dying emulator closes the connection
    with socket.socket() as again:
        assert again.connect_ex(("127.0.0.1", int(run.stdout))) != 0
