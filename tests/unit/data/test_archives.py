"""Archives that are damaged or want to write elsewhere leave nothing behind."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.made_hub import write_tar
from vlmfrontier.data.archives import DamagedArchiveError, is_archive, is_piece, unpack
from vlmfrontier.errors import UserError


def zip_of(path: Path, name: str, content: bytes) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.zip"])
@pytest.mark.parametrize("member", ["../a.mp4", "/a.mp4", "b/../../a.mp4"])
def test_no_member_leaves_the_folder(tmp_path, name, member):
    if name.endswith("zip"):
        zip_of(tmp_path / name, member, b"escaped")
    else:
        write_tar(tmp_path / name, {member: b"escaped"})
    with pytest.raises(UserError, match=f"^{name}: refused for its member"):
        unpack(tmp_path / name, tmp_path / "folder", tmp_path / "scratch")
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_no_link_leads_out_of_the_folder(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        member = tarfile.TarInfo("inside")
        member.type, member.linkname = tarfile.SYMTYPE, ".."
        tar.addfile(member)
    with pytest.raises(UserError, match=r"a\.tar: refused for its member 'inside'"):
        unpack(tmp_path / "a.tar", tmp_path / "folder", tmp_path / "scratch")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_to_a_file_of_the_archive_becomes_that_file(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        file, link = tarfile.TarInfo("videos/a.mp4"), tarfile.TarInfo("videos/b.mp4")
        file.size = 5
        link.type, link.linkname = kind, "a.mp4" if kind == tarfile.SYMTYPE else "videos/a.mp4"
        tar.addfile(file, io.BytesIO(b"video"))
        tar.addfile(link)
    assert unpack(tmp_path / "a.tar.gz", tmp_path / "folder", tmp_path / "scratch") == 2
    assert (tmp_path / "folder/videos/b.mp4").read_bytes() == b"video"
    assert not (tmp_path / "folder/videos/b.mp4").is_symlink()


@pytest.mark.parametrize("name", ["a.tar.gz", "a.zip"])
def test_a_damaged_archive_leaves_nothing(tmp_path, name):
    path, content = tmp_path / name, bytes(range(256)) * 400
    if name.endswith("zip"):
        zip_of(path, "a.mp4", content)
    else:
        write_tar(path, {"a.mp4": content})
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-5 if name.endswith("gz") else len(whole) // 3] ^= 0xFF  # of a gzip only the checksum at its end
    for damaged in (whole[: len(whole) // 2], bytes(flipped), b"<html>not found</html>"):
        path.write_bytes(damaged)
        with pytest.raises(DamagedArchiveError, match=f"^{name}: damaged archive"):
            unpack(path, tmp_path / "folder", tmp_path / "scratch")
        assert not (tmp_path / "folder").exists()
        assert not (tmp_path / "scratch").exists()


def test_archives_and_their_pieces_are_known_by_their_names():
    assert all(map(is_archive, ("a.tar", "a.TAR.GZ", "a.tgz", "a.tar.xz", "a.zip")))
    assert not any(map(is_archive, ("a.mp4", "a.gz", "tar")))
    assert all(map(is_piece, ("a.tar.gz.00", "a.tar.part-aa", "a.zip.001", "a.z01", "a.tar.gz.partab")))
    assert not any(map(is_piece, ("a.tar.gz", "a.tar.xz", "v_1.mp4", "a.json", "videos_01.zip")))
