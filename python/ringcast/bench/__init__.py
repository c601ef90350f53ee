"""Benchmarks that come with the package: `ringcast bench` asks them, and so do the programs in `benches/`."""
