"""Reading recordings, those of the ADC2021 challenge included."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from l1models import hdf5, layout
from l1models.errors import InputRefused

FIXTURES = Path(__file__).parents[2] / "test" / "fixtures"
ADC2021 = FIXTURES / "adc2021-sample.h5"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reads_the_challenge_layout_unchanged(tmp_path: Path, dtype: type[np.floating]) -> None:
    path = tmp_path / "background_for_training.h5"
    with h5py.File(ADC2021) as file, h5py.File(path, "w") as copy:
        count = len(file["Particles"])
        copy["Particles"] = file["Particles"][()].astype(dtype)
        for name in ("Particles_Names", "Particles_Classes"):
            copy[name] = file[name][()]
    assert hdf5.contents(path) == hdf5.Contents(count, ("background",), (True,))
    events = hdf5.read(path)
    # The words that the stream's tests hold its own reader to.
    expected = np.fromfile(FIXTURES / "adc2021-sample.words.bin", "<u4").reshape(-1, layout.OBJECTS)
    np.testing.assert_array_equal(layout.to_words(events.codes), expected)
    assert len(set(events.source_group.tolist())) == count


def test_knows_our_processes_and_groups() -> None:
    assert hdf5.contents(ADC2021).process_names == ("W", "A4l", "Z", "QCD", "LQ")
    assert hdf5.contents(ADC2021).background == (True, False, True, True, False)
    assert len(set(hdf5.read(ADC2021).source_group.tolist())) < hdf5.contents(ADC2021).events


def test_blocks_are_the_whole() -> None:
    whole = hdf5.read(ADC2021)
    parts = list(hdf5.blocks(ADC2021, size=7))
    np.testing.assert_array_equal(np.concatenate([part.codes for part in parts]), whole.codes)
    np.testing.assert_array_equal(np.concatenate([part.source_group for part in parts]), whole.source_group)


def altered(tmp_path: Path, slot: int, column: int, value: float) -> Path:
    path = tmp_path / "altered.h5"
    with h5py.File(ADC2021) as file, h5py.File(path, "w") as copy:
        particles = file["Particles"][()]
        particles[3, slot] = (30, 0, 0, layout.CLASS_OF_SLOT[slot])
        particles[3, slot, column] = value
        copy["Particles"] = particles
    return path


def test_objects_in_another_order_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"object 2 of event 3.*expected class 2, received 3"):
        hdf5.read(altered(tmp_path, 2, 3, 3))


def test_values_off_the_grid_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match=r"altered\.h5: events 0\.\.\d+: .*phi"):
        hdf5.read(altered(tmp_path, 9, 2, 4.0))


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.h5"
    text.write_text("no HDF5")
    with pytest.raises(InputRefused, match="not a readable HDF5 file"):
        hdf5.read(text)
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["Particles"] = np.zeros((4, 18, 4))
    with pytest.raises(InputRefused, match=r"expected a dataset Particles of shape \(N, 19, 4\), received \(4, 18"):
        hdf5.read(other)
