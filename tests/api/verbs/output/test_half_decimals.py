"""The shortest decimals of float16."""

import numpy as np
import orjson

from app.api.verbs.output.half_decimals import half_decimals

HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16)
FINITE = HALVES[np.isfinite(HALVES)]


def test_every_float16_is_written_as_numpy_writes_it() -> None:
    assert half_decimals(FINITE).tolist() == [float(str(value)) for value in FINITE]


def test_decimals_give_each_float16_back_also_through_float32() -> None:
    written = orjson.dumps(half_decimals(FINITE), option=orjson.OPT_SERIALIZE_NUMPY)
    read = np.array(orjson.loads(written))
    np.testing.assert_array_equal(read.astype(np.float16).view(np.uint16), FINITE.view(np.uint16))
    narrow = read.astype(np.float32).astype(np.float16)
    np.testing.assert_array_equal(narrow.view(np.uint16), FINITE.view(np.uint16))


def test_the_decimals_have_the_shape_of_the_values() -> None:
    values = np.array([[0.1, -2], [0, 65504]], np.float16)
    assert half_decimals(values).tolist() == [[0.1, -2.0], [0.0, 65500.0]]
