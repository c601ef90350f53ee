"""What operators set, read and count: settings, logs and metrics."""
