#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the colours and the letters of pictures: python tools/colourmaps.py [folder].

Needs matplotlib and fontTools, which comes with it. The files are kept in the repository under
src/main/resources/org/cortigan/surface; building and testing needs no Python.
"""
import os
import sys

import matplotlib
from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.ttLib import TTFont

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
    os.path.dirname(__file__), "..", "src", "main", "resources", "org", "cortigan", "surface")
MAPS = ("inferno", "viridis", "cividis", "magma")
# Latin with accents, Greek, dashes, and the signs that units and titles need.
LETTERS = [*range(0x20, 0x7f), *range(0xa0, 0x180), *range(0x391, 0x3a2), *range(0x3a3, 0x3ca),
           0x2013, 0x2014, 0x2018, 0x2019, 0x201c, 0x201d, 0x2026, 0x2070, *range(0x2074, 0x207a), 0x207b,
           *range(0x2080, 0x208a), 0x2190, 0x2192, 0x2212, 0x221a, 0x2248, 0x2260, 0x2264, 0x2265]


def colourmaps():
    """One line a map: its name and 256 colours, rrggbb."""
    for name in MAPS:
        table = (matplotlib.colormaps[name](range(256))[:, :3] * 255).round().astype(int)  # bytes=True cuts off
        yield name + " " + "".join("%02x%02x%02x" % tuple(c) for c in table)


def letters():
    """One line a letter: code, width, and its outline in 2048ths of the size, y up: M x y, L x y, Q x y x y, Z."""
    font = TTFont(os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"))
    assert font["head"].unitsPerEm == 2048
    names, glyphs = font.getBestCmap(), font.getGlyphSet()
    for code in [0xfffd, *LETTERS]:
        name = names.get(code, ".notdef")
        pen = DecomposingRecordingPen(glyphs)
        glyphs[name].draw(pen)
        path = []
        for command, points in pen.value:
            if command == "qCurveTo":  # points between the control points are left out in TrueType
                off = points[:-1]
                assert points[-1] is not None
                for i, c in enumerate(off):
                    end = points[-1] if i == len(off) - 1 else tuple((a + b) / 2 for a, b in zip(c, off[i + 1]))
                    path.append("Q%g %g %g %g" % (*c, *end))
            elif command == "closePath":
                path.append("Z")
            else:
                path.append({"moveTo": "M", "lineTo": "L"}[command] + "%g %g" % points[0])
        yield "%x %d %s" % (code, glyphs[name].width, "".join(path))


def main():
    for name, lines in (("colourmaps.txt", colourmaps()), ("letters.txt", letters())):
        with open(os.path.join(OUT, name), "w", encoding="ascii") as f:
            f.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
