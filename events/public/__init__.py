"""The public language: what other services read in `chancery.public`, mapped from facts by an allow-list."""
