#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden surface meshes of the format tests: python tools/golden_meshes.py [folder].

Needs numpy and nibabel, which writes the files and reads them back. They are kept in the repository under
src/test/resources/formats; building and testing needs no Python.
"""
import gzip
import os
import sys

import nibabel as nib
import numpy as np
from nibabel.gifti import GiftiDataArray, GiftiImage

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
    os.path.dirname(__file__), "..", "src", "test", "resources", "formats")


def path(name):
    return os.path.join(OUT, name)


def icosahedron():
    """12 points, moved a little so that no coordinate is round, and 20 triangles, each seen from outside."""
    g = (1 + 5 ** 0.5) / 2
    p = np.array([(0, a, b * g) for a in (-1, 1) for b in (-1, 1)])
    p = np.concatenate([p, np.roll(p, 1, 1), np.roll(p, 2, 1)])
    near = np.isclose(np.linalg.norm(p[:, None] - p[None], axis=2), 2)
    t = [(i, j, k) for i in range(12) for j in range(i) for k in range(j) if near[i, j] and near[j, k] and near[i, k]]
    t = [(i, j, k) if np.linalg.det(p[[i, j, k]]) > 0 else (i, k, j) for i, j, k in t]
    return (p * 31.7 + np.random.default_rng(0).normal(size=p.shape)).astype("<f4"), np.array(t, "<i4")


def save(name, points, triangles, encoding, big_endian=False, columns=False, types=("FLOAT32", "INT32")):
    """nibabel writes rows in the machine's byte order; for other forms this changes the bytes and the attribute."""
    arrays = []
    for data, intent, kind in ((points, "NIFTI_INTENT_POINTSET", types[0]), (triangles, "NIFTI_INTENT_TRIANGLE", types[1])):
        raw = np.ascontiguousarray(data.T).reshape(data.shape) if columns else data
        arrays.append(GiftiDataArray(raw.byteswap() if big_endian else raw, intent=intent, encoding=encoding,
                                     datatype="NIFTI_TYPE_" + kind))
    text = GiftiImage(darrays=arrays).to_xml(mode="force")  # also element types that GIFTI 1.0 lacks
    if big_endian:
        text = text.replace(b"LittleEndian", b"BigEndian")
    if columns:
        text = text.replace(b"RowMajorOrder", b"ColumnMajorOrder")
    with open(path(name), "wb") as f:
        f.write(text if not name.endswith(".gz") else gzip.compress(text, mtime=0))
    back = nib.GiftiImage.from_bytes(text)
    assert np.array_equal(back.agg_data("pointset"), points), name
    assert np.array_equal(back.agg_data("triangle"), triangles), name


def main():
    points, triangles = icosahedron()
    np.save(path("mesh_points.npy"), points)
    np.save(path("mesh_triangles.npy"), triangles)
    nib.freesurfer.write_geometry(path("mesh.white"), points, triangles, create_stamp="made by nibabel")
    assert np.array_equal(nib.freesurfer.read_geometry(path("mesh.white"))[0].astype("<f4"), points)
    save("mesh_base64.gii", points, triangles, "GIFTI_ENCODING_B64BIN")
    for name, real, whole in (("64", "f8", "i8"), ("16", "f8", "u2"), ("32", "f4", "u4")):
        save(f"mesh_types_{name}.gii", points.astype(real), triangles.astype(whole), "GIFTI_ENCODING_B64GZ",
             columns=name == "64", types=[np.dtype(t).name.upper() for t in (real, whole)])
    save("mesh_gzip.gii", points, triangles, "GIFTI_ENCODING_B64GZ")
    save("mesh_gzip.gii.gz", points, triangles, "GIFTI_ENCODING_B64GZ")
    # Types as a script's arrays have them: indices from a table of floats, points of whole numbers
    save("mesh_types_swapped.gii", np.rint(points).astype("i4"), triangles.astype("f4"), "GIFTI_ENCODING_B64GZ",
         types=("INT32", "FLOAT32"))
    save("mesh_big_endian.gii", points, triangles, "GIFTI_ENCODING_B64GZ", big_endian=True)
    save("mesh_columns.gii", points, triangles, "GIFTI_ENCODING_B64BIN", columns=True)
    # nibabel writes text with six decimals: use coordinates that six decimals hold exactly
    save("mesh_ascii.gii", np.round(points * 16) / 16, triangles, "GIFTI_ENCODING_ASCII")


if __name__ == "__main__":
    main()
