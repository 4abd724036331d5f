"""The pytest side: which simulators and parameter sets run, and how a bench is started."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from jp_hw.errors import JpHwError
from jp_hw.resources import data_dir
from jp_hw.simulators import Job, icarus_version, sources_of

ROOT = Path(__file__).resolve().parent.parent
SEED = int(os.environ.get("JP_HW_SEED", "20"))
RTL = data_dir("templates") / "rtl"

Parameters = Mapping[str, int | str]


def icarus_runs() -> bool:
    """Whether Icarus is installed, or has to be (a test then fails with its absence)."""
    return icarus_version() is not None or os.environ.get("JP_HW_REQUIRE_ICARUS") == "1"


def simulators() -> list[str]:
    return ["icarus", "verilator"] if icarus_runs() else ["verilator"]


def on_simulators(sets: Mapping[str, Any], verilator: int = 1) -> pytest.MarkDecorator:
    """Parametrize (simulator, parameters) over named sets, the most telling ones first.

    Icarus runs all. Verilator compiles for seconds, so it runs the first `verilator` sets, and twice
    as many where there is no Icarus. Where coverage is measured, Verilator alone runs the first
    JP_HW_COVERAGE_SETS (all unless given).
    """
    icarus = icarus_runs() and "JP_HW_COVERAGE" not in os.environ
    first = list(sets.items())[: verilator if icarus else 2 * verilator]
    if "JP_HW_COVERAGE" in os.environ:
        first = list(sets.items())[: int(os.environ.get("JP_HW_COVERAGE_SETS", len(sets)))]
    chosen = [("icarus", name, values) for name, values in sets.items()] if icarus else []
    chosen += [("verilator", name, values) for name, values in first]
    return pytest.mark.parametrize(
        ("simulator", "parameters"),
        [pytest.param(sim, values, id=f"{sim}-{name}") for sim, name, values in chosen],
    )


def literal(value: int | str) -> int | str:
    """A parameter as the simulators' command lines take it."""
    return f'"{value}"' if isinstance(value, str) else value


def memory_text(words: Iterable[int], width: int) -> str:
    return "".join(f"{word:0{-(-width // 4)}x}\n" for word in words)


def run(
    top: str,
    parameters: Parameters,
    bench: str,
    folder: Path,
    simulator: str,
    *,
    files: Mapping[str, str] | None = None,
    data: object = None,
    rtl: Path = RTL,
    timeout: float = 300.0,
) -> None:
    """Simulate module `top` under rtl_tests/`bench`.py in `folder`; a failure shows log and seed.

    files: memory images and further sources (.sv), name -> text. data: anything in JSON for the bench,
    see streams.job(). The build is deleted when all is well.
    """
    sources = sources_of(rtl)
    for name, text in (files or {}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if path.suffix == ".sv":
            sources = [*sources, str(path)]
    job = folder / "bench.json"
    job.write_text(json.dumps({"parameters": dict(parameters), "seed": SEED, "data": data}))
    try:
        Job(
            simulator,
            tuple(sources),
            top,
            str(folder / "sim"),
            str(folder),
            f"rtl_tests.{bench}",
            {name: literal(value) for name, value in parameters.items()},
            {"JP_HW_BENCH": str(job)},
            (str(ROOT),),
            coverage=simulator == "verilator" and "JP_HW_COVERAGE" in os.environ,
        ).run(timeout)
    except JpHwError as error:
        log = folder / "sim" / "log.txt"
        tail = log.read_text(errors="replace")[-6000:] if log.is_file() else "(no log)"
        pytest.fail(f"{tail}\n{error}\nagain with: JP_HW_SEED={SEED}", pytrace=False)
    keep_coverage(folder)
    shutil.rmtree(folder / "sim" / "build")


def keep_coverage(folder: Path) -> None:
    """With JP_HW_COVERAGE=FOLDER, collect Verilator's coverage files there."""
    target = os.environ.get("JP_HW_COVERAGE")
    if target is None:
        return
    Path(target).mkdir(parents=True, exist_ok=True)
    for found in folder.rglob("coverage.dat"):
        shutil.copy(found, Path(target) / f"{folder.name}.dat")
