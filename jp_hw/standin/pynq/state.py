"""The one simulated board of this process."""

import os
from pathlib import Path

from .board import Board

_board = Board(Path(__file__).resolve().parent.parent)
# PYNQ's images set this variable
os.environ.setdefault("BOARD", _board.name)


def board() -> Board:
    """The board."""
    return _board
