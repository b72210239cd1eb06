"""Tests of Chancery; see CONTRIBUTING.md for what lies where."""
