"""Settings and fixtures that every test shares."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

from nn.data.download import MNIST_MD5

ROOT = Path(__file__).resolve().parent.parent

# A busy machine must not fail a test, so nothing is timed. In CI the same examples run every time,
# and three times as many.
settings.register_profile(
    "project",
    max_examples=15,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "project-ci", settings.get_profile("project"), max_examples=45, derandomize=True
)
# For a search by hand: pytest --hypothesis-profile=thorough
settings.register_profile("thorough", settings.get_profile("project"), max_examples=2000)
settings.load_profile("project-ci" if os.environ.get("CI") == "true" else "project")


def pytest_configure(config: pytest.Config) -> None:
    """Leave BLAS one thread in each process of pytest-xdist: they share the cores already."""
    gc.disable()  # what is loaded now stays to the end
    if hasattr(config, "workerinput"):
        threadpool_limits(1)


def pytest_collection_finish() -> None:
    """Spare the garbage collector the thousands of tests, which it would look at ever again."""
    gc.freeze()
    gc.set_threshold(10_000)
    gc.enable()


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder of the real MNIST: $CRYPTONETS_DATA, else ../shared/data/mnist; or a skip."""
    variable = os.environ.get("CRYPTONETS_DATA")
    folder = Path(variable) if variable else ROOT.parent / "shared" / "data" / "mnist"
    missing = [name for name in MNIST_MD5 if not (folder / name).is_file()]
    if missing:
        pytest.skip(f"MNIST is not in {folder} ({missing[0]} is missing): set CRYPTONETS_DATA")
    return folder
