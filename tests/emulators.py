"""The emulators as the local run starts them, for tests."""

from __future__ import annotations

from shared.local.emulators import PROJECT, Emulator, firestore_emulator, missing, pubsub_emulator

__all__ = ["PROJECT", "Emulator", "firestore_emulator", "missing", "pubsub_emulator"]
