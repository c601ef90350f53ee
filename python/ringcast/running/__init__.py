"""The actor side: one running actor, what it does and when, and the directory of all that run."""
