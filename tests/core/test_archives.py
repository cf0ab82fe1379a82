import io
import os
import tarfile
import time
import zipfile

import pytest

from lib.core.archives import is_archive, unpack
from lib.core.errors import EarshotError
from lib.core.unpacking_budget import Limits, UnpackingBudget

FILES = {"weights/model.pt": b"tensors", "weights/model.json": b"{}", "read me.txt": b"frogs"}
SMALL = Limits(entries=50, total_bytes=10**6, ratio=10, free_bytes=10**5)


def zip_of(path, files, kinds=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as content:
        for name, data in files:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (kinds or {}).get(name, 0o100644) << 16
            content.writestr(entry, data)
    return path


def tar_of(path, entries, mode="w"):
    with tarfile.open(path, mode) as content:
        for name, value in entries:
            entry = tarfile.TarInfo(name)
            if isinstance(value, bytes):
                entry.size = len(value)
                content.addfile(entry, io.BytesIO(value))
            else:
                entry.type, entry.linkname = value
                content.addfile(entry)
    return path


def refused(path, match, limits=SMALL):
    with pytest.raises(EarshotError, match=match) as raised:
        unpack(path, path.parent / "out", UnpackingBudget.of(path, limits))
    assert "\n" not in str(raised.value)
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tbz2", "a.tar.xz", "a.TXZ", "frogs.v1.tar.gz"]
)
def test_each_kind_of_archive_is_unpacked(tmp_path, name):
    path, lower = tmp_path / name, name.lower()
    if lower.endswith("zip"):
        zip_of(path, FILES.items())
    else:
        end = {"gz": "gz", "tgz": "gz", "bz2": "bz2", "tbz2": "bz2", "xz": "xz", "txz": "xz"}
        tar_of(path, [("./", (tarfile.DIRTYPE, "")), *FILES.items()], f"w:{end.get(lower.rpartition('.')[2], '')}")
    assert is_archive(path)
    files = unpack(path, tmp_path / "out")
    assert {file.relative_to(tmp_path / "out").as_posix(): file.read_bytes() for file in files} == FILES
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([name, "out"])


def test_folders_may_be_listed_before_or_after_their_files(tmp_path):
    path = zip_of(tmp_path / "a.zip", [("empty/", b""), ("w/a", b"1"), ("w/", b""), ("w/b", b"2")])
    assert [file.name for file in unpack(path, tmp_path / "out")] == ["a", "b"]
    assert (tmp_path / "out/empty").is_dir()


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path):
    path = zip_of(tmp_path / "a.zip", FILES.items())
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").write_text("kept")
    with pytest.raises(EarshotError, match="out: is not empty"):
        unpack(path, tmp_path / "out")
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_file_that_is_not_an_archive_is_one_clear_line(tmp_path):
    assert not is_archive("model.pt") and not is_archive("zip")
    (tmp_path / "model.pt").write_bytes(b"x")
    refused(tmp_path / "model.pt", "is not an archive")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("/etc/passwd", "absolute path"),
        ("C:/windows/x", "absolute path"),
        ("\\\\server\\x", "absolute path"),
        ("../x", "leave the folder"),
        ("a/../../x", "leave the folder"),
        ("a\\..\\x", "leave the folder"),
        ("a//x", "name cannot be used"),
        ("a\nb", "name cannot be used"),
        ("x" * 300, "name cannot be used"),
        ("/".join(["deep"] * 400), "name cannot be used"),
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_elsewhere_are_refused(tmp_path, kind, name, fault):
    make = zip_of if kind == "zip" else tar_of
    refused(make(tmp_path / f"a.{kind}", [("first", b"1"), (name, b"2")]), fault)


@pytest.mark.parametrize(
    "names",
    [("a", "a"), ("a", "A"), ("caf\u00e9", "cafe\u0301"), ("a", "a/b"), ("a/b", "a"), ("w/a", "W/b"), ("w/", "w")],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_collide_on_some_disk_are_refused(tmp_path, kind, names):
    make = zip_of if kind == "zip" else tar_of
    folder = b"" if kind == "zip" else (tarfile.DIRTYPE, "")
    entries = [(name, folder if name.endswith("/") else b"1") for name in names]
    refused(make(tmp_path / f"a.{kind}", entries), "two files of one name")


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device"),
        (tarfile.BLKTYPE, "a device"),
        (tarfile.FIFOTYPE, "a device"),
    ],
)
def test_links_and_devices_of_a_tar_are_refused(tmp_path, kind, fault):
    refused(tar_of(tmp_path / "a.tar.gz", [("first", b"1"), ("x", (kind, "first"))], "w:gz"), fault)


@pytest.mark.parametrize(("mode", "fault"), [(0o120777, "a link"), (0o020644, "a device"), (0o010644, "a device")])
def test_links_and_devices_of_a_zip_are_refused(tmp_path, mode, fault):
    refused(zip_of(tmp_path / "a.zip", [("first", b"1"), ("x", b"/etc/passwd")], {"x": mode}), fault)


def many_in_a_zip(path, n):
    """A zip of n empty files, written by hand: zipfile takes a minute for a million."""
    names = [b"%07d" % i for i in range(n)]
    head, offset = b"PK\x01\x02\x14\0\x14\0" + bytes(20), 0
    local = b"PK\x03\x04\x14\0" + bytes(20) + b"\x07\0\0\0"
    directory = b"".join(
        head + b"\x07\0" + bytes(12) + (i * (30 + 7)).to_bytes(4, "little") + name for i, name in enumerate(names)
    )
    content = b"".join(local + name for name in names)
    offset = len(content)
    end64 = b"PK\x06\x06" + (44).to_bytes(8, "little") + b"\x2d\0\x2d\0" + bytes(8) + n.to_bytes(8, "little") * 2
    end64 += len(directory).to_bytes(8, "little") + offset.to_bytes(8, "little")
    locator = b"PK\x06\x07" + bytes(4) + (offset + len(directory)).to_bytes(8, "little") + b"\x01\0\0\0"
    end = b"PK\x05\x06" + bytes(4) + b"\xff" * 12 + bytes(2)
    path.write_bytes(content + directory + end64 + locator + end)
    return path


def test_a_handwritten_zip_of_many_files_is_read_like_any_other(tmp_path):
    path = many_in_a_zip(tmp_path / "a.zip", 20)
    assert [file.name for file in unpack(path, tmp_path / "out")] == [f"{i:07d}" for i in range(20)]


def test_a_million_entries_are_refused_at_once(tmp_path):
    (tmp_path / "zip").mkdir()
    (tmp_path / "tar").mkdir()
    archive = many_in_a_zip(tmp_path / "zip/a.zip", 1_000_000)
    header = tarfile.TarInfo("x").tobuf()
    (tmp_path / "tar/a.tar").write_bytes(header * 1_000_000)
    begin = time.monotonic()
    refused(archive, "holds too many entries", Limits())
    refused(tmp_path / "tar/a.tar", "holds two files", Limits())
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_more_entries_than_the_limit_are_refused(tmp_path, kind):
    make = zip_of if kind == "zip" else tar_of
    refused(make(tmp_path / f"a.{kind}", [(str(i), b"") for i in range(51)]), "more than 50 entries")


def test_a_bomb_is_refused_while_it_is_unpacked(tmp_path):
    zeros = bytes(5 * 10**5)
    for name, mode in (("a.tar.gz", "w:gz"), ("a.tar.bz2", "w:bz2"), ("a.tar.xz", "w:xz"), ("a.zip", "")):
        folder = tmp_path / name.replace(".", "-")
        folder.mkdir()
        entries = [("zeros", zeros)]
        path = tar_of(folder / name, entries, mode) if mode else zip_of(folder / name, entries)
        refused(path, "more than 10 times its size")
        refused(path, "more than 0.0004 GB", Limits(total_bytes=4 * 10**5))
        assert len(unpack(path, folder / "out")) == 1  # which is little


def test_a_zip_that_lies_about_the_size_of_a_file_is_refused(tmp_path):
    path = zip_of(tmp_path / "a.zip", [("zeros", bytes(5 * 10**5))])
    size = (5 * 10**5).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (10).to_bytes(4, "little")))
    refused(path, "cannot be unpacked|more than 10 times")


def test_a_long_name_is_not_kept_in_memory(tmp_path):
    entry = tarfile.TarInfo("x" * 100)
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 4 * 10**9
    (tmp_path / "a.tar").write_bytes(entry.tobuf() + bytes(1024))
    refused(tmp_path / "a.tar", "too long a name", Limits(total_bytes=10**12, ratio=10**9))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_damaged_archives_are_one_clear_line(tmp_path, name):
    (tmp_path / "source").mkdir()
    path, mode = tmp_path / name, name.rpartition(".")[2]
    noise = [("noise", os.urandom(50_000)), *FILES.items()]
    whole = tmp_path / "source" / name
    whole = zip_of(whole, noise) if mode == "zip" else tar_of(whole, noise, f"w:{'' if mode == 'tar' else mode}")
    content = whole.read_bytes()
    whole.unlink()
    (tmp_path / "source").rmdir()
    damages = [content[:30_000], content[:-2000] if mode == "zip" else content[: len(content) // 3], b"", b"no archive"]
    for damaged in damages:
        path.write_bytes(damaged)
        refused(path, "cannot be unpacked")


def test_an_encrypted_zip_is_refused(tmp_path):
    path = zip_of(tmp_path / "a.zip", [("x", b"1")])
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    refused(path, "encrypted")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives_that_share_a_budget_are_counted_together(tmp_path, kind):
    make = zip_of if kind == "zip" else tar_of
    path = make(tmp_path / f"a.{kind}", [(str(i), bytes(2000)) for i in range(20)])
    budget = UnpackingBudget(1000, Limits(entries=50))
    for name in ("first", "second"):
        assert len(unpack(path, tmp_path / name, budget)) == 20
    with pytest.raises(EarshotError, match="with the archives unpacked before it, more than 50 entries"):
        unpack(path, tmp_path / "third", budget)
    budget = UnpackingBudget(1000, Limits(ratio=10, free_bytes=110_000))
    for name in ("fourth", "fifth"):
        unpack(path, tmp_path / name, budget)
    with pytest.raises(EarshotError, match="with the archives unpacked before it, to more than 10 times their size"):
        unpack(path, tmp_path / "sixth", budget)
    assert {each.name for each in tmp_path.iterdir()} == {path.name, "first", "second", "fourth", "fifth"}
