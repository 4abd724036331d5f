"""The architecture's import table: who may import whom, and what must stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "jp_hw"

# every unit, with all that it may import; units are modules or packages right below jp_hw
TABLE: dict[str, set[str]] = {
    "errors": set(),
    "resources": set(),
    "registers": set(),
    "dense": set(),
    "ir": {"errors"},
    "ir_file": {"errors", "ir"},
    "boards": {"errors", "resources"},
    "templates_env": {"resources"},
    "plan": {"errors"},
    "golden": {"dense", "errors", "ir"},
    "macs": {"dense", "golden", "ir"},
    "graph": {"ir"},
    "passes": {"errors", "graph", "ir"},
    "nn": {"errors"},
    "models": {"errors", "nn"},
    "datasets": {"errors"},
    "frontends": {"errors", "graph", "ir", "nn"},
    "quantize": {"dense", "errors", "frontends", "graph", "ir", "passes"},
    "zoo": {"datasets", "errors", "models", "nn"},
    "train": {"datasets", "errors", "models", "nn", "zoo"},
    "evaluate": {"datasets", "golden", "ir", "macs", "quantize", "zoo"},
    "schedule": {"boards", "dense", "errors", "golden", "ir", "macs"},
    "emit": {"errors", "ir", "ir_file", "registers", "resources", "schedule", "templates_env"},
    "build": {"boards", "emit", "errors", "golden", "ir", "ir_file", "plan", "registers", "schedule"},
    "simulators": {"errors", "plan"},
    "cocotb_job": set(),
    "testbench": set(),
    "csim": {"errors", "ir", "plan"},
    "simulate": {
        "build", "emit", "errors", "golden", "ir", "macs", "registers", "schedule", "simulators"
    },
    "synth": {"boards", "doctor", "emit", "errors", "plan"},
    "doctor": {"csim", "simulators"},
    "api": {
        "boards", "build", "csim", "errors", "golden", "ir", "plan", "quantize", "schedule", "simulate"
    },
    "cli": {
        "boards", "build", "csim", "datasets", "doctor", "errors", "evaluate", "golden",
        "ir", "ir_file", "schedule", "simulate", "synth",
        "train", "zoo",
    },
}  # fmt: skip


def unit_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Units of jp_hw that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("jp_hw.")
            }
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("jp_hw"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("unit", sorted(TABLE))
def test_imports_are_in_the_table(unit: str) -> None:
    files = [p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" or p.parent != PACKAGE]
    own = [path for path in files if unit_of(path) == unit]
    assert own, f"jp_hw has no unit {unit}"
    used = set().union(*(imports(path) for path in own)) - {unit}
    assert used <= TABLE[unit], f"{unit} may not import {sorted(used - TABLE[unit])}"


def test_every_unit_is_in_the_table() -> None:
    units = {unit_of(p) for p in PACKAGE.rglob("*.py")} - {"__init__"}
    assert units == set(TABLE)


def test_the_table_has_no_cycle() -> None:
    left = {unit: set(needs) for unit, needs in TABLE.items()}
    while left:
        ready = {unit for unit, needs in left.items() if not needs & set(left)}
        assert ready, f"import cycle among {sorted(left)}"
        left = {unit: needs for unit, needs in left.items() if unit not in ready}


@pytest.mark.parametrize(
    "module", ["jp_hw", "jp_hw.cli", "jp_hw.api", "jp_hw.zoo", "jp_hw.simulate"]
)
def test_import_is_light(module: str) -> None:
    heavy = "{'torch', 'hls4ml', 'matplotlib', 'numba', 'cocotb'}"
    code = f"import sys, {module}; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
