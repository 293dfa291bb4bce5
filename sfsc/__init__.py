"""SFSC suite: switchable networks whose sub-models share one embedding space, and their baselines."""

__version__ = "0.1.0"
