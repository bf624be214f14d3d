import os
import pickle

import numpy as np
import pytest

from kpl.captures.unpickle import load_dict
from kpl.errors import BadInput


class Call:
    """Pickles as a call of `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def write(path, value, protocol=None):
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_survive_every_protocol(tmp_path, protocol):
    rng = np.random.default_rng(0)
    content = {
        "c": rng.normal(size=(106, 3)),
        "fortran": np.asfortranarray(rng.normal(size=(4, 5))),
        "strided": rng.normal(size=(8, 6))[::2, ::3],
        "single": np.arange(3, dtype=np.float32),
        "big endian": np.arange(4, dtype=">f8"),
        "int": np.arange(5),
        "number": 3,
        "text": "plain",
        "list": [1.0, 2.0],
    }
    read = load_dict(write(tmp_path / "truth.pkl", content, protocol))
    assert set(read) == set(content)
    for name, value in content.items():
        np.testing.assert_array_equal(read[name], value)
    assert read["single"].dtype == np.float32 and read["c"].flags.writeable


@pytest.mark.parametrize("names", [(b"numpy._core.", b"numpy.core."), (b"numpy.core.", b"numpy._core.")])
def test_numpy_1_and_2_name_their_modules_differently(tmp_path, names):
    data = pickle.dumps({"a": np.arange(6.0).reshape(2, 3)}, protocol=2)  # names stand there as text, to be exchanged
    assert names[0] in data or names[1] in data
    (tmp_path / "truth.pkl").write_bytes(data.replace(*names))
    np.testing.assert_array_equal(load_dict(tmp_path / "truth.pkl")["a"], np.arange(6.0).reshape(2, 3))


def test_a_python_2_pickle_is_read(tmp_path):
    data = np.arange(3.0).tobytes().decode("latin1").encode("unicode_escape").replace(b"'", b"\\'")
    (tmp_path / "old.pkl").write_bytes(
        b"(dS'00001/01'\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I3\nt"
        b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'" + data + b"'\ntbs."
    )
    np.testing.assert_array_equal(load_dict(tmp_path / "old.pkl")["00001/01"], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_bomb_does_not_go_off(tmp_path, nested, protocol):
    crater = tmp_path / "crater"
    bomb = Call(os.system, f"touch {crater}")
    content = {"00001/01": np.zeros((106, 3)), "x": [{"y": (bomb,)}]} if nested else bomb
    with pytest.raises(BadInput, match=r"truth\.pkl .*asks for (posix|nt)\.system"):
        load_dict(write(tmp_path / "truth.pkl", content, protocol))
    assert not crater.exists()


@pytest.mark.parametrize(
    "function, arguments",
    [(eval, ("1 + 1",)), (getattr, (1, "real")), (np.load, ("x.npy",)), (np.frombuffer, (b"12345678",)), (print, ())],
)
def test_other_functions_are_refused_by_name(tmp_path, function, arguments):
    with pytest.raises(BadInput, match=rf"bad\.pkl .*asks for .*{function.__name__}"):
        load_dict(write(tmp_path / "bad.pkl", {"a": Call(function, *arguments)}))


@pytest.mark.parametrize(
    "array", [np.array([{}, None], dtype=object), np.array(["text"]), np.zeros(2, dtype=[("x", "f8")])]
)
@pytest.mark.parametrize("protocol", [2, 5])
def test_arrays_of_anything_but_numbers_are_refused(tmp_path, array, protocol):
    with pytest.raises(BadInput, match="objects.pkl"):
        load_dict(write(tmp_path / "objects.pkl", {"a": array}, protocol))


def test_bytes_that_do_not_fit_the_shape_are_refused(tmp_path):
    data = pickle.dumps({"a": np.arange(3, dtype=np.int8)}, protocol=4)
    lying = data.replace(b"K\x03\x85", b"K\x63\x85")  # the shape (3,) becomes (99,)
    assert lying != data
    (tmp_path / "short.pkl").write_bytes(lying)
    with pytest.raises(BadInput, match="buffer size does not match array size"):
        load_dict(tmp_path / "short.pkl")


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps({"a": np.zeros(99)})[:-40]])
def test_damaged_files_are_said(tmp_path, content):
    (tmp_path / "damaged.pkl").write_bytes(content)
    with pytest.raises(BadInput, match="damaged.pkl"):
        load_dict(tmp_path / "damaged.pkl")


@pytest.mark.parametrize("content", [[1, 2], np.zeros(3), {1: np.zeros(3)}])
def test_anything_but_a_dict_of_names_is_refused(tmp_path, content):
    with pytest.raises(BadInput, match="list.pkl .*does not hold a dict"):
        load_dict(write(tmp_path / "list.pkl", content))


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(BadInput, match="nowhere.pkl cannot be read"):
        load_dict(tmp_path / "nowhere.pkl")
