"""A stand-in for the package `pynq` with a simulated board behind it; put this folder on PYTHONPATH."""
