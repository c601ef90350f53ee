"""What makes an actor durable: its journal, its stream, and both restored."""
