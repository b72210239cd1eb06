"""`chancery doctor`: looks at every part of an installation, and says of each what is wrong and what to do.

Each file holds the checks of one part; `checks.py` lists them all, `finding.py` runs them.
"""
