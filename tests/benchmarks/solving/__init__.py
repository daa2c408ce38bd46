"""The parts of `solve.py`."""
