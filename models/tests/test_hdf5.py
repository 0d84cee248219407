"""Recordings: files of the plain ADC2021 layout, our own, and files that are neither."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from l1models import hdf5, layout
from l1models.errors import InputRefused


def events(count: int, seed: int = 1) -> np.ndarray:
    """Random muons with a jet, in float32 as the files hold them."""
    rng = np.random.default_rng(seed)
    objects = np.zeros((count, layout.OBJECTS, 4), dtype=np.float32)
    for slot in (0, 5, 9):
        objects[:, slot, 0] = rng.uniform(25, 90, count)
        objects[:, slot, 1] = rng.uniform(-2, 2, count) if slot else 0
        objects[:, slot, 2] = rng.uniform(-3.14, 3.14, count)
        objects[:, slot, 3] = layout.CLASS_OF_SLOT[slot]
    return objects


@pytest.fixture
def adc2021(tmp_path: Path) -> Path:
    """A file as the challenge publishes it: three datasets, nothing of ours."""
    path = tmp_path / "adc.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("Particles", data=events(100), chunks=(32, 19, 4), compression="gzip")
        file["Particles_Classes"] = np.array([b"MET_class_1", b"Four_Ele_class_2", b"Four_Mu_class_3", b"Jet_class_4"])
        file["Particles_Names"] = np.array([b"Pt", b"Eta", b"Phi", b"Class"])
    return path


def test_a_plain_adc2021_file_is_one_background_of_independent_events(adc2021: Path) -> None:
    assert hdf5.contents(adc2021) == hdf5.Contents(100, ("background",), (True,))
    read = hdf5.read(adc2021)
    assert np.array_equal(read.codes, layout.to_codes(events(100)))
    assert not read.process.any()
    assert read.source_group.tolist() == list(range(100))


def test_blocks_are_the_file_in_order(adc2021: Path) -> None:
    parts = list(hdf5.blocks(adc2021, start=10, stop=95, size=40))
    assert [len(part) for part in parts] == [40, 40, 5]
    assert np.array_equal(np.concatenate([part.codes for part in parts]), hdf5.read(adc2021, 10, 95).codes)
    assert parts[1].source_group[0] == 50


def recording(count: int) -> hdf5.Recording:
    process = np.arange(count, dtype=np.int16) % 2
    return hdf5.Recording(events(count), process, np.arange(count, dtype=np.int64) // 3, ("W", "A4l"), (True, False))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "ours.h5"
    hdf5.write(path, recording(5000), {"seed": 4, "command": "models/run generate"})
    assert hdf5.contents(path) == hdf5.Contents(5000, ("W", "A4l"), (True, False))
    read = hdf5.read(path)
    assert np.array_equal(read.codes, layout.to_codes(events(5000)))
    assert np.array_equal(read.process, recording(5000).process)
    assert np.array_equal(read.source_group, recording(5000).source_group)
    with h5py.File(path) as file:
        assert file.attrs["seed"] == 4
        assert np.array_equal(file["Particles"][()], events(5000))


def test_the_same_recording_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        hdf5.write(tmp_path / name, recording(300), {"seed": 4})
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_files_that_are_not_of_the_layout_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.h5"
    text.write_text("not HDF5")
    with pytest.raises(InputRefused, match=r"text\.h5: not a readable HDF5 file"):
        hdf5.contents(text)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["Particles"] = np.zeros((4, 18, 4), dtype=np.float32)
    with pytest.raises(
        InputRefused, match=r"expected a dataset Particles of shape \(N, 19, 4\), received \(4, 18, 4\)"
    ):
        hdf5.contents(other)


def test_a_bad_event_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.h5"
    objects = events(10)
    objects[7, 0, 0] = np.nan
    with h5py.File(path, "w") as file:
        file["Particles"] = objects
    with pytest.raises(InputRefused, match=r"bad\.h5: events 0\.\.9: .*not finite"):
        hdf5.read(path)


FIXTURES = Path(__file__).parents[2] / "test" / "fixtures"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounds_as_the_stream_does(tmp_path: Path, dtype: type[np.floating]) -> None:
    path = tmp_path / "background.h5"
    with h5py.File(FIXTURES / "adc2021-sample.h5") as file, h5py.File(path, "w") as copy:
        copy["Particles"] = file["Particles"][()].astype(dtype)
    # The words that the stream's tests hold its own reader to.
    expected = np.fromfile(FIXTURES / "adc2021-sample.words.bin", "<u4").reshape(-1, layout.OBJECTS)
    assert np.array_equal(layout.to_words(hdf5.read(path).codes), expected)


def test_objects_in_another_order_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "order.h5"
    objects = events(10)
    objects[3, 5, 3] = 2
    with h5py.File(path, "w") as file:
        file["Particles"] = objects
    with pytest.raises(InputRefused, match=r"object 5 of event 3.*expected class 3, received 2"):
        hdf5.read(path)
