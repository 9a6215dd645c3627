"""GGUF files that are not chat models: they are refused with the reason, and not offered."""

from pathlib import Path

import pytest

from koel_tui import paths
from koel_tui.models import ModelFileError, NoModelError, check_gguf, choose_model
from koel_tui.models.discovery import Source, find_models
from koel_tui.models.downloaded import partial_path
from koel_tui.models.gguf import quick_reason
from tests.models.gguf_file import write_gguf
from tests.models.ollama_store import described_gguf, vocabulary_gguf

KINDS = {
    "lora": (described_gguf(general__architecture="llama", general__type="adapter"), "adapter"),
    "old-lora": (described_gguf(general__architecture="llama", adapter__type="lora"), "adapter"),
    "projector": (described_gguf(general__architecture="clip"), "projector"),
    "imatrix": (described_gguf(general__type="imatrix"), "importance matrix"),
    "control": (described_gguf(general__architecture="controlvector"), "control vector"),
    "embedding": (described_gguf(general__architecture="nomic-bert-moe"), "embedding model"),
    "pooling": (
        described_gguf(general__architecture="qwen3", qwen3__pooling_type=3), "embedding model",
    ),
    "images": (described_gguf(general__architecture="flux"), "makes images"),
    "draft": (described_gguf(general__architecture="gemma4-assistant"), "write faster"),
    "diffusion": (described_gguf(general__architecture="llada-moe"), "diffusion"),
    "speech": (described_gguf(general__architecture="wavtokenizer-dec"), "makes sound"),
    "vocabulary": (vocabulary_gguf(), "no weights"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_report_36_a_file_of_another_kind_is_refused_and_not_offered(
    private_home: Path, kind: str
) -> None:
    content, reason = KINDS[kind]
    path = private_home / "models" / f"{kind}.gguf"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=reason):
        check_gguf(path)
    assert reason in quick_reason(path)
    assert [model.path for model in find_models() if model.source is Source.HOME] == []


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt-oss", "never-heard-of", ""])
def test_report_36_a_model_of_any_other_architecture_is_offered(
    private_home: Path, architecture: str
) -> None:
    path = private_home / "models" / "m.gguf"
    path.parent.mkdir()
    path.write_bytes(described_gguf(general__architecture=architecture, m__pooling_type=0))
    check_gguf(path)
    assert [model.path for model in find_models() if model.source is Source.HOME] == [path]


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (b"MZqFpD='\n", "a llamafile"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"<HTML>", "a web page"),
        (b"lmgg\x01\0\0\0", "a GGML file"),
        (b"tjgg\x03\0\0\0", "a GGML file"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b'\x08\x01\0\0\0\0\0\0{"__metadata__"', "a safetensors file"),
        (b"{}", "JSON"),
    ],
)
def test_report_36_a_file_of_another_format_is_named(
    tmp_path: Path, start: bytes, reason: str
) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(start + bytes(100))
    with pytest.raises(ModelFileError, match=f"it is not a GGUF file, but .*{reason}"):
        check_gguf(path)


def test_report_36_a_file_for_big_endian_computers_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF\0\0\0\x03" + bytes(100))
    with pytest.raises(ModelFileError, match="big-endian"):
        check_gguf(path)


def test_report_36_a_missing_part_is_named_and_any_part_names_the_model(tmp_path: Path) -> None:
    first, second, third = (
        write_gguf(tmp_path / f"big-0000{number}-of-00003.gguf") for number in (1, 2, 3)
    )
    assert choose_model(third) == first
    second.unlink()
    with pytest.raises(ModelFileError, match=r"1 of its 3 parts is missing \(big-00002-of-00003"):
        choose_model(first)
    third.unlink()
    with pytest.raises(ModelFileError, match="2 of its 3 parts are missing"):
        choose_model(first)


@pytest.mark.parametrize(
    "unfinished",
    [
        "m.gguf.part",
        "m.gguf.incomplete",
        "m.gguf.downloadInProgress",
        "downloading_m.gguf.part",
        "Unconfirmed 5.crdownload",
        ".m.gguf.0123456789ab.part",
    ],
)
def test_report_36_an_unfinished_download_is_not_offered(
    private_home: Path, unfinished: str
) -> None:
    write_gguf(private_home / "models" / unfinished)
    write_gguf(paths.models_dir() / unfinished)
    assert [model for model in find_models() if model.source is not Source.STARTER] == []


@pytest.mark.parametrize("ending", [".aria2", ".st"])
def test_report_36_a_file_that_a_program_is_still_downloading_is_not_offered(
    private_home: Path, ending: str
) -> None:
    path = write_gguf(private_home / "models" / "m.gguf")
    control = path.with_name(path.name + ending)
    control.touch()
    assert [model.path for model in find_models() if model.source is Source.HOME] == []
    control.unlink()
    assert [model.path for model in find_models() if model.source is Source.HOME] == [path]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (("big-00001-of-00003.gguf",), r"2 of its 3 parts are missing \(big-00002-of-00003"),
        (("big-00002-of-00002.gguf",), r"1 of its 2 parts is missing \(big-00001-of-00002"),
        (("big.gguf.part",), r"big\.gguf\.part is a download that has not ended"),
        (("Big.gguf.downloadInProgress",), "is a download that has not ended"),
        (("downloading_big.gguf.part",), "is a download that has not ended"),
        (("big.gguf", "big.gguf.aria2"), "is a download that has not ended"),
    ],
    ids=["two-parts", "first-part", "part", "llama.cpp", "lm-studio", "aria2"],
)
def test_report_36_the_name_of_an_incomplete_model_gets_the_reason(
    private_home: Path, tmp_path: Path, files: tuple[str, ...], reason: str
) -> None:
    for folder in (private_home / ".lmstudio" / "models" / "who", tmp_path / "disk"):
        for file in files:
            write_gguf(folder / file)
        with pytest.raises(NoModelError, match=rf"(?i)big is not complete: .*{reason}"):
            choose_model(Path("big"), (tmp_path / "disk",))
        for file in files:
            (folder / file).unlink()
    with pytest.raises(NoModelError, match="No file or model is called 'big'"):
        choose_model(Path("big"), (tmp_path / "disk",))


def test_report_36_the_name_of_an_unfinished_download_gets_the_command() -> None:
    write_gguf(partial_path(paths.models_dir() / "o" / "r" / "Big.gguf", "a" * 64))
    with pytest.raises(NoModelError, match=r"Big is not complete.*`koel-chat models pull`"):
        choose_model(Path("big.gguf"))
