"""Tests of the search for text files to attach: the results and their order."""

import os
import unicodedata
from pathlib import Path

import pytest

from koel_tui.ui.composer.file_search import (
    FoundFile,
    begins_with,
    fuzzy_filter,
    text_files,
)


class TestWalk:
    def test_text_files_are_listed_nearest_first(self, folder: Path) -> None:
        assert [file.path for file in text_files(Path())] == [
            "big.log", "notes.txt", "sub dir/my notes.md",
        ]  # fmt: skip

    def test_a_directory_walk_is_bounded_and_follows_no_link(self, folder: Path) -> None:
        Path("loop").symlink_to(folder, target_is_directory=True)
        os.mkfifo("pipe")
        assert len(text_files(Path())) == 3
        assert [file.path for file in text_files(Path(), limit=3)] == ["big.log"]
        assert text_files(Path("none")) == []

    def test_a_link_outside_the_directory_is_not_followed(self, folder: Path) -> None:
        (folder.parent / "secret.txt").write_text("secret")
        Path("out.txt").symlink_to("../secret.txt")
        Path("in.txt").symlink_to("notes.txt")
        assert "out.txt" not in [file.path for file in text_files(Path())]
        assert len(text_files(Path())) == 3

    def test_the_likeliest_file_comes_first(self) -> None:
        paths = ["lib/note/a", "my-notes", "sub/notes", "n-o-t-e", "other"]
        files = [FoundFile(path, path) for path in paths]
        assert fuzzy_filter(files, "NOTE", 9) == ["sub/notes", "my-notes", "lib/note/a", "n-o-t-e"]
        assert fuzzy_filter(files, "", 2) == paths[:2]
        assert fuzzy_filter(files, "(.*", 9) == []

    def test_report_14_a_path_that_begins_with_the_query_comes_before_one_that_contains_it(
        self,
    ) -> None:
        paths = ["my-note.py", "note/a", "lib/notes"]
        files = [FoundFile(path, path) for path in paths]
        assert fuzzy_filter(files, "note", 9) == ["lib/notes", "note/a", "my-note.py"]

    @pytest.mark.parametrize(
        ("path", "query", "begins"),
        [
            ("docs/readme.md", "read", True),
            ("docs/readme.md", "DOCS/re", True),
            ("docs/readme.md", "me.md", False),
            ("lib/docs/readme.md", "docs", False),
            ("database_classes.py", "dataclass", False),
            ("Café.txt", unicodedata.normalize("NFD", "café"), True),
            ("readme.md", "", False),
        ],
    )
    def test_report_14_a_path_or_name_begins_with_the_typed_text(
        self, path: str, query: str, begins: bool
    ) -> None:
        assert begins_with(path, query) is begins

    def test_report_11_a_file_is_found_in_any_unicode_form(self, tmp_path: Path) -> None:
        name = unicodedata.normalize("NFD", "Café 한국어.txt")
        (tmp_path / name).write_text("text")
        for query in ("café", "한국", unicodedata.normalize("NFD", "한국"), "\uff43afé"):
            assert fuzzy_filter(text_files(tmp_path), query, 9) == [name]

    def test_a_hostile_file_name_is_filtered_quickly(self) -> None:
        files = [FoundFile("a" * 250, "a" * 250)]
        assert fuzzy_filter(files, "a-" * 20, 9) == fuzzy_filter(files, "a" * 30 + "b", 9) == []
