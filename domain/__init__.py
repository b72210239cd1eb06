"""Decisions: decide(state, command) -> events and evolve(state, event) -> state; pure, total, synchronous."""
