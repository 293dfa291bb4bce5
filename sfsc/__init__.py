"""Switchable networks whose sub-models share one embedding space, beside their baselines."""

__version__ = "0.1.0"
