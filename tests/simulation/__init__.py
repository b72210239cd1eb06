"""The real write side under a deterministic scheduler: see `schedule.py` for one run, `__main__.py` for many."""
