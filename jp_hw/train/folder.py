"""The folder of a training run: whose it is, and what is in it before the first epoch."""

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jp_hw.errors import JpHwError
from jp_hw.train import checkpoint
from jp_hw.train.config import DENSE_FIELDS, TAUGHT_FIELDS, TrainConfig, validated

CONFIG = "config.json"


def claim(folder: Path, config: TrainConfig) -> None:
    """Refuse a folder that holds another run or something else."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise JpHwError(f"{folder} is a file: give a new folder with --out")
    if not (folder / CONFIG).is_file():
        if any(folder.iterdir()):
            raise JpHwError(f"{folder} holds files that are no training run: give a new folder")
        return
    theirs, mine = _config(folder), plain(config)
    if theirs != mine:
        keys = sorted(key for key in mine if theirs.get(key) != mine[key])
        raise JpHwError(
            f"{folder} holds a run with another {', '.join(keys) or 'config'}: give a new folder, "
            "or the same options to resume"
        )


def open_run(
    folder: Path,
    config: TrainConfig,
    command: str,
    base: str | Path | None,
    files: Mapping[str, bytes] | None = None,
) -> None:
    """Create the run folder with its config and command line, and the dense stage of ``base``.

    files: weights that the run needs, by name.
    """
    fresh = not (folder / "checkpoint" / checkpoint.LATEST).is_file()
    if base is not None and fresh:
        _check_base(Path(base), config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.write_text(folder / "command.txt", (command or " ".join(sys.argv)) + "\n")
        checkpoint.write_text(folder / CONFIG, config.model_dump_json(indent=1) + "\n")
        for name, content in (files or {}).items():
            (folder / name).write_bytes(content)
        if base is not None and fresh:
            shutil.copytree(Path(base) / "dense", folder / "dense", dirs_exist_ok=True)
            part = folder / ".checkpoint.part"
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(folder / "dense", part)
            shutil.rmtree(folder / "checkpoint", ignore_errors=True)
            part.replace(folder / "checkpoint")
    except (OSError, shutil.Error) as error:
        raise JpHwError(f"run folder {folder} cannot be written ({error})") from error


def plain(config: TrainConfig) -> dict[str, Any]:
    """A config as it reads back from JSON."""
    values: dict[str, Any] = json.loads(config.model_dump_json())
    return values


def _check_base(base: Path, config: TrainConfig) -> None:
    """The other run must have a dense stage, and the same settings for it."""
    theirs, mine = plain(dense_config(base)), plain(config)
    fields = (*DENSE_FIELDS, *TAUGHT_FIELDS) if config.teacher else DENSE_FIELDS
    keys = [key for key in fields if theirs.get(key) != mine[key]]
    if keys:
        raise JpHwError(
            f"the dense network in {base} was trained with another {', '.join(keys)}: "
            "give the same options"
        )


def dense_config(run: Path) -> TrainConfig:
    """The config of a run whose dense stage is finished; raise JpHwError where there is none."""
    if not (run / CONFIG).is_file():
        raise JpHwError(f"{run} is no training run: give the folder of one")
    if not (run / "dense" / checkpoint.LATEST).is_file():
        raise JpHwError(f"the dense stage in {run} is not finished: run its command again")
    return validated(_config(run))


def _config(folder: Path) -> dict[str, Any]:
    """The config of a run, with defaults for options that are younger than it."""
    written = folder / CONFIG
    try:
        theirs = json.loads(written.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JpHwError(f"{written} cannot be read ({error}): give a new folder") from error
    if not isinstance(theirs, dict):
        raise JpHwError(f"{written} holds no config: give a new folder")
    return plain(validated(theirs))
