"""Model discovery: the directories of other programs, and files that are not models."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from koel_tui import paths
from koel_tui.models import NoModelError, choose_model, named_model
from koel_tui.models.directory_walk import walk_files
from koel_tui.models.discovery import FoundModel, SearchRoots, Source, find_models
from koel_tui.models.downloaded import model_files
from koel_tui.settings import load_settings
from tests.models.gguf_file import gguf_bytes, write_gguf


@pytest.fixture
def roots(tmp_path: Path) -> SearchRoots:
    """Return search roots in an empty directory."""
    return SearchRoots(tmp_path / "home", {}, tmp_path / "root")


def found(roots: SearchRoots, *folders: Path) -> dict[str, FoundModel]:
    models = [model for model in find_models(folders, roots) if model.source != Source.STARTER]
    named = {model.name: model for model in models}
    assert len(named) == len(models)
    return named


def write_hub(hub: Path, repo: str, revision: str, name: str, content: bytes) -> Path:
    """Write a file into the cache layout of huggingface_hub: a blob, and a link with its name."""
    cached = hub / f"models--{repo.replace('/', '--')}"
    blob = cached / "blobs" / hashlib.sha256(content).hexdigest()
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    link = cached / "snapshots" / revision / name
    link.parent.mkdir(parents=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    return link


def write_ollama(root: Path, model: str, content: bytes, digest: str | None = None) -> Path:
    digest = digest or f"sha256:{hashlib.sha256(content).hexdigest()}"
    blob = root / "blobs" / digest.replace(":", "-")
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    kind = "application/vnd.ollama.image"
    layers = [
        {"mediaType": f"{kind}.template", "digest": "sha256:" + "0" * 64},
        {"mediaType": f"{kind}.model", "digest": digest},
    ]
    manifest = root / "manifests" / model
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return blob


def test_the_starter_is_found(roots: SearchRoots, starter_path: Path) -> None:
    (model,) = find_models((), roots)
    assert model == FoundModel(
        "SmolLM2-135M-Instruct.Q4_1", starter_path, starter_path.stat().st_size, Source.STARTER
    )


@pytest.mark.parametrize(
    ("place", "source"),
    [
        (".lmstudio/models/who/m-GGUF/m.gguf", Source.LM_STUDIO),
        (".cache/lm-studio/models/who/m-GGUF/m.gguf", Source.LM_STUDIO),
        (".cache/llama.cpp/m.gguf", Source.LLAMA_CPP),
        ("Library/Caches/llama.cpp/m.gguf", Source.LLAMA_CPP),
        ("models/m.gguf", Source.HOME),
    ],
)
def test_each_program_keeps_its_models_somewhere(
    roots: SearchRoots, place: str, source: Source
) -> None:
    path = write_gguf(roots.home / place)
    size = path.stat().st_size
    assert found(roots) == {"m": FoundModel("m", path, size, source)}


def test_downloads_and_given_folders_are_searched(roots: SearchRoots, tmp_path: Path) -> None:
    ours = write_gguf(paths.models_dir() / "owner" / "repo" / "ours.gguf")
    given = write_gguf(tmp_path / "disk" / "given.GGUF")
    models = found(roots, tmp_path / "disk", tmp_path / "nowhere")
    assert {name: (model.path, model.source) for name, model in models.items()} == {
        "ours": (ours, Source.DOWNLOADED),
        "given": (given, Source.FOLDER),
    }


def test_the_cache_of_hugging_face_shows_each_blob_once_with_its_name(roots: SearchRoots) -> None:
    hub = roots.home / ".cache" / "huggingface" / "hub"
    link = write_hub(hub, "org/m", "rev1", "m-Q4_K_M.gguf", gguf_bytes())
    write_hub(hub, "org/m", "rev2", "m-Q4_K_M.gguf", gguf_bytes())
    dangling = write_hub(hub, "org/gone", "rev1", "gone.gguf", gguf_bytes(seed=1))
    dangling.resolve().unlink()
    models = found(roots)
    assert list(models) == ["m-Q4_K_M"]
    assert models["m-Q4_K_M"].path == link
    assert models["m-Q4_K_M"].size_bytes == len(gguf_bytes())


@pytest.mark.parametrize(
    ("variable", "below", "source"),
    [
        ("HF_HUB_CACHE", "", Source.HUGGING_FACE),
        ("HF_HOME", "hub", Source.HUGGING_FACE),
        ("XDG_CACHE_HOME", "huggingface/hub", Source.HUGGING_FACE),
        ("LLAMA_CACHE", "", Source.LLAMA_CPP),
    ],
)
def test_the_environment_names_other_places(
    tmp_path: Path, variable: str, below: str, source: Source
) -> None:
    place = tmp_path / "elsewhere"
    roots = SearchRoots(tmp_path / "home", {variable: str(place)}, tmp_path)
    write_gguf(place / below / "m.gguf")
    assert found(roots)["m"].source is source


def test_ollama_models_have_their_names_from_the_manifests(roots: SearchRoots) -> None:
    root = roots.home / ".ollama" / "models"
    blob = write_ollama(root, "registry.ollama.ai/library/llama3.2/1b", gguf_bytes())
    write_ollama(root, "registry.ollama.ai/who/mine/latest", gguf_bytes(seed=1))
    write_ollama(root, "hf.co/org/m-GGUF/Q4_K_M", gguf_bytes(seed=2))
    write_ollama(root, "registry.ollama.ai/library/tensors/latest", b"no GGUF at all")
    models = found(roots)
    assert set(models) == {"llama3.2:1b", "who/mine:latest", "hf.co/org/m-GGUF:Q4_K_M"}
    assert models["llama3.2:1b"].path == blob
    assert {model.source for model in models.values()} == {Source.OLLAMA}


def test_ollama_models_are_found_in_the_folders_of_its_variable_and_service(tmp_path: Path) -> None:
    name = "registry.ollama.ai/library/m/1b"
    named, service = tmp_path / "named", tmp_path / "usr/share/ollama/.ollama/models"
    write_ollama(named, name, gguf_bytes())
    write_ollama(service, name, gguf_bytes(seed=1))
    roots = SearchRoots(tmp_path / "home", {"OLLAMA_MODELS": str(named)}, tmp_path)
    assert found(roots)["m:1b"].path.is_relative_to(named)
    roots = SearchRoots(tmp_path / "home", {}, tmp_path)
    assert found(roots)["m:1b"].path.is_relative_to(service)


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b'{"layers": 1}',
        b'{"layers": [1]}',
        b'{"layers": [{"mediaType": "application/vnd.ollama.image.model"}]}',
        b'{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": 7}]}',
        b'{"layers": [{"mediaType": "application/vnd.ollama.image.model",'
        b' "digest": "sha256:../../../outside"}]}',
        b"[" * 500_000,
        b"\xff\xfe",
    ],
    ids=range(9),
)
def test_bad_manifests_are_skipped(roots: SearchRoots, manifest: bytes) -> None:
    root = roots.home / ".ollama" / "models"
    write_gguf(root / "blobs" / "sha256-.." / ".." / ".." / "outside")
    good = "registry.ollama.ai/library/good/latest"
    write_ollama(root, good, gguf_bytes())
    (root / "manifests" / good).with_name("bad").write_bytes(manifest)
    whole = (root / "manifests" / good).read_bytes()
    (root / "manifests" / "too-short").write_bytes(whole)
    (root / "manifests" / good).with_name("huge").write_bytes(whole + b" " * 2_000_000)
    assert list(found(roots)) == ["good:latest"]


def test_a_model_in_parts_is_listed_once_and_only_with_all_its_parts(roots: SearchRoots) -> None:
    folder = roots.home / "models"
    parts = [write_gguf(folder / f"big-0000{number}-of-00003.gguf") for number in (1, 2, 3)]
    write_gguf(folder / "half-00001-of-00002.gguf")
    write_gguf(folder / "tail-00002-of-00002.gguf")
    (model,) = found(roots).values()
    assert (model.name, model.path) == ("big", parts[0])
    assert model.size_bytes == sum(part.stat().st_size for part in parts)


def test_the_parts_of_a_model_end_as_the_first_one_does(roots: SearchRoots) -> None:
    parts = [write_gguf(roots.home / f"models/BIG-0000{n}-of-00002.GGUF") for n in (1, 2)]
    (model,) = found(roots).values()
    assert (model.name, model.path) == ("BIG", parts[0])
    assert model_files(model.path) == tuple(parts)


def test_a_blob_that_is_a_pipe_does_not_block_the_search(roots: SearchRoots) -> None:
    blob = write_ollama(
        roots.home / ".ollama/models", "registry.ollama.ai/library/pipe/latest", b"GGUF"
    )
    blob.unlink()
    os.mkfifo(blob)
    assert found(roots) == {}


def test_files_that_are_not_models_are_not_listed(roots: SearchRoots) -> None:
    folder = roots.home / "models"
    for name in ("mmproj-model-f16.gguf", "m_mmproj.gguf", ".hidden.gguf", "notes.txt", "gguf"):
        write_gguf(folder / name)
    (folder / "empty.gguf").touch()
    (folder / "folder.gguf").mkdir()
    assert found(roots) == {}


def test_circular_links_and_unreadable_folders_are_skipped(
    roots: SearchRoots, tmp_path: Path
) -> None:
    folder = roots.home / "models"
    linked = write_gguf(tmp_path / "other-disk" / "linked.gguf")
    write_gguf(folder / "a" / "m.gguf")
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "self.gguf").symlink_to("self.gguf")
    (folder / "disk").symlink_to(linked.parent)
    (folder / "m-again.gguf").symlink_to(folder / "a" / "m.gguf")
    closed = folder / "closed"
    write_gguf(closed / "secret.gguf")
    closed.chmod(0)
    deep = folder.joinpath(*"abcdefghij")
    write_gguf(deep / "deep.gguf")
    try:
        models = found(roots)
    finally:
        closed.chmod(0o700)
    models.pop("secret", None)  # only root finds this one
    assert set(models) == {"m-again", "linked"}
    assert [path.name for path in walk_files(folder)].count("m.gguf") == 1


def test_model_folders_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().model_folders == ()
    paths.config_file().parent.mkdir(parents=True)
    paths.config_file().write_text('model_folders = ["/a", "/b"]')
    assert load_settings().model_folders == (Path("/a"), Path("/b"))
    monkeypatch.setenv("KOEL_MODEL_FOLDERS", "/c:/d")
    assert load_settings().model_folders == (Path("/c"), Path("/d"))


# Names


def model(name: str, path: str = "/m.gguf") -> FoundModel:
    return FoundModel(name, Path(path), 1, Source.HOME)


MODELS = [model("Qwen3-4B-Q4_K_M"), model("Qwen3-8B-Q4_K_M"), model("llama3.2:1b")]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("llama3.2:1b", "llama3.2:1b"),
        ("Qwen3-4B-Q4_K_M.gguf", "Qwen3-4B-Q4_K_M"),
        ("qwen3-8b-q4_k_m", "Qwen3-8B-Q4_K_M"),
        ("llama", "llama3.2:1b"),
        ("\uff4clama", "llama3.2:1b"),
    ],
)
def test_a_name_is_whole_or_the_beginning_of_one(wanted: str, name: str) -> None:
    assert named_model(MODELS, wanted).name == name


def test_a_name_that_fits_several_names_them() -> None:
    with pytest.raises(NoModelError, match="2 models match 'qwen3': Qwen3-4B-Q4_K_M, Qwen3-8B"):
        named_model(MODELS, "qwen3")
    twice = [model("m", "/a/m.gguf"), model("m", "/b/m.gguf")]
    with pytest.raises(NoModelError, match=r"2 models match 'm': /a/m.gguf, /b/m.gguf"):
        named_model(twice, "m")


def test_a_name_without_a_match_lists_similar_names() -> None:
    with pytest.raises(NoModelError, match=r"model is called '4b-q4'. Similar: Qwen3-4B-Q4_K_M\."):
        named_model(MODELS, "4b-q4")
    with pytest.raises(NoModelError, match=r"Similar: llama3\.2:1b"):
        named_model(MODELS, "lama3.2")
    with pytest.raises(NoModelError, match=r"called 'x␛31m'\. `koel-chat models list`"):
        named_model(MODELS, "x\x1b31m")


def test_choose_takes_names_and_prefers_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HOME", "HF_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)
    ours = write_gguf(paths.models_dir() / "o" / "r" / "ours.gguf")
    given = write_gguf(tmp_path / "disk" / "given.gguf")
    assert choose_model(Path("ours")) == ours
    assert choose_model(Path("given"), (given.parent,)) == given
    with pytest.raises(NoModelError, match="No file or model"):
        choose_model(Path("given"))
    monkeypatch.chdir(given.parent)
    write_gguf(given.with_name("ours"))
    assert choose_model(Path("ours")) == Path("ours")
