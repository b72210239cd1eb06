"""Tools over the whole log: they read it from its beginning and trust nothing else."""
