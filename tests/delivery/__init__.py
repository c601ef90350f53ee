"""Proofs of what is promised about delivery: who gets which event, when a gap is allowed, what runs once."""
