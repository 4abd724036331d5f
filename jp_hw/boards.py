"""Boards are data: one TOML file each, no behaviour, no branch on a board's name."""

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jp_hw.errors import JpHwError
from jp_hw.resources import data_dir

KINDS = ("lut", "ff", "dsp", "bram18")
"""What a board's budget limits."""


class Budget(BaseModel):
    """Resources of the whole device."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    lut: int = Field(gt=0)
    ff: int = Field(gt=0)
    dsp: int = Field(gt=0)
    bram18: int = Field(gt=0, description="block RAMs of 18 kbit")

    @property
    def usable(self) -> "Budget":
        """What a schedule may fill: nine tenths of the logic and 31 of 32 block RAMs.

        The rest is for what surrounds the accelerator (DMA engine, interconnect) and for the router.
        """
        return Budget(
            lut=max(1, self.lut * 9 // 10),
            ff=max(1, self.ff * 9 // 10),
            dsp=self.dsp,
            bram18=max(1, self.bram18 * 31 // 32),
        )


class Processor(BaseModel):
    """The processor system next to the logic, and which of its ports the accelerator uses."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: Literal["ps7", "psu"] = Field(description="Zynq-7000, or Zynq UltraScale+")
    reference_mhz: float = Field(gt=0, le=1000, description="the board's oscillator")
    control_port: str = Field(pattern=r"^M_AXI_[A-Z0-9_]+$", description="masters the registers")
    memory_port: str = Field(pattern=r"^S_AXI_[A-Z0-9_]+$", description="the DMA's way to DDR")


class Vivado(BaseModel):
    """What only Vivado needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    board_part: str = Field(
        pattern=r"^([A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+:part0)?$",
        description="vendor:board:part0 without a version; empty where there is none",
    )
    constraints: tuple[str, ...] = Field(description="lines of XDC")


class Pynq(BaseModel):
    """What PYNQ's images know of the board."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    names: tuple[str, ...] = Field(description="what its variable BOARD can be")


class Board(BaseModel):
    """A board as its TOML file describes it; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str
    part: str = Field(pattern=r"^[A-Za-z0-9-]+$")
    family: Literal["xc7", "xcup"]
    clock_mhz: float = Field(gt=0, le=1000)
    budget: Budget
    processor: Processor
    vivado: Vivado
    pynq: Pynq


def load(name_or_path: str) -> Board:
    """The board of that name, or of a TOML file's path; JpHwError if there is none or it is wrong."""
    known = {path.stem: path for path in _files()}
    path = known.get(name_or_path)
    if path is None and name_or_path.endswith(".toml"):
        path = Path(name_or_path)
    if path is None:
        raise JpHwError(
            f"unknown board {name_or_path}; choose one of {', '.join(sorted(known))}, "
            "or give the path of a board file (.toml)"
        )
    return _read(path)


def available() -> list[Board]:
    """All boards that come with jp_hw, by name."""
    return [_read(path) for path in sorted(_files())]


def _files() -> list[Path]:
    return list(data_dir("boards").glob("*.toml"))


def _read(path: Path) -> Board:
    try:
        return Board.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise JpHwError(f"cannot read board file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise JpHwError(f"board file {path} is no valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise JpHwError(f"board file {path}: key {place}: {first['msg']}") from error
