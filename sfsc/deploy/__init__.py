"""Trained sub-models at work: exported files, their latency, and search over image folders."""
