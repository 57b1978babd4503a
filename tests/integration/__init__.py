"""Tests against the real emulators; skipped by name where they cannot run."""
