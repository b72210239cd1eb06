"""The risk worker: counts what is published about sign-ins, and concludes. Read `rules.py` first."""
