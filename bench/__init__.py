"""Measurements, as ratios against a baseline of the same run. Never part of the tests."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "sdk"))
"""The SDK is a package of its own, which this environment does not install."""
