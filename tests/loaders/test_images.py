"""Folders of pictures with labels or a folder for each class, arrays of pictures, and every mistake in them."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xai_audit import card, digest
from xai_audit.loaders import images, load, pictures
from xai_audit.loaders.cells import Medium, digest_of
from xai_audit.loaders.rows import digests
from xai_audit.spec import Spec
from xai_audit.subject import Column

DECIDED = {"format": "predictions", "prediction": "p"}
RNG = np.random.default_rng(7)
PIXELS = RNG.integers(0, 256, (12, 5, 4, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    def at(name: str, content: np.ndarray | bytes = PIXELS[0]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else png(content))
        return path

    return at


@pytest.fixture
def album(put, desk) -> Callable[..., str]:
    """Twelve pictures in ``images/`` and a table of labels."""

    def made(**changes) -> str:
        for place, pixels in enumerate(PIXELS):
            put(f"images/{'ab'[place % 2]}/{place:02d}.png", pixels)
        frame = pd.DataFrame(
            {
                "file": [f"{'ab'[place % 2]}/{place:02d}.png" for place in range(12)],
                "y": ["cat", "dog", "dog"] * 4,
                "p": ["cat", "dog", "cat"] * 4,
                "sex": ["f", "m"] * 6,
                "age": range(12),
            }
        ).assign(**changes)
        return desk.csv("labels.csv", frame)

    return made


KNOWN = ".png, .jpg, .jpeg, .bmp, .gif, .webp, .tif, .tiff"
TEST = {"path": "images/", "labels": "labels.csv"}


class TestFolder:
    def test_labels_beside_pictures(self, desk, album):
        album()
        subject = desk.load({**DECIDED, "positive": "dog"}, test=TEST, target="y", sensitive=["sex"])
        assert subject.modality == "image"
        assert subject.columns == (Column("image", "image"),)
        assert list(subject.test.frame.columns) == ["image"]
        assert subject.test.frame["image"].dtype == object
        assert subject.classes == ("cat", "dog")
        assert [grouping.columns for grouping in subject.groupings] == [("sex",)]
        assert subject.test.path == "images/"
        assert subject.test.sha256 == digest.of_folder(desk.folder / "images")
        for row in range(12):
            place = int(subject.test.side["age"][row])
            np.testing.assert_array_equal(subject.test.frame["image"][row], PIXELS[place])
            assert subject.test.side["file"][row] == f"{'ab'[place % 2]}/{place:02d}.png"
            assert subject.classes[subject.test.target[row]] == ["cat", "dog", "dog"][place % 3]
        assert subject.facts["base_rates"]["test"] == {"cat": 4, "dog": 8}
        assert subject.test.digests.tolist() == sorted(subject.test.digests.tolist())

    def test_the_folder_of_a_picture_is_its_class(self, desk, put):
        for place, pixels in enumerate(PIXELS):
            put(f"images/{'ab'[place % 2]}/{place:02d}.png", pixels)
        desk.write("m.py", "def score(f):\n    return [p.mean() / 255 for p in f['image']]\n")
        sha256 = hashlib.sha256((desk.folder / "m.py").read_bytes()).hexdigest()
        model = {"path": "m.py:score", "format": "python", "trust": True, "sha256": sha256}
        subject = desk.load(model, test="images/")
        assert subject.classes == ("a", "b")
        assert subject.facts["base_rates"]["test"] == {"a": 6, "b": 6}
        assert "the class of a picture is the folder it lies in" in subject.notes
        means = [picture.mean() / 255 for picture in subject.test.frame["image"]]
        np.testing.assert_allclose(subject.scores[:, 1], means)
        named = desk.load(model, test="images/", target="class", id="file")
        assert sorted(named.test.ids) == sorted(subject.test.side["file"])
        np.testing.assert_array_equal(named.test.target, subject.test.target)

    def test_folders_in_folders_are_one_class_each(self, desk, put):
        put("images/Korean/c1/1.png", PIXELS[0])
        put("images/Korean/c2/1.png", PIXELS[1])
        put("images/loose.png", PIXELS[2])
        cells = images.read(desk.spec({}, test="images").data.test, "data.test", mistakes_of(desk))
        assert cells.columns["class"].to_pylist() == ["Korean/c1", "Korean/c2", None]
        assert cells.columns["file"].to_pylist() == ["Korean/c1/1.png", "Korean/c2/1.png", "loose.png"]

    def test_without_folders_there_is_no_class(self, desk, put):
        put("images/1.png")
        error = desk.refused(DECIDED, test="images/", target="class")
        assert "no column named 'class' in images/" in str(error)

    def test_other_files_are_left_out_and_counted(self, desk, album, put):
        album()
        for name in ("readme.txt", ".DS_Store", "a/._00.png", ".thumbs/00.png", "notes.svg"):
            put(f"images/{name}", b"x")
        subject = desk.load(DECIDED, test=TEST, target="y")
        assert subject.test.n == 12
        assert "images/: 5 files are hidden or no pictures and are left out" in subject.notes

    def test_what_reading_changed_is_said(self, desk, put):
        exif = Image.Exif()
        exif[0x0112] = 6
        stream = io.BytesIO()
        Image.fromarray(PIXELS[0]).save(stream, "PNG", exif=exif)
        put("images/a/turned.png", stream.getvalue())
        put("images/b/grey.png", PIXELS[1][..., 0])
        put("images/b/plain.png", PIXELS[2])
        desk.csv(
            "l.csv", pd.DataFrame({"file": ["a/turned.png", "b/grey.png", "b/plain.png"], "p": [0, 1, 1]})
        )
        subject = desk.load(DECIDED, test={"path": "images/", "labels": "l.csv"})
        assert f"images/: 1 pictures {pictures.TURNED}" in subject.notes
        assert "images/: 1 of 3 pictures are grey, the others coloured" in subject.notes
        shapes = dict(
            zip(
                subject.test.side["file"],
                (picture.shape for picture in subject.test.frame["image"]),
                strict=True,
            )
        )
        assert shapes == {"a/turned.png": (4, 5, 3), "b/grey.png": (5, 4, 1), "b/plain.png": (5, 4, 3)}

    def test_the_declared_digest_is_that_of_model_signing(self, desk, album):
        album()
        found = digest.of_folder(desk.folder / "images")
        desk.load(DECIDED, test={**TEST, "sha256": found}, target="y")
        error = desk.refused(DECIDED, test={**TEST, "sha256": "0" * 64}, target="y")
        assert f"images/ has sha256 {found}, not the declared {'0' * 64}" in str(error)
        assert error.exit_code == 4

    def test_labels_of_other_formats(self, desk, album):
        album()
        frame = pd.read_csv(desk.folder / "labels.csv")
        first = desk.load(DECIDED, test=TEST, target="y")
        for name, write in (
            ("l.parquet", frame.to_parquet),
            ("l.jsonl", lambda path: frame.to_json(path, orient="records", lines=True)),
        ):
            write(desk.folder / name)
            other = desk.load(DECIDED, test={"path": "images", "labels": name}, target="y")
            np.testing.assert_array_equal(other.test.digests, first.test.digests)


def mistakes_of(desk):
    from xai_audit.loaders.mistakes import Mistakes

    return Mistakes(desk.spec({}, test="images"))


class TestSameContent:
    def test_names_and_order_change_nothing(self, desk, album, put):
        album()
        first = desk.load(DECIDED, test=TEST, target="y")
        frame = pd.read_csv(desk.folder / "labels.csv").sample(frac=1, random_state=3)[
            ["sex", "p", "age", "file", "y"]
        ]
        names = {old: f"z{place}/{place}.png" for place, old in enumerate(frame["file"])}
        for old, new in names.items():
            put(f"other/{new}", (desk.folder / "images" / old).read_bytes())
        desk.csv("other.csv", frame.assign(file=frame["file"].map(names)))
        second = desk.load(DECIDED, test={"path": "other", "labels": "other.csv"}, target="y")
        np.testing.assert_array_equal(first.test.digests, second.test.digests)
        np.testing.assert_array_equal(first.test.target, second.test.target)
        np.testing.assert_array_equal(first.prediction, second.prediction)
        for one, two in zip(first.test.frame["image"], second.test.frame["image"], strict=True):
            np.testing.assert_array_equal(one, two)

    def test_the_file_format_changes_nothing_and_a_pixel_does(self, desk, put):
        put("one/a/1.png", PIXELS[0])
        put("one/b/2.png", PIXELS[1])
        for place, name in enumerate(("a/1.bmp", "b/2.bmp")):
            stream = io.BytesIO()
            Image.fromarray(PIXELS[place]).save(stream, "BMP")
            put(f"two/{name}", stream.getvalue())
        changed = PIXELS[0].copy()
        changed[0, 0, 0] ^= 1
        put("three/a/1.png", changed)
        put("three/b/2.png", PIXELS[1])
        found = [
            {bytes(value) for value in images_of(desk, folder).medium.digests}
            for folder in ("one", "two", "three")
        ]
        assert found[0] == found[1]
        assert len(found[0] & found[2]) == 1

    def test_an_array_and_a_folder_of_the_same_pictures_are_the_same_rows(self, desk, album):
        album()
        frame = pd.read_csv(desk.folder / "labels.csv")
        columns = {name: frame[name].to_numpy() for name in ("age",)}
        columns |= {name: frame[name].to_numpy().astype(str) for name in ("y", "p", "sex")}
        np.savez(desk.folder / "t.npz", images=PIXELS, **columns)
        first = desk.load(DECIDED, test=TEST, target="y")
        second = desk.load(DECIDED, test="t.npz", target="y")
        np.testing.assert_array_equal(first.test.digests, second.test.digests)
        assert second.test.sha256 == digest.of_file(desk.folder / "t.npz")

    def test_equal_rows_are_told_apart_by_occurrence(self, desk, put):
        for name in ("a/1.png", "a/2.png", "a/3.png", "b/4.png"):
            put(f"images/{name}", PIXELS[0])
        desk.csv(
            "l.csv", pd.DataFrame({"file": ["b/4.png", "a/1.png", "a/3.png", "a/2.png"], "p": [1, 0, 0, 0]})
        )
        subject = desk.load(DECIDED, test={"path": "images", "labels": "l.csv"}, id="file")
        assert sorted(subject.test.occurrence) == [0, 0, 1, 2]
        # Among equal rows the order is that of the paths, whatever the labels' order.
        assert [name for name in subject.test.ids if name.startswith("a")] == [
            "a/1.png",
            "a/2.png",
            "a/3.png",
        ]
        assert subject.facts["duplicate_rows"] == {"test": 3}

    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3]), st.data())
    def test_a_digest_is_of_shape_and_pixels(self, height, width, channels, data):
        size = height * width * channels
        one = np.array(data.draw(st.binary(min_size=size, max_size=size)), dtype=f"S{size}")
        pixels = np.frombuffer(one.tobytes().ljust(size, b"\0")[:size], np.uint8)
        picture = pixels.reshape(height, width, channels)
        assert digest_of(picture) == digest_of(np.asfortranarray(picture)) == digest_of(picture.copy())
        other = picture.copy()
        other.flat[data.draw(st.integers(0, size - 1))] ^= 1 << data.draw(st.integers(0, 7))
        assert digest_of(other) != digest_of(picture)
        if height != width:
            assert digest_of(pixels.reshape(width, height, channels)) != digest_of(picture)

    def test_a_row_counts_picture_and_cells_and_no_address(self):
        cells = np.empty(2, dtype=object)
        cells[:] = [PIXELS[0], PIXELS[1]]
        medium = Medium("image", "image", cells, address="file")
        renamed = Medium("picture", "image", cells)
        assert digests({}, medium).tolist() == digests({}, renamed).tolist()
        text = np.array(["a", "b"], dtype=object)
        assert len({*digests({}, medium), *digests({}, Medium("t", "text", text))}) == 4


def images_of(desk, folder: str):
    spec = desk.spec({}, test=folder)
    from xai_audit.loaders.mistakes import Mistakes

    return images.read(spec.data.test, "data.test", Mistakes(spec))


class TestMistakes:
    def told(self, desk, **data) -> list[str]:
        error = desk.refused(DECIDED, **{"test": TEST, "target": "y", **data})
        return [str(mistake).replace(f"{desk.folder}/", "") for mistake in error.mistakes]

    def test_every_mistake_at_its_place_at_once(self, desk, album, put):
        album()
        frame = pd.read_csv(desk.folder / "labels.csv")
        frame.loc[1, "file"] = "b/1.png"  # b/01.png loses its row
        frame.loc[3, "file"] = "../../etc/passwd"
        frame.loc[5, "file"] = "a/00.png"
        frame.loc[7, "file"] = "/etc/passwd"
        frame.loc[9, "file"] = np.nan
        frame.loc[11, "file"] = "b/notes.svg"
        desk.csv("labels.csv", frame)
        put("images/b/notes.svg", b"<svg/>")
        assert self.told(desk) == [
            "labels.csv:3:\"file\": no picture 'b/1.png' in images/; did you mean 'b/11.png'?",
            "labels.csv:5:\"file\": '../../etc/passwd' leads out of images/; a name below it is asked",
            "labels.csv:7:\"file\": 'a/00.png' stands in labels.csv:2 already; one row for each picture",
            "labels.csv:9:\"file\": '/etc/passwd' leads out of images/; a name below it is asked",
            'labels.csv:11:"file": a row without a picture\'s name',
            f"labels.csv:13:\"file\": 'b/notes.svg' is no picture that this version reads ({KNOWN})",
            "images/b/01.png: no row of labels.csv names this picture",
            "images/b/03.png: no row of labels.csv names this picture",
            "images/b/05.png: no row of labels.csv names this picture",
            "images/b/07.png: no row of labels.csv names this picture",
            "images/b/09.png: no row of labels.csv names this picture",
            "images/: and 1 more like it",
        ]

    def test_pictures_that_cannot_be_read_are_named(self, desk, album, put):
        album()
        put("images/a/00.png", b"no picture")
        whole = png(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        put("images/a/02.png", whole[: len(whole) // 2])
        told = self.told(desk)
        assert told[0] == "images/a/00.png: no picture that can be read (png, jpeg, bmp, gif, webp or tiff)"
        assert told[1].startswith("images/a/02.png: cannot be read: ")
        assert len(told) == 2

    def test_a_bomb_is_refused_by_name(self, desk, album, put):
        album()
        bomb = bytearray(png(PIXELS[0]))
        bomb[16:24] = struct.pack(">II", 60_000, 60_000)
        bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
        put("images/a/00.png", bytes(bomb))
        (line,) = self.told(desk)
        assert line.startswith("images/a/00.png: ")
        assert "refused" in line or "pixels" in line

    def test_more_than_the_memory_is_refused(self, desk, album, monkeypatch):
        album()
        monkeypatch.setattr(images, "MAX_TOTAL", 100)
        monkeypatch.setattr(pictures, "MAX_FILE", 1 << 20)
        assert self.told(desk) == [
            "images/: the pictures take over 0 GiB when unpacked; make them smaller or give fewer"
        ]

    def test_a_link_that_leads_out_is_refused(self, desk, album, put):
        album()
        secret = put("secret.png", PIXELS[3])
        (desk.folder / "images" / "a" / "00.png").unlink()
        (desk.folder / "images" / "a" / "00.png").symlink_to(secret)
        assert self.told(desk) == [
            "images/a/00.png: a link that leads out of the folder; put the picture itself there"
        ]

    def test_a_link_to_a_folder_is_refused(self, desk, album):
        album()
        (desk.folder / "images" / "loop").symlink_to(desk.folder / "images")
        assert "loop is a link to a folder" in self.told(desk)[0]

    def test_a_link_inside_the_folder_is_its_picture(self, desk, album):
        album()
        (desk.folder / "images" / "a" / "00.png").unlink()
        (desk.folder / "images" / "a" / "00.png").symlink_to("02.png")
        assert desk.load(DECIDED, test=TEST, target="y").facts["duplicate_rows"] == {"test": 1}

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to the superuser")
    def test_a_closed_folder_is_told(self, desk, album):
        album()
        (desk.folder / "images" / "a").chmod(0)
        assert "Permission denied" in self.told(desk)[0]

    def test_labels_that_cannot_be_had(self, desk, album, put):
        album()
        (line,) = self.told(desk, test={"path": "images/", "labels": "none.csv"})
        assert line == "audit.yaml: data.test.labels: no such file: none.csv"
        put("images/inner.csv", b"file\na/00.png\n")
        (line,) = self.told(desk, test={"path": "images/", "labels": "inner.csv"})
        assert line.endswith(
            "no such file: inner.csv; write images/inner.csv: paths are relative to the spec"
        )
        desk.write("f.csv", "picture\na/00.png\n")
        (line,) = self.told(desk, test={"path": "images/", "labels": "f.csv"})
        assert line == (
            "f.csv: a column 'file' is asked, which names each picture relative to images/; there are 'picture'"
        )
        pd.DataFrame({"file": [1.5]}).to_parquet(desk.folder / "f.parquet")
        (line,) = self.told(desk, test={"path": "images/", "labels": "f.parquet"})
        assert line == 'f.parquet:"file": a column of double; the names of pictures are asked, as text'

    def test_folders_without_pictures(self, desk, put):
        assert self.told(desk, test="none/") == ["audit.yaml: data.test: no such file or folder: none/"]
        put("empty/readme.md", b"x")
        error = desk.refused(DECIDED, test="empty/")
        assert "empty/ is a folder without a picture (.png, " in str(error)
        assert error.exit_code == 4

    def test_archives_are_refused_by_name(self, desk, album):
        album()
        shutil.make_archive(str(desk.folder / "images"), "zip", desk.folder / "images")
        (line,) = self.told(desk, test="images.zip")
        assert line.endswith(
            "images.zip: archives are not available in this version; unpack it and name the folder"
        )

    def test_labels_go_with_pictures(self, desk, album):
        album()
        (line,) = self.told(desk, test={"path": "labels.csv", "labels": "labels.csv"})
        assert line.endswith(
            "labels stand beside pictures, and labels.csv is a table; its columns are its labels"
        )

    def test_text_goes_with_tables(self, desk, album):
        album()
        (line,) = self.told(desk, test={**TEST, "text": "y"})
        assert line.endswith(
            "data.test.text: images/ holds pictures, and no column of text; take the key out"
        )

    def test_names_of_features_are_those_of_tables(self, desk, album):
        album()
        lines = self.told(desk, features=("age",), categorical=("sex",))
        assert [line.partition("audit.yaml: ")[2] for line in lines] == [
            f"data.{key}: names columns of a table, and the model reads pictures alone; take the key out"
            for key in ("features", "categorical")
        ]

    def test_training_data_of_another_kind(self, desk, album):
        album()
        (line,) = self.told(desk, train="labels.csv")
        assert line.endswith("data.train: labels.csv holds a table, and data.test holds pictures")

    def test_a_model_of_tables_cannot_read_pictures(self, desk, album, people):
        from sklearn.linear_model import LogisticRegression
        from skops import io as skops

        album()
        skops.dump(LogisticRegression().fit(people[["age"]], people.y), desk.folder / "m.skops")
        error = desk.refused({"path": "m.skops"}, test=TEST, target="y")
        assert str(error).endswith(
            "model.format: skops reads rows of a table, and the data are pictures; "
            "torch, transformers, onnx, http, python read pictures"
        )


class TestArrays:
    def test_grey_and_coloured(self, desk):
        for array, shape in ((PIXELS, (5, 4, 3)), (PIXELS[..., 0], (5, 4, 1)), (PIXELS[..., :1], (5, 4, 1))):
            np.savez(desk.folder / "t.npz", images=array, p=np.arange(12) % 2)
            subject = desk.load(DECIDED, test="t.npz")
            assert subject.modality == "image"
            assert subject.test.frame["image"][0].shape == shape
            assert list(subject.test.side.columns) == ["p"]

    def test_labels_follow_the_rows(self, desk):
        np.savez(desk.folder / "t.npz", images=PIXELS, age=np.arange(12), ok=np.arange(12) % 2 == 0)
        desk.csv("l.csv", pd.DataFrame({"p": ["cat", "dog"] * 6, "y": ["cat", "dog", "dog"] * 4}))
        subject = desk.load(DECIDED, test={"path": "t.npz", "labels": "l.csv"}, target="y")
        assert subject.classes == ("cat", "dog")
        for row in range(12):
            place = int(subject.test.side["age"][row])
            np.testing.assert_array_equal(subject.test.frame["image"][row], PIXELS[place])
            assert bool(subject.test.side["ok"][row]) == (place % 2 == 0)
            assert subject.classes[subject.test.target[row]] == ["cat", "dog", "dog"][place % 3]

    @pytest.mark.parametrize(
        ("arrays", "said"),
        [
            ({"images": PIXELS / 255}, 't.npz:"images": an array of float64; uint8 from 0 to 255 is asked'),
            (
                {"images": PIXELS[..., :2]},
                't.npz:"images": shape (12, 5, 4, 2); (n, height, width) or (n, height, width, 1 or 3) is asked',
            ),
            ({"images": PIXELS[:0]}, 't.npz:"images": shape (0, 5, 4, 3) holds no picture'),
            ({"images": PIXELS, "p": np.arange(3)}, "t.npz: columns of different lengths: images 12, p 3"),
            ({"images": PIXELS, "p": np.ones((12, 2))}, 't.npz:"p": an array of shape (12, 2)'),
        ],
    )
    def test_what_is_refused(self, desk, arrays, said):
        np.savez(desk.folder / "t.npz", **arrays)
        assert said in str(desk.refused(DECIDED, test="t.npz"))

    def test_labels_that_do_not_fit(self, desk):
        np.savez(desk.folder / "t.npz", images=PIXELS, y=np.arange(12) % 2)
        desk.csv("l.csv", pd.DataFrame({"file": list("abc"), "y": [0, 1, 0]}))
        error = str(desk.refused(DECIDED, test={"path": "t.npz", "labels": "l.csv"}))
        assert "l.csv names pictures by 'file', and those of t.npz have no names" in error
        assert "l.csv has 3 rows for 12 pictures of t.npz" in error
        assert "'y' stands in l.csv and in t.npz; rename one" in error
        np.savez(desk.folder / "x.npz", X=np.ones((2, 2)))
        assert "x.npz holds no pictures" in str(
            desk.refused(DECIDED, test={"path": "x.npz", "labels": "l.csv"})
        )

    def test_a_bomb_of_an_archive(self, desk, monkeypatch):
        from xai_audit.loaders import npz

        monkeypatch.setattr(npz, "MAX_UNPACKED", 1000)
        np.savez_compressed(desk.folder / "t.npz", images=np.zeros((100, 20, 20), np.uint8))
        assert "t.npz: unpacks to over" in str(desk.refused(DECIDED, test="t.npz"))


class TestFacts:
    def test_the_same_picture_in_training_is_overlap_whatever_its_label(self, desk, put):
        for place in range(6):
            put(f"test/{'ab'[place % 2]}/{place}.png", PIXELS[place])
        for place in range(4, 10):
            put(f"train/{'ba'[place % 2]}/{place}.png", PIXELS[place])
        desk.write("m.py", "def score(f):\n    return [0.5 for p in f['image']]\n")
        sha256 = hashlib.sha256((desk.folder / "m.py").read_bytes()).hexdigest()
        model = {"path": "m.py:score", "format": "python", "trust": True, "sha256": sha256}
        subject = desk.load(model, test="test", train="train")
        assert subject.facts["train_test_overlap"] == {"count": 2, "rows": 6, "columns": 1}
        assert subject.facts["duplicate_rows"] == {"test": 0, "train": 0}
        assert subject.facts["missing"] == {}

    def test_what_the_audit_tells_of_pictures(self, desk, album):
        album()
        spec = desk.spec(DECIDED, test=TEST, target="y", sets={"some": {"path": "images/", "labels": "labels.csv",
                                                                        "where": "age < 5"}})  # fmt: skip
        subject = load(spec)
        about = card.describe(subject, spec)
        size = {
            "height": {"min": 5, "max": 5},
            "width": {"min": 4, "max": 4},
            "channels": {"min": 3, "max": 3},
        }
        assert about["modality"] == "image"
        assert about["columns"] == [{"name": "image", "kind": "image", "levels": 0}]
        assert {**about["data"]["test"], "sha256": ""} == {
            "sha256": "", "path": "images/", "rows": 12, **size, "distinct_shapes": 1,
        }  # fmt: skip
        assert {**about["sets"]["some"], "sha256": ""} == {
            "sha256": "", "path": "images/", "rows": 5, **size, "distinct_shapes": 1, "where": "age < 5",
        }  # fmt: skip
        assert card.files(subject)["sets.some"]["sha256"] == digest.of_folder(desk.folder / "images")

    def test_the_rows_of_the_evidence_hold_no_picture(self, desk, album):
        import pyarrow.parquet as pq

        album()
        subject = desk.load(DECIDED, test=TEST, target="y", id="file")
        table = pq.read_table(io.BytesIO(card.rows_file(subject)))
        assert table.column("content").to_pylist() == [
            digest_of(picture).hex() for picture in subject.test.frame["image"]
        ]
        assert {str(column.type) for column in table.columns} <= {"string", "int64", "double"}


def test_a_real_archive_of_pictures(shared_data, tmp_path):
    folder = shared_data / "img_cifar10_test1000"
    spec = Spec(
        system={"name": "cifar"},
        model={"format": "predictions", "prediction": "labels", "task": "classification"},
        data={"test": {"path": str(folder / "cifar10_test1000.npz")}, "target": "labels"},
        file=str(tmp_path / "audit.yaml"),
    )
    subject = load(spec)
    assert subject.test.n == 1000
    assert {picture.shape for picture in subject.test.frame["image"]} == {(32, 32, 3)}
    assert set(subject.facts["base_rates"]["test"].values()) == {100}


def test_real_photographs(shared_data, tmp_path):
    folder = shared_data / "img_cc0_textures_photos"
    spec = Spec(
        system={"name": "t"}, model={}, data={"test": {"path": str(folder)}}, file=str(tmp_path / "a.yaml")
    )
    from xai_audit.loaders.mistakes import Mistakes

    cells = images.read(spec.data.test, "data.test", Mistakes(spec))
    assert [name for name in cells.columns["file"].to_pylist()] == [  # noqa: C416
        "brick.png", "camera.png", "chelsea.png", "coffee.png", "grass.png", "gravel.png",
    ]  # fmt: skip
    assert "class" not in cells.columns
