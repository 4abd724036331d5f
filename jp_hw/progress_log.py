"""Follows a log that another program writes, and tells which step it has reached."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

MARK = "JP_STEP "


class Steps:
    """While it is entered, calls `tell` with every step that appears in the log (lines JP_STEP NAME)."""

    def __init__(self, log: Path, tell: Callable[[str], None], every: float = 0.2) -> None:
        self._log, self._tell, self._every = log, tell, every
        self._stop = threading.Event()
        self._seen = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Steps":
        self._log.unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self._look()

    def _look(self) -> None:
        if not self._log.is_file():
            return
        lines = self._log.read_text(errors="replace").split("\n")[:-1]
        steps = [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]
        for step in steps[self._seen :]:
            self._tell(step)
        self._seen = len(steps)
