"""Readers of file formats, each by itself: what the files of a benchmark mean is told where the benchmark is."""
