"""The language: every fact Chancery knows how to state, how it is written down, and what in it is personal."""
