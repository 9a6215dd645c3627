"""The quarantine: reports and copies of damaged files."""

from pathlib import Path

from koel_tui.storage.files.quarantine import DamagedThread, Quarantine


def test_a_changed_file_is_reported_again_and_each_content_is_copied_once(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    path = tmp_path / "t-1.json"
    for signature, data in (((1, 1, 1, 1), b"a"), ((1, 1, 1, 1), b"a"), ((1, 2, 1, 1), b"b")):
        quarantine.report(path, "broken", signature, data)
        assert quarantine.is_reported(path, signature)
    assert not quarantine.is_reported(path, (1, 1, 1, 1))
    (report,) = quarantine.damaged
    assert report.copy is not None and report.copy.read_bytes() == b"b"
    copies = sorted(copy.read_bytes() for copy in (tmp_path / "quarantine").iterdir())
    assert copies == [b"a", b"b"]


def test_a_file_that_could_not_be_read_is_reported_and_tried_again(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path)
    path = tmp_path / "t-1.json"
    quarantine.report(path, "no permission", (1, 1, 1, 1), None)
    assert quarantine.damaged == (DamagedThread(path, "no permission", None),)
    assert not quarantine.is_reported(path, (1, 1, 1, 1))
    assert not (tmp_path / "quarantine").exists()
