#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden files of the format tests: python tools/golden_formats.py [folder].

Needs numpy 2; makes made.safetensors only if the package safetensors is installed. The files are kept in the repository under
src/test/resources/formats; building and testing needs no Python.
"""
import collections
import io
import os
import pickle
import struct
import sys
import warnings

import numpy as np

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
    os.path.dirname(__file__), "..", "src", "test", "resources", "formats")
FLOC_FACES = {0: "Unknown", 1: "OFA", 2: "FFA-1", 3: "FFA-2", 4: "mTL-faces", 5: "aTL-faces"}


def path(name):
    return os.path.join(OUT, name)


def object_file(name, payload):
    """A 0-d object npy with this pickle, as numpy.save writes it but with any protocol."""
    with open(path(name), "wb") as f:
        np.lib.format.write_array_header_1_0(f, {"descr": "|O", "fortran_order": False, "shape": ()})
        f.write(payload)


def old_names(payload):
    """numpy 1's module name in place of numpy 2's: a shorter string, so lengths before it change too."""
    new, old = b"numpy._core.multiarray", b"numpy.core.multiarray"
    payload = payload.replace(b"\x8c" + bytes([len(new)]) + new, b"\x8c" + bytes([len(old)]) + old)
    payload = payload.replace(b"c" + new, b"c" + old)
    if payload[2:3] == b"\x95":
        payload = payload[:3] + struct.pack("<Q", struct.unpack("<Q", payload[3:11])[0] - 1) + payload[11:]
    return payload


def headers():
    """Files with headers of many forms, one a line: the file in hex, and the numbers that numpy.load reads, or refused."""
    usual = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    texts = [usual.replace("'<f4'", repr(d)) for d in (
        "=f4", "|f4", ">f4", "f4", "f", "<f", "float32", "single", "<float32", "<f8", ">f8", "f8", "d", "double", "float", "float64",
        "<f2", ">f2", "e", "half", "float16", "|i1", "<i1", "b", "byte", "int8", "<i2", ">i2", "h", "short", "int16", "<i4", ">i4",
        "i", "intc", "int32", "<i8", ">i8", "q", "l", "=l", "long", "int", "int_", "longlong", "intp", "int64", "|u1", "B", "ubyte",
        "uint8", "<u2", ">u2", "H", "ushort", "uint16", "<u4", ">u4", "I", "uintc", "uint32", "<u8", ">u8", "Q", "L", "ulong", "uint",
        "ulonglong", "uint64", "|b1", "?", "|?", "bool", "bool_", "", "f5", "Float32", " f4", "f4 ", "<", "O", "|O")]
    texts += [usual.replace(a, b) for a, b in (
        (" ", "\t"), (" ", ""), (" ", "\r\n"), (", }", "}"), (", }", " , }"), ("'", '"'), ("'descr'", "u'descr'"), ("3)", "3,)"),
        ("2, 3", "6,"), ("2, 3", "6"), ("2, 3", "1, 6, 1"), ("2, 3", "02, 3"), ("2, 3", "-2, -3"), ("2, 3", "2., 3"), ("2, 3", ""),
        ("False", "True"), ("False", "0"), ("False", "false"), ("{", "  {"), ("}", "}  \n"), ("}", "}}"), ("}", "} #"),
        ("'shape'", "'Shape'"), (", 'shape': (2, 3)", ""))]
    texts += [usual.replace("2, 3", n) for n in ("2L, 3L", "2L, 3")]
    texts.append("{'shape': (2, 3), 'fortran_order': True, 'descr': '>f8'}\n")
    texts.append("{'shape': (2, 3, 2), 'fortran_order': True, 'descr': '<i2'}")
    lines = []
    for text, version in [(t, 1) for t in texts] + [(usual, 2), (usual, 3), (usual.replace("2, 3", "2L, 3"), 3), (usual, 4)]:
        h = text.encode()
        start = b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(h)) + h
        # numpy.load does not mind bytes behind the data; ours does, so that each file has as many as its header says.
        file, read = start + bytes(range(1, 200)), "refused"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy warns of Python 2's integers
            try:
                array = np.load(io.BytesIO(file))
                top = 2 if array.dtype.kind == "b" else 120
                file = start + bytes((i + 1) % top for i in range(array.nbytes))
                read = ",".join(repr(float(x)) for x in np.load(io.BytesIO(file)).ravel(order="C"))
            except Exception:  # of many types, even tokenize.TokenError
                pass
        lines.append(file.hex() + " " + read)
    with open(path("headers.txt"), "w") as f:
        f.write("\n".join(lines) + "\n")


def main():
    os.makedirs(OUT, exist_ok=True)
    array = np.array(FLOC_FACES, dtype=object)
    np.save(path("mapping_saved.npy"), FLOC_FACES, allow_pickle=True)
    for protocol in range(6):
        payload = pickle.dumps(array, protocol=protocol)
        object_file(f"mapping_p{protocol}_numpy2.npy", payload)
        object_file(f"mapping_p{protocol}_numpy1.npy", old_names(payload))
    scalars = {np.int64(0): np.str_("Unknown"), np.uint8(7): np.str_("parietal"), np.int16(-3): np.str_("V1v")}
    for protocol in (2, 3, 4, 5):
        object_file(f"mapping_scalars_p{protocol}.npy", pickle.dumps(np.array(scalars, dtype=object), protocol=protocol))
    # Keys and shapes that scripts save by accident and numpy.load gives back.
    object_file("mapping_keys.npy", pickle.dumps(np.array({"1": "V1v", 2.0: "V1d", np.int64(3): "V2v"}, dtype=object), protocol=4))
    for protocol in (0, 2, 5):
        for name, kind in (("ordered", collections.OrderedDict), ("default", lambda d: collections.defaultdict(str, d))):
            object_file(f"mapping_{name}_p{protocol}.npy",
                        pickle.dumps(np.array(kind(FLOC_FACES), dtype=object), protocol=protocol))
    object_file("mapping_float_scalars.npy", pickle.dumps(np.array(
        {np.float64(1): "V1v", np.float32(2): "V1d", np.float16(3): "V2v"}, dtype=object), protocol=4))
    object_file("mapping_true.npy", pickle.dumps(np.array({True: "V1v"}, dtype=object), protocol=4))
    object_file("mapping_true_scalar.npy", pickle.dumps(np.array({np.True_: "V1v"}, dtype=object), protocol=4))
    np.save(path("mapping_one_axis.npy"), np.array([{1: "V1v", 2: "V1d"}], dtype=object), allow_pickle=True)
    np.save(path("mapping_inverted.npy"), {"V1v": 1}, allow_pickle=True)
    np.save(path("mapping_text.npy"), np.array(["Unknown", "V1v"]))
    # A pickle as Python 2 wrote it, by hand: a Python 2 str is a byte string.
    object_file("mapping_python2.npy",
                b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85U\x01b\x87R"
                b"(K\x01)cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
                b"\x89]}(K\x00U\x07UnknownK\x01U\x03V1vuatb.")

    # The bytes that the engine's own writer makes: protocol 3 with numpy 1's names, without memo entries.
    object_file("mapping_written.npy",
                b"\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
                b"(K\x01)cnumpy\ndtype\nX\x02\x00\x00\x00O8\x89\x88\x87R"
                b"(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89]}("
                + b"".join(b"J" + struct.pack("<i", k) + b"X" + struct.pack("<I", len(v)) + v.encode()
                           for k, v in FLOC_FACES.items()) + b"uatb.")
    warnings.simplefilter("error")
    for name in ("mapping_written.npy", "mapping_saved.npy", "mapping_p2_numpy1.npy", "mapping_p4_numpy1.npy"):
        assert np.load(path(name), allow_pickle=True).item() == FLOC_FACES, name

    values = np.array([[0.5, -1.25, 3], [1e-3, 11, -14]])
    for dtype in ("<f2", "<f4", "<f8"):
        np.save(path(f"array_{dtype[1:]}.npy"), values.astype(dtype))
    np.save(path("array_empty.npy"), np.zeros((0, 5), "<f4"))
    np.save(path("array_0d.npy"), np.float32(2.5))
    np.save(path("array_fortran.npy"), np.asfortranarray(values.astype("<f4")))
    np.save(path("array_big_endian.npy"), values.astype(">f4"))
    np.save(path("array_complex.npy"), values.astype("<c8"))
    np.save(path("array_structured.npy"), np.zeros(2, [("a", "<f4"), ("b", "<i4")]))
    np.save(path("array_nan.npy"), np.array([[0, 1, 2], [3, 4, np.nan]], "<f4"))
    for version in ((2, 0), (3, 0)):
        with open(path(f"array_v{version[0]}.npy"), "wb") as f:
            np.lib.format.write_array(f, values.astype("<f4"), version=version)
    mask = np.array([0, 1, 1, 0, 7])
    for dtype in ("|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8"):
        np.save(path(f"mask_{dtype[1:]}.npy"), mask.astype(dtype))
    np.save(path("mask_u4_too_large.npy"), np.array([0, 2**31], "<u4"))

    np.save(path("mask_f8.npy"), mask.astype("<f8"))
    np.save(path("mask_f8_not_whole.npy"), np.array([0, 1.5]))
    np.save(path("mask_column.npy"), mask.reshape(-1, 1).astype(">i2"))
    headers()

    try:
        from safetensors.numpy import save_file
    except ImportError:
        print("package safetensors is missing: made.safetensors not written")
        return
    save_file({"bias": np.array([1, -2.5], "<f4"), "a.half": np.array([[1, 65504], [2**-24, -0.5]], "<f2"),
               "steps": np.array(7, "<i8"), "double": np.array([0.1], "<f8"), "mask": np.array([1, 0, 255], "|u1"),
               "none": np.zeros((0, 4), "<f4"), "count": np.array([3], "<i4")},
              path("made.safetensors"), metadata={"note": "caf\u00e9"})
    os.chmod(path("made.safetensors"), 0o644)


if __name__ == "__main__":
    main()
