"""The `chancery` command: one file per group of sub-commands."""
