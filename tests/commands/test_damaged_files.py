"""Every reader of files bears damaged ones: a small run of `tests/benchmarks/fuzz_readers.py`."""

import pytest

from benchmarks.fuzz_readers import fuzz, readers
from yashe.errors import FheError

READERS = readers()


@pytest.mark.parametrize("name", READERS)
def test_of_a_damaged_file_comes_a_thing_or_our_error_and_little_memory(name):
    found = fuzz(READERS[name], name, 100, seed=2)
    assert found.refused
    assert found.read + sum(found.refused.values()) == 100


@pytest.mark.parametrize("name", READERS)
def test_the_good_files_from_which_the_damaged_ones_are_made_are_read(name, tmp_path):
    reader, refusals = READERS[name], []
    for i, content in enumerate(reader.seeds):
        path = tmp_path / f"{i}{reader.suffix}"
        path.write_bytes(content)
        try:
            reader.read(path)
        except FheError as error:
            refusals.append(str(error))
    secret = "a secret key is read by load_secret_key only"
    assert refusals == ([secret] * 3 if name == "wire" else [])
