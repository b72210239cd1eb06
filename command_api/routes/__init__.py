"""One file per noun: the HTTP shape of each command, and nothing else."""
