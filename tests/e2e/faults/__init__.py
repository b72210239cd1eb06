"""Proofs on real parts: what faults do to the platform, judged by histories."""
