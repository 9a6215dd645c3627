"""Count the modules imported at startup and measure its time: the best of several runs.

python .ci/imports.py      fail if a start imports more modules than its limit
python .ci/imports.py 15   the best of 15 runs, for publishable figures

Only module counts have a limit, because times depend on the machine. The count is relative to
Python or an empty Textual app, so that a new version of those does not cause a failure.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

RUNS = 3
HEADLESS = "textual.drivers.headless_driver:HeadlessDriver"
COUNT = "import os, sys; os.write(1, str(len(sys.modules)).encode()); os._exit(0)"


@dataclass(frozen=True, slots=True)
class Start:
    """A way to start: its code, and at most `most` modules more than the start named `baseline`."""

    name: str
    code: str
    baseline: str = ""
    most: int = 0


STARTS = (
    Start("python", COUNT),
    Start(
        "an empty Textual window",
        f"""
from textual.app import App
class Empty(App):
    def on_mount(self):
        self.call_after_refresh(exec, {COUNT!r})
Empty().run()
""",
    ),
    Start(
        "koel-chat --version",
        f"""
from koel_tui.cli import main
try:
    main(["--version"])
finally:
    {COUNT}
""",
        baseline="python",
        most=130,
    ),
    # The app connects its backend after the first paint.
    Start(
        "the window, to its first paint",
        f"""
from koel_tui.cli import chat, early_settings
def painted():
    {COUNT}
chat._run_window(painted, None, None, early_settings.StartSettings(), {{}})
""",
        baseline="an empty Textual window",
        most=270,
    ),
    # The missing model is detected after all imports.
    Start(
        "koel-chat ask",
        f"""
from koel_tui.cli import main
try:
    main(["ask", "--model", "/nowhere.gguf", "Hello"])
finally:
    {COUNT}
""",
        baseline="python",
        most=526,
    ),
)


def measure(code: str, runs: int) -> tuple[int, float]:
    """Return the number of modules loaded at the end of `code`, and the best time in ms."""
    best, modules = float("inf"), 0
    with tempfile.TemporaryDirectory() as home:
        places = {f"XDG_{name}_HOME": home for name in ("DATA", "CONFIG", "CACHE", "STATE")}
        environment = {**os.environ, **places, "HOME": home, "TEXTUAL_DRIVER": HEADLESS}
        for _ in range(runs):
            begin = time.perf_counter()
            done = subprocess.run(
                [sys.executable, "-c", code],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment,
                timeout=60, check=False,
            )  # fmt: skip
            best = min(best, 1000 * (time.perf_counter() - begin))
            last = done.stdout.split()[-1:]
            if not last or not last[0].isdigit():
                raise SystemExit(f"it ended before it was counted:\n{done.stdout}{done.stderr}")
            modules = int(last[0])
    return modules, best


def main() -> int:
    """Measure each start, print a table and return the exit code."""
    runs = int(sys.argv[1]) if sys.argv[1:] else RUNS
    found: dict[str, int] = {}
    too_many = []
    for start in STARTS:
        found[start.name], best = measure(start.code, runs)
        more = found[start.name] - found.get(start.baseline, 0)
        bound = f"{more} more than {start.baseline}, at most {start.most}" if start.baseline else ""
        print(f"{start.name:32} {found[start.name]:5} modules {best:6.0f} ms  {bound}".rstrip())
        if start.baseline and more > start.most:
            too_many.append(start.name)
    for name in too_many:
        print(f"TOO MANY: {name}. Import what it does not need where it is used.")
    return int(bool(too_many))


if __name__ == "__main__":
    sys.exit(main())
