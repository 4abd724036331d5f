"""Exploration: which network, bit widths, PEs and clock give which accuracy, speed and size.

Optuna's NSGA-II (Deb et al., 2002) proposes, `schedule` and the cycle model judge. A study is a journal
file: several processes, on several machines that share the folder, may add trials to it at a time,
and a later call goes on where an earlier one ended.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jp_hw import datasets, golden, zoo
from jp_hw.boards import Board
from jp_hw.errors import JpHwError
from jp_hw.evaluate import network_of
from jp_hw.figures import new, save
from jp_hw.ir import Network
from jp_hw.ir_file import digest
from jp_hw.schedule import schedule
from jp_hw.schedule.cycles import simulate_cycles
from jp_hw.schedule.estimate import Resources, estimate

if TYPE_CHECKING:
    import optuna

JOURNAL, FRONT, PLOT = "study.journal", "front.json", "front.png"
STUDY = "explore"
MOST_PES = 512
BATCH = 250


@dataclass(frozen=True)
class Space:
    """What is searched: bit widths of weights and activations from `bits`, PEs, clocks in MHz."""

    models: tuple[str, ...]
    board: Board
    clocks: tuple[float, ...]
    bits: tuple[int, ...] = (4, 5, 6, 7, 8)
    images: int = 500
    cycle_images: int = 4
    seed: int = 0

    def settings(self, artifacts: Mapping[str, zoo.Artifact]) -> dict[str, Any]:
        """What trials of one study must have in common."""
        return {
            "models": {name: digest(network_of(a)) for name, a in artifacts.items()},
            "board": self.board.name,
            "clocks": list(self.clocks),
            "bits": list(self.bits),
            "images": self.images,
            "cycle_images": self.cycle_images,
        }


@dataclass(frozen=True)
class Point:
    """One design that was judged.

    accuracy: of the integer network on the test images; area: the largest share of the board's LUT,
    FF, DSP and BRAM; cycles: mean per image.
    """

    model: str
    weight_bits: int
    activation_bits: int
    pes: int
    clock_mhz: float
    accuracy: float
    cycles: float
    area: float
    resources: Resources

    @property
    def images_per_second(self) -> float:
        """Images per second at its clock."""
        return 1e6 * self.clock_mhz / self.cycles

    def to_json(self) -> dict[str, Any]:
        """Plain data under stable keys."""
        return {
            **{key: value for key, value in vars(self).items() if key != "resources"},
            "images_per_second": self.images_per_second,
            "resources": vars(self.resources),
        }


class Judge:
    """Builds and measures designs; accuracies, which need no board, are remembered."""

    def __init__(self, space: Space, data: Path | None) -> None:
        self._space = space
        self.artifacts = {name: zoo.load(name) for name in space.models}
        self._tests = {
            name: self._test(artifact, data) for name, artifact in self.artifacts.items()
        }
        self._networks: dict[tuple[str, int, int], tuple[Network, float]] = {}

    def _test(self, artifact: zoo.Artifact, data: Path | None) -> datasets.Split:
        whole = datasets.load(str(artifact.info["dataset"]["name"]), data).test
        test = datasets.centre(whole, artifact.input_shape[:2]).loaded()
        # every n-th image, as some test sets are sorted
        return test[slice(0, None, max(1, len(test) // self._space.images))][
            slice(0, self._space.images)
        ]

    def network(self, model: str, weight_bits: int, activation_bits: int) -> tuple[Network, float]:
        """The integer network, and its accuracy between 0 and 1."""
        key = (model, weight_bits, activation_bits)
        if key not in self._networks:
            network, test = network_of(self.artifacts[model], *key[1:]), self._tests[model]
            right = sum(
                int((golden.run(network, test.images[i : i + BATCH]).argmax(1) == labels).sum())
                for i in range(0, len(test), BATCH)
                for labels in [test.labels[i : i + BATCH]]
            )
            self._networks[key] = network, right / len(test)
        return self._networks[key]

    def point(
        self, model: str, weight_bits: int, activation_bits: int, pes: int, clock_mhz: float
    ) -> Point:
        """A design with at most `pes` PEs. Raises JpHwError where there can be none."""
        network, accuracy = self.network(model, weight_bits, activation_bits)
        board = self._space.board
        design = schedule(network, board, max(pes, len(network.layers)), clock_mhz)
        test = self._tests[model]
        cycles = simulate_cycles(design, test.images[: self._space.cycle_images]).cycles_per_image
        resources = estimate(design.layers)
        budget = board.budget
        area = max(getattr(resources, kind) / getattr(budget, kind) for kind in vars(resources))
        return Point(
            model, weight_bits, activation_bits, design.pes, clock_mhz, accuracy, cycles, area,
            resources,
        )  # fmt: skip


def explore(
    space: Space,
    folder: Path,
    trials: int,
    *,
    data: Path | None = None,
    tell: Callable[[int, Point | None], None] | None = None,
) -> list[Point]:
    """Add trials to the study in a folder until it has `trials`; returns its Pareto front.

    tell: called after every trial with the number of trials so far and its point (None: no design of
    that kind fits). Writes front.json and front.png. Raises JpHwError if the folder's study is of
    other models, boards or settings, or its journal is damaged.
    """
    import optuna

    judge = Judge(space, data)
    folder.mkdir(parents=True, exist_ok=True)
    study = _study(space, folder, space.settings(judge.artifacts))
    done = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.FAIL)
    while len(study.get_trials(deepcopy=False, states=done)) < trials:
        trial, point = study.ask(), None
        try:
            point = judge.point(**_propose(trial, space))
            trial.set_user_attr("point", point.to_json())
            study.tell(trial, [point.accuracy, point.images_per_second, point.area])
        except JpHwError as error:  # too large, or too few bits for its values
            trial.set_user_attr("reason", str(error))
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if tell is not None:
            tell(len(study.get_trials(deepcopy=False, states=done)), point)
    points = [_point(trial.user_attrs["point"]) for trial in _complete(study)]
    if not points:
        raise JpHwError(
            f"none of {trials} designs fits {space.board.name}; give more --trials, or a larger board"
        )
    front = pareto(points)
    write(folder, space, front, points)
    return front


def _study(space: Space, folder: Path, settings: Mapping[str, Any]) -> "optuna.Study":
    """The folder's study, made if there is none, if it has the same settings."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = folder / JOURNAL
    exists = path.exists()
    try:
        storage = JournalStorage(JournalFileBackend(str(path)))
        if exists:
            study = optuna.load_study(study_name=STUDY, storage=storage)
        else:
            study = optuna.create_study(
                study_name=STUDY,
                storage=storage,
                directions=["maximize", "maximize", "minimize"],
                load_if_exists=True,  # another process may have been faster
            )
        known = study.user_attrs.get("settings")
    except (ValueError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise JpHwError(f"{path} is no study of jp_hw: remove it, or give another --out") from error
    if known is None:
        study.set_user_attr("settings", dict(settings))
    elif known != settings:
        changed = ", ".join(sorted(key for key in settings if known.get(key) != settings[key]))
        raise JpHwError(
            f"{folder} holds a study with other {changed}: give the same ones, or another --out"
        )
    # another seed for every call, or the same proposals would come again
    study.sampler = optuna.samplers.NSGAIISampler(
        population_size=16, seed=space.seed + len(study.get_trials(deepcopy=False))
    )
    return study


def _propose(trial: "optuna.Trial", space: Space) -> dict[str, Any]:
    return {
        "model": trial.suggest_categorical("model", space.models),
        "weight_bits": trial.suggest_categorical("weight_bits", space.bits),
        "activation_bits": trial.suggest_categorical("activation_bits", space.bits),
        "pes": trial.suggest_int("pes", 1, MOST_PES, log=True),
        "clock_mhz": trial.suggest_categorical("clock_mhz", space.clocks),
    }


def _complete(study: "optuna.Study") -> list[Any]:
    import optuna

    return study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))


def _point(values: Mapping[str, Any]) -> Point:
    own = {key: value for key, value in values.items() if key != "images_per_second"}
    return Point(**{**own, "resources": Resources(**own["resources"])})


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no other one equals or beats in accuracy, speed and area; fastest first."""
    unique = list(dict.fromkeys(points))
    goals = np.array([(p.accuracy, p.images_per_second, -p.area) for p in unique]).reshape(-1, 3)
    front = [
        point
        for point, own in zip(unique, goals, strict=True)
        if not (np.all(goals >= own, axis=1) & np.any(goals > own, axis=1)).any()
    ]
    return sorted(front, key=lambda p: (-p.images_per_second, -p.accuracy, p.area))


def write(folder: Path, space: Space, front: Sequence[Point], points: Sequence[Point]) -> None:
    """Write front.json and front.png, each whole or not at all."""
    result = {
        "board": space.board.name,
        "images": space.images,
        "trials": len(points),
        "front": [point.to_json() for point in front],
    }
    temporary = folder / f".{FRONT}.tmp"
    temporary.write_text(json.dumps(result, indent=2) + "\n")
    temporary.replace(folder / FRONT)
    save(folder / PLOT, _figure(space, front, points))


def _figure(space: Space, front: Sequence[Point], points: Sequence[Point]) -> Any:
    """Accuracy against images per second, coloured by area; the front's points are ringed."""
    figure, axes = new()
    every = axes.scatter(
        [p.images_per_second for p in points],
        [100 * p.accuracy for p in points],
        c=[100 * p.area for p in points],
        cmap="viridis",
        s=24,
    )
    axes.scatter(
        [p.images_per_second for p in front],
        [100 * p.accuracy for p in front],
        s=70,
        facecolors="none",
        edgecolors="tab:red",
        label="Pareto front",
    )
    figure.colorbar(every, label=f"largest share of {space.board.name}, %")
    axes.set(xlabel="images per second", ylabel="accuracy, %", xscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
