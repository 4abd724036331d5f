"""Several processes that share each batch, through torch's distributed engine."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn

from jp_hw.errors import JpHwError

if TYPE_CHECKING:
    from jp_hw.train.state import RunState


@dataclass(frozen=True)
class Team:
    """This process's place among ``size`` that train one network together.

    All draw the same random numbers, so all see the same batches, of which each takes every
    size-th sample from its ``rank`` on; gradients are averaged by DistributedDataParallel.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The network whose backward pass averages gradients over the team."""
        if self.size == 1:
            return model
        return nn.parallel.DistributedDataParallel(model)  # on the device that the model is on

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch."""
        return batch if self.size == 1 else batch[self.rank :: self.size]

    def mean(self, value: float) -> float:
        """The team's mean of a number."""
        if self.size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(total)
        return float(total) / self.size

    def agree(self, state: "RunState") -> None:
        """Give all processes the same statistics: the leader's buffers, the mean input moments."""
        if self.size == 1:
            return
        for buffer in state.model.buffers():
            dist.broadcast(buffer, 0)
        for moments in state.moments.values():
            for value in (moments.square, moments.alive):
                dist.all_reduce(value)
                value.div_(self.size)


ALONE = Team()


def launch(processes: int, work: Callable[..., Any], *arguments: Any) -> None:
    """Run ``work(team, *arguments)`` in so many new processes, and wait for all.

    ``work`` and its arguments are pickled. Raise JpHwError with the first failure's own message.
    """
    import torch.multiprocessing

    multiprocessing: Any = torch.multiprocessing
    address = f"tcp://127.0.0.1:{_free_port()}"
    context = multiprocessing.get_context("spawn")
    failures = context.SimpleQueue()
    try:
        multiprocessing.spawn(
            _member, (processes, address, failures, work, arguments), nprocs=processes
        )
    except multiprocessing.ProcessRaisedException as error:
        reason = str(error).strip().splitlines()[-1] if failures.empty() else failures.get()
        raise JpHwError(reason) from error
    except multiprocessing.ProcessExitedException as error:
        raise JpHwError(f"a training process ended ({error}): run again to resume") from error


def _member(
    rank: int,
    size: int,
    address: str,
    failures: Any,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """One process of a team."""
    if torch.cuda.is_available():
        torch.cuda.set_device(rank % torch.cuda.device_count())
    engine = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(engine, init_method=address, rank=rank, world_size=size)
    try:
        work(Team(rank, size), *arguments)
    except JpHwError as error:
        failures.put(str(error))
        raise
    finally:
        dist.destroy_process_group()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Remote:
    """Progress that a team's leader tells to another process."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue

    def stage(self, name: str, epochs: int, done: int, steps: int) -> None:
        """As in run.Progress."""
        self._queue.put(("stage", (name, epochs, done, steps)))

    def step(self, loss: float) -> None:
        """As in run.Progress."""
        self._queue.put(("step", (loss,)))

    def epoch(self, row: dict[str, Any]) -> None:
        """As in run.Progress."""
        self._queue.put(("epoch", (row,)))


class Relay:
    """While open, what ``remote`` is told in another process reaches ``progress`` in this one."""

    def __init__(self, progress: Any) -> None:
        import torch.multiprocessing as multiprocessing

        self._progress = progress
        self._queue = multiprocessing.get_context("spawn").SimpleQueue()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.remote = Remote(self._queue)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take what is left, then stop."""
        self._queue.put(None)
        self._thread.join()

    def _listen(self) -> None:
        while (event := self._queue.get()) is not None:
            name, arguments = event
            getattr(self._progress, name)(*arguments)
