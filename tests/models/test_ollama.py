"""Models of Ollama: unsupported layers, and weights in a format that only Ollama reads."""

import json
from pathlib import Path

import pytest

from koel_tui.cli.main import run
from koel_tui.models import ModelFileError, NoModelError, choose_model, gguf_header
from koel_tui.models.discovery import FoundModel, Source, find_models
from koel_tui.models.gguf_header import GgufHeader
from koel_tui.models.naming import named_model
from koel_tui.models.ollama import (
    describe_unused_adapters,
    describe_unused_layers,
    explain_failure,
    models_of_blob,
)
from koel_tui.models.probe import probe_model
from koel_tui.models.verified_models import VerifiedModels
from tests.cli.commands import koel
from tests.engine.tiny_models import write_sliding_model
from tests.models.ollama_store import described_gguf, put_layer, put_model

LLAMA = described_gguf(general__architecture="llama")
ADAPTER = described_gguf(general__architecture="llama", general__type="adapter")
TEMPLATE = b"{{ .Prompt }}"
VISION = described_gguf(general__architecture="gemma3", gemma3__vision__block_count=27)


@pytest.fixture
def store(private_home: Path) -> Path:
    return private_home / ".ollama" / "models"


def found() -> dict[str, FoundModel]:
    return {model.name: model for model in find_models() if model.source is Source.OLLAMA}


def test_report_36_the_list_names_the_layers_that_only_ollama_uses(
    store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_model(store, "plain", model=LLAMA, license=b"MIT")
    put_model(store, "tuned", model=LLAMA, adapter=ADAPTER, template=TEMPLATE)
    put_model(store, "vision", model=VISION, template=TEMPLATE)
    assert run(["models", "list"]) == 0
    lines = {
        line.split()[3]: line for line in capsys.readouterr().out.splitlines() if "Ollama" in line
    }
    assert lines["plain:latest"].endswith("plain:latest")
    assert lines["tuned:latest"].endswith("(Ollama's template and adapter are not used)")
    assert "made for Ollama" in lines["vision:latest"]
    assert run(["models", "list", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    notes = {row["name"]: row["note"] for row in rows}
    assert notes["tuned:latest"] == "Ollama's template and adapter are not used"


def test_report_36_tags_of_the_same_weights_are_one_model_with_each_name(store: Path) -> None:
    blob = put_model(store, "llama3.2:3b", model=LLAMA, template=TEMPLATE)
    put_model(store, "llama3.2:latest", model=LLAMA, template=b"other")
    put_model(store, "mine:latest", model=LLAMA, adapter=ADAPTER)
    models = find_models()
    assert {model.names: model.adapters for model in found().values()} == {
        ("llama3.2:3b", "llama3.2:latest"): (),
        ("mine:latest",): (put_layer(store, ADAPTER)[1],),
    }
    for name in ("llama3.2:latest", "LLAMA3.2:3B", "mine"):
        assert named_model(models, name).path == blob
        assert choose_model(Path(name)) == blob


@pytest.mark.parametrize(
    "layers",
    [
        {"adapter": ADAPTER},
        {"projector": described_gguf(general__architecture="clip")},
        {"model": ADAPTER},
        {"model": described_gguf(general__architecture="clip")},
        {"model": described_gguf(general__architecture="nomic-bert")},
        {"model": b"safetensors"},
        {},
    ],
    ids=["adapter", "projector", "adapter-model", "clip-model", "bert", "no-gguf", "empty"],
)
def test_report_36_a_model_that_does_not_generate_text_is_not_offered(
    store: Path, layers: dict[str, bytes]
) -> None:
    put_model(store, "odd", **layers)
    assert found() == {}


def test_report_36_missing_weights_are_named_with_the_way_to_get_them(store: Path) -> None:
    blob = put_model(store, "gone:1b", model=LLAMA)
    put_model(store, "here", model=described_gguf(general__architecture="llama", n=1))
    blob.unlink()
    assert set(found()) == {"here:latest"}
    with pytest.raises(NoModelError, match=rf"{blob.name} is missing.*`ollama pull gone:1b`"):
        choose_model(Path("gone:1b"))
    with pytest.raises(NoModelError, match="No file or model is called 'other'"):
        choose_model(Path("other"))


def test_report_36_a_chosen_file_that_ollama_has_removed_is_reported_as_that(store: Path) -> None:
    blob = put_model(store, "gone", model=LLAMA)
    blob.unlink()
    with pytest.raises(ModelFileError, match=r"the file is gone: Ollama has removed this model"):
        choose_model(blob)


def test_report_36_a_partial_download_of_ollama_is_not_offered(store: Path) -> None:
    blob = put_model(store, "half", model=LLAMA)
    blob.rename(f"{blob}-partial")
    assert found() == {}


def test_report_36_the_sentences_name_the_layers_and_the_file_of_the_adapter(store: Path) -> None:
    put_model(store, "base", model=LLAMA, template=TEMPLATE, params=b"{}")
    blob = put_model(store, "tuned", model=LLAMA, adapter=ADAPTER, system=b"You are a pirate.")
    said = describe_unused_layers(blob)
    assert "Ollama's template, system prompt and parameters of this model are not used" in said
    adapter = put_layer(store, ADAPTER)[1]
    assert "adapter of tuned:latest is not used" in describe_unused_adapters(blob)
    assert str(adapter) in describe_unused_adapters(blob)
    other = blob.with_name("notes")
    other.write_bytes(LLAMA)
    for path in (other, blob.with_name("sha256-" + "0" * 64), Path("m.gguf")):
        assert (describe_unused_layers(path), models_of_blob(path)) == ("", ())


@pytest.mark.parametrize(
    "reason",
    [
        "unknown model architecture: 'gptoss'",
        "done_getting_tensors: wrong number of tensors; expected 883, got 444",
        "missing tensor 'blk.0.ffn_gate.weight'",
    ],
)
def test_report_36_a_failed_load_of_such_weights_is_explained(store: Path, reason: str) -> None:
    blob = put_model(store, "gemma4:e4b", model=VISION)
    said = explain_failure(blob, reason)
    assert said == f"it was made for Ollama as gemma4:e4b, and llama.cpp cannot read it ({reason})"
    copied = store.parent / "copied.gguf"
    copied.write_bytes(VISION)
    assert "it was made for Ollama, and" in explain_failure(copied, reason)
    copied.write_bytes(LLAMA)
    assert explain_failure(copied, reason) == ""
    assert explain_failure(blob, "failed to allocate memory") == ""


def test_report_36_the_header_of_each_file_is_read_once(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = put_model(store, "plain", model=LLAMA)
    put_model(store, "tuned", model=LLAMA, adapter=ADAPTER)
    put_model(store, "vision", model=VISION)
    read, count = gguf_header._Reader.read, [0]

    def counted(self: gguf_header._Reader, *, vocabulary: bool) -> GgufHeader:
        count[0] += 1
        return read(self, vocabulary=vocabulary)

    monkeypatch.setattr(gguf_header._Reader, "read", counted)
    assert set(found()) == {"plain:latest", "tuned:latest", "vision:latest"}
    in_list, count[0] = count[0], 0
    assert [model.names for model in models_of_blob(blob)] == [("plain:latest",), ("tuned:latest",)]
    assert (in_list, count[0]) == (2, 1)


async def test_report_36_the_trial_of_a_model_says_that_it_was_made_for_ollama(
    store: Path, tmp_path: Path
) -> None:
    model = write_sliding_model(tmp_path / "m.gguf", vision=True).read_bytes()
    blob = put_model(store, "gemma4:e4b", model=model, template=TEMPLATE)
    result = await probe_model(blob, VerifiedModels(tmp_path / "models.json", "1"))
    assert not result.ok
    assert "made for Ollama as gemma4:e4b" in result.reason
    assert "number of tensors" in result.reason


def test_report_36_probe_reports_the_layers_that_are_not_used(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_sliding_model(tmp_path / "m.gguf").read_bytes()
    put_model(store, "tuned", model=model, template=TEMPLATE, adapter=ADAPTER)
    assert run(["models", "probe", "tuned"]) == 0
    said = capsys.readouterr().out
    assert "works: gemma3" in said and "Ollama's template of this model is not used" in said
    assert "Ollama's adapter of tuned:latest is not used" in said
    assert run(["models", "probe", "tuned", "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert len(notes) == 2 and all(note in said for note in notes)


@pytest.mark.slow
def test_report_36_ask_says_that_a_model_was_made_for_ollama(store: Path, tmp_path: Path) -> None:
    model = write_sliding_model(tmp_path / "m.gguf", vision=True).read_bytes()
    put_model(store, "gemma4:e4b", model=model)
    done = koel("ask", "--model", "gemma4:e4b", "Hello")
    assert done.returncode == 66
    assert "it was made for Ollama as gemma4:e4b, and llama.cpp cannot read it" in done.stderr
    assert "koel-chat models pull OWNER/NAME" in done.stderr
