"""Scheduling: which PE does what, in which memory words, and how many cycles that takes."""

from jp_hw.schedule.build import Placement
from jp_hw.schedule.design import Design, Field, Lane, LayerDesign, Memory, TokenFormat
from jp_hw.schedule.run import place, schedule

__all__ = [
    "Design",
    "Field",
    "Lane",
    "LayerDesign",
    "Memory",
    "Placement",
    "TokenFormat",
    "place",
    "schedule",
]
