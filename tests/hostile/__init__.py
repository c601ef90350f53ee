"""Proofs that a server stays up whatever comes over its port, and gives back all that it took."""
