"""Lazy imports: the process of the window imports each module only when it is needed."""

import subprocess
import sys


def imported(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_nothing_the_window_imports_loads_llama_cpp() -> None:
    rooms = ["cli.wiring", "ui.app.app", "session", "agents", "engine", "models", "storage"]
    assert "llama_cpp" not in imported("; ".join(f"import koel_tui.{room}" for room in rooms))


def test_the_entry_point_imports_no_package_before_it_knows_the_command() -> None:
    modules = imported("import koel_tui.cli")
    assert not modules & {"textual", "pydantic", "ag_ui.core", "koel_tui.engine", "jinja2"}


def test_the_window_paints_before_the_heavy_packages_are_imported() -> None:
    modules = imported("import koel_tui.ui.app.app")
    assert not modules & {"pydantic", "ag_ui.core", "koel_tui.storage", "koel_tui.session"}
    assert not modules & {"koel_tui.ui.library.library_panel", "koel_tui.ui.widgets.picker"}
