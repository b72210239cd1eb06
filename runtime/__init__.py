"""Plumbing without domain words: settings, clock, logs, metrics, drivers, passwords, tokens, serving."""
