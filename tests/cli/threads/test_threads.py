"""The commands `koel-chat threads ...`."""

import asyncio
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from koel_tui import paths
from koel_tui.storage import JsonFileStorage
from tests.cli.commands import Threads, save
from tests.storage.interchange.databases import oterm
from tests.storage.interchange.test_chatgpt import SEA as SALTY
from tests.storage.interchange.test_chatgpt import conversation, node, write

EVIL = "\x1b]0;evil\x07\x9b31m\u202e"


def store() -> JsonFileStorage:
    return JsonFileStorage(paths.threads_dir())


def title(thread: str, text: str) -> None:
    asyncio.run(store().update_meta(thread, title=text))


# Search


def test_search_shows_hits_in_their_threads(threads: Threads) -> None:
    save("sea", f"Where is the harbour? {EVIL}", "Down the hill.")
    save("wood", "Which trees grow here?")
    title("sea", f"Walk {EVIL}")
    said = threads("search", "harb")
    assert said.code == 0
    assert "sea" in said.out and "Where is the harbour?" in said.out
    assert "wood" not in said.out
    (row,) = threads("search", "the", "HILL", "--json").rows
    assert (row["thread"], row["message"], row["role"]) == ("sea", "1", "assistant")
    assert row["snippet"] == "Down the hill." and row["spans"] == [[5, 8], [9, 13]]
    save("new", "another harbour")
    assert len(threads("search", "harbour", "--json").rows) == 2
    assert len(threads("search", "harbour", "--json", "--limit", "1").rows) == 1
    nothing = threads("search", "nothing of the kind")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "Nothing was found.\n")
    assert threads("search").code == 2


def test_report_19_windows_line_ends_are_shown_and_exported_without_a_mark(
    threads: Threads,
) -> None:
    save("sea", "a\r\nb\r\n", "c\r\n\r\n```\r\nd\r\n```\r\n")
    assert "You:\na\nb\n" in threads("show", "sea").out
    for form in ("markdown", "html"):
        exported = threads("export", "sea", "--format", form, "--output", "-").out
        assert "a\nb" in exported and "␍" not in exported and "\r" not in exported
    assert "␍" not in threads("search", "b").out + threads("list").out


def test_report_15_a_code_block_that_was_cut_does_not_contain_the_next_messages(
    threads: Threads,
) -> None:
    save("sea", "a", "Here:\n~~~python\nprint(1)", "b", "```\nclosed\n```", "c", "<b>x")
    shown = threads("show", "sea").out
    assert "print(1)\n~~~\n\nYou:\nb\n" in shown
    assert "Model:\n```\nclosed\n```\n\nYou:" in shown
    assert shown.endswith("Model:\n<b>x\n\n")
    document = threads("export", "sea", "--output", "-").out
    tokens = MarkdownIt("commonmark").parse(document)
    headings = [token for token in tokens if (token.type, token.tag) == ("heading_open", "h2")]
    assert len(headings) == 6 and document.endswith("<b>x\n\n</b>\n")


# Rename, delete, restore


def test_rename_sets_a_title_and_refuses_an_empty_one(threads: Threads) -> None:
    save("sea", "Where is the harbour?")
    assert threads("rename", "sea", "  The\n harbour ").code == 0
    assert threads("list", "--json").rows[0]["title"] == "The harbour"
    assert threads("rename", "The harbour", "Port").code == 0
    empty = threads("rename", "Port", " ")
    assert (empty.code, "title is empty" in empty.err) == (2, True)
    assert threads("rename", "nobody", "x").code == 2


def test_delete_moves_to_the_trash_and_restore_undoes_it(threads: Threads) -> None:
    save("sea", "Where is the harbour?")
    save("two words", "Tell me more.")
    deleted = threads("delete", "Where is the harbour?", "two words")
    assert deleted.code == 0
    assert "koel-chat threads restore sea" in deleted.out
    assert "koel-chat threads restore 'two words'" in deleted.out
    assert threads("list").out == ""
    trashed = threads("list", "--trash", "--json").rows
    assert {row["id"] for row in trashed} == {"sea", "two words"}
    assert threads("restore", "Where is the harbour?").code == 0
    assert "Where is the harbour?" in threads("show", "sea").out
    assert threads("restore", "sea").code == 2
    assert threads("restore", "two words").code == 0


def test_a_mistake_in_one_name_deletes_nothing(threads: Threads) -> None:
    save("sea", "Where is the harbour?")
    assert threads("delete", "sea", "nobody").code == 2
    assert len(threads("list").out.splitlines()) == 1


def test_strange_ids_can_be_deleted_and_restored(threads: Threads) -> None:
    odd = f"../{EVIL} x"
    save(odd, "hello")
    assert threads("delete", odd).code == 0
    assert threads("restore", odd).code == 0
    assert threads("list", "--json").rows[0]["id"] == odd


# Export and import


def test_export_and_import_again(threads: Threads, tmp_path: Path) -> None:
    save("sea", "Where is the harbour?", "Down the hill.")
    title("sea", "A/../walk")
    for form, name in (
        ("json", "A .. walk.json"),
        ("koel", "A .. walk.koel.json"),
        ("markdown", "A .. walk.md"),
        ("html", "A .. walk.html"),
    ):
        said = threads("export", "sea", "--format", form, "--output", str(tmp_path))
        assert (said.code, said.out) == (0, f"{tmp_path / name}\n"), said.err
        assert "Down the hill." in (tmp_path / name).read_text()
    asyncio.run(store().delete("sea"))
    assert threads("import", str(tmp_path / "A .. walk.json")).code == 0
    (row,) = threads("list", "--json").rows
    assert (row["id"], row["title"], row["messages"]) == ("sea", "A/../walk", 2)
    again = threads("import", str(tmp_path / "A .. walk.json"))
    assert "already saved" in again.out and len(threads("list").out.splitlines()) == 1
    koel_file = str(tmp_path / "A .. walk.koel.json")
    (same,) = threads("import", koel_file, "--json").rows
    assert (same["id"], same["new"], same["added"]) == ("sea", False, 0)
    asyncio.run(store().delete("sea"))
    (koel_thread,) = threads("import", koel_file, "--json").rows
    assert koel_thread["new"] is True and koel_thread["title"] == "Where is the harbour?"
    assert "Down the hill." in threads("show", str(koel_thread["id"])).out


def test_an_import_twice_adds_nothing_and_a_grown_file_extends(
    threads: Threads, tmp_path: Path
) -> None:
    first = node("a" * 36, None, "user", "Why?")
    path = write(
        tmp_path / "conversations.json",
        [conversation(first), {**SALTY, "conversation_id": "salty"}],
    )
    said = threads("import", str(path))
    assert said.err == "2 imported, 0 extended, 0 already saved, 0 not imported.\n"
    again = threads("import", str(path), str(path))
    assert again.err == "0 imported, 0 extended, 4 already saved, 0 not imported.\n"
    grown = conversation(first, node("b" * 36, "a" * 36, "assistant", "Rivers."))
    write(path, [grown, {**SALTY, "conversation_id": "salty"}])
    more = threads("import", str(path))
    assert "  Sea  (1 new message)\n" in more.out
    assert "1 extended, 1 already saved" in more.err
    assert "Rivers." in threads("show", "chatgpt-abc").out
    assert threads("import", str(path), "--json").rows[0]["added"] == 0
    assert len(threads("list").out.splitlines()) == 2


def test_export_to_stdout_and_to_a_file(threads: Threads, tmp_path: Path) -> None:
    save("sea", f"Where is it? {EVIL}", "There.")
    assert "## Model\n\nThere." in threads("export", "sea", "--output", "-").out
    path = tmp_path / "x.md"
    assert threads("export", "sea", "--output", str(path)).code == 0
    before = path.read_text()
    path.write_text("mine")
    refused = threads("export", "sea", "--output", str(path))
    assert refused.code == 2 and "--force" in refused.err and path.read_text() == "mine"
    assert threads("export", "sea", "--output", str(path), "--force").code == 0
    assert path.read_text() == before
    nowhere = threads("export", "sea", "--output", str(tmp_path / "no" / "x.md"))
    assert nowhere.code == 74 and str(tmp_path / "no") in nowhere.err


def test_an_export_without_a_path_is_written_to_the_working_directory(
    threads: Threads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("sea", "Where is the harbour?")
    monkeypatch.chdir(tmp_path)
    assert threads("export", "sea").out == "Where is the harbour.md\n"
    assert (tmp_path / "Where is the harbour.md").is_file()


def test_import_of_several_files_names_the_bad_ones(threads: Threads, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.json", oterm(tmp_path / "store.db")
    bad.write_text("{")
    said = threads("import", str(bad), str(good), str(tmp_path / "nowhere"))
    assert said.code == 66
    assert "bad.json cannot be imported" in said.err and "no such file" in said.err
    assert len(said.out.splitlines()) == 2
    assert {row["title"] for row in threads("list", "--json").rows} == {"Sea", "Hello"}
    wrong = threads("import", "--format", "llm", str(good))
    assert wrong.code == 66 and "not a database of llm" in wrong.err


def test_the_names_of_bad_files_do_nothing_to_the_terminal(
    threads: Threads, tmp_path: Path
) -> None:
    path = tmp_path / f"bad{EVIL}.json"
    path.write_text("{")
    assert "cannot be imported" in threads("import", str(path)).err
