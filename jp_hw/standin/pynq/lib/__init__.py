"""Drivers of blocks."""
