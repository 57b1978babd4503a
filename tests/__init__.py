"""Tests, which import each other as ``tests.x``."""
