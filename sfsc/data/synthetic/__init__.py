"""Synthetic landmarks, drawn and written in the formats of the real sets."""

from sfsc.data.synthetic.write import generate

__all__ = ["generate"]
