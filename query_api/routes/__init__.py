"""One file per noun: the HTTP shape of each question, and nothing else."""
