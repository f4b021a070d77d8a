"""What the tests of the library share."""

from collections.abc import Iterator

import keras
import pytest
import tf_keras


@pytest.fixture(scope="class")
def fresh_sessions() -> Iterator[None]:
    """Lets both Kerases forget the networks of a test, which they would keep."""
    yield
    keras.backend.clear_session()
    tf_keras.backend.clear_session()
