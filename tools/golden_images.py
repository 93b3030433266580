#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden file of the picture tests: python tools/golden_images.py [file].

Needs Pillow 12, numpy and opencv-python-headless (which writes subsamplings that Pillow does not). The file is kept in the
repository as src/test/resources/images/pictures.zip; building and testing needs no Python.

The archive has pictures, and beside each NAME.png or NAME.jpg a NAME.ppm with the RGB bytes that Pillow's convert("RGB") gives.
The exception is 16-bit grey, of which Pillow clips all above 255: the high byte is expected, as Pillow takes it of 16-bit grey
with alpha, RGB and RGBA. For a picture with an EXIF orientation there is also a NAME.upright.ppm, turned by Pillow. Pictures
without a .ppm are to be refused, with the words that the test names.
"""
import io
import os
import struct
import sys
import zipfile
import zlib

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
    os.path.dirname(__file__), "..", "src", "test", "resources", "images", "pictures.zip")
RNG = np.random.default_rng(1)
W, H = 18, 9
FILES = {}


def smooth(channels, top=255):
    """A picture of waves, u16 [H, W, channels] from 0 to top: chroma varies slowly, as in photographs."""
    y, x = np.mgrid[0:H, 0:W]
    waves = [np.sin(0.31 * x + 0.23 * y + 1.7 * c) * np.cos(0.11 * x - 0.37 * y + c) for c in range(channels)]
    return np.rint((np.stack(waves, -1) + 1) / 2 * top).astype(np.uint16)


def expect(name, data, rgb=None):
    """Files a picture and what Pillow reads in it."""
    FILES[name] = data
    stem = name.rsplit(".", 1)[0]
    image = Image.open(io.BytesIO(data))
    orientation = image.getexif().get(0x0112, 1)
    if rgb is None:
        assert image.mode != "I;16"
        rgb = image.convert("RGB")
    else:
        rgb = Image.fromarray(rgb)
    assert stem + ".ppm" not in FILES, stem
    FILES[stem + ".ppm"] = ppm(rgb)
    if orientation != 1:
        rgb.getexif()[0x0112] = orientation
        FILES[stem + ".upright.ppm"] = ppm(ImageOps.exif_transpose(rgb))


def ppm(image):
    out = io.BytesIO()
    image.save(out, "ppm")
    return out.getvalue()


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "jpeg", **options)
    return out.getvalue()


# PNG, by hand, because Pillow writes neither interlaced files nor 2- and 4-bit grey nor 16 bits but grey.
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def rows(a, depth):
    """The bytes of the rows of a [h, w, channels], each with filter 0, 1 or 2."""
    h, w, c = a.shape
    if depth == 16:
        packed = a.astype(">u2").reshape(h, -1).view(np.uint8)
    elif depth == 8:
        packed = a.astype(np.uint8).reshape(h, -1)
    else:
        bits = (a.reshape(h, -1, 1) >> np.arange(depth - 1, -1, -1)) & 1
        packed = np.packbits(bits.reshape(h, -1).astype(np.uint8), axis=1)
    step = max(1, c * depth // 8)
    out = b""
    for i in range(h):
        row = packed[i].astype(int)
        kind = i % 3
        if kind == 1:
            row = row - np.concatenate([np.zeros(step, int), row[:-step]])[:len(row)]
        elif kind == 2:
            row = row - (packed[i - 1] if i else 0)
        out += bytes([kind]) + (row & 255).astype(np.uint8).tobytes()
    return out


def png(a, depth, kind, interlaced=False, chunks=(), palette=None):
    h, w = a.shape[:2]
    a = a.reshape(h, w, -1)
    assert a.shape[2] == CHANNELS[kind]
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
        parts = [a[y::dy, x::dx] for y, x, dy, dx in passes]
        data = b"".join(rows(p, depth) for p in parts if p.size)
    else:
        data = rows(a, depth)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, interlaced))
    before = {b"iCCP", b"gAMA", b"cHRM", b"sRGB"}
    out += b"".join(chunk(k, b) for k, b in chunks if k in before)
    if palette is not None:
        out += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    out += b"".join(chunk(k, b) for k, b in chunks if k not in before)
    packed = zlib.compress(data, 9)
    half = len(packed) // 2
    return out + chunk(b"IDAT", packed[:half]) + chunk(b"IDAT", packed[half:]) + chunk(b"IEND", b"")


def p3():
    """A profile of matrix type whose primaries are not those of sRGB: red and green are swapped."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red:red + 4], profile[green:green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def exif(orientation, order="<"):
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    entries = struct.pack(order + "H", 2)
    entries += struct.pack(order + "HHII", 0x010F, 2, 3, 0x00424100)
    entries += struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return head + entries + struct.pack(order + "I", 0)


def pngs():
    profile = [(b"iCCP", b"p3\0\0" + zlib.compress(p3()))]
    variants = {
        "": {},
        "-interlaced": {"interlaced": True},
        "-icc": {"chunks": profile},
        "-gamma": {"chunks": [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100000)),
                              (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000))]},
        "-text": {"chunks": [(b"tEXt", b"Comment\0\xff"), (b"zTXt", b"broken\0\0no zlib"), (b"tIME", b"\0"), (b"pHYs", b"")]},
    }
    for kind, mode in ((0, "grey"), (2, "rgb"), (3, "palette"), (4, "grey-alpha"), (6, "rgba")):
        for depth in ((1, 2, 4, 8, 16) if kind == 0 else (1, 2, 4, 8) if kind == 3 else (8, 16)):
            a = smooth(CHANNELS[kind], (1 << depth) - 1)
            palette = RNG.integers(0, 256, (1 << depth, 3)) if kind == 3 else None
            extra = dict(variants)
            if kind == 0:
                extra["-trns"] = {"chunks": [(b"tRNS", struct.pack(">H", int(a[3, 3, 0])))]}
            if kind == 2:
                extra["-trns"] = {"chunks": [(b"tRNS", struct.pack(">3H", *map(int, a[3, 3])))]}
            if kind == 3:
                alphas = bytes(RNG.integers(0, 256, min(1 << depth, 5), dtype=np.uint8))
                extra["-trns"] = {"chunks": [(b"tRNS", alphas)]}
                extra["-trns-interlaced"] = {"chunks": [(b"tRNS", alphas)], "interlaced": True}
            for suffix, options in extra.items():
                data = png(a, depth, kind, palette=palette, **options)
                grey16 = np.repeat(a >> 8, 3, 2).astype(np.uint8) if kind == 0 and depth == 16 else None
                if suffix == "-text":  # Pillow refuses such chunks, which pixels do not need
                    plain = Image.open(io.BytesIO(png(a, depth, kind, palette=palette)))
                    grey16 = grey16 if grey16 is not None else np.asarray(plain.convert("RGB"))
                    FILES[f"{mode}-{depth}{suffix}.png"] = data
                    FILES[f"{mode}-{depth}{suffix}.ppm"] = ppm(Image.fromarray(grey16))
                else:
                    expect(f"{mode}-{depth}{suffix}.png", data, grey16)
    a = smooth(3)
    for o in range(1, 9):
        expect(f"exif-png-{o}.png", png(a, 8, 2, chunks=[(b"eXIf", exif(o, "<>"[o % 2]))]))
    few = np.zeros((H, W, 1), np.uint16) + np.arange(W).reshape(1, W, 1) % 3
    expect("palette-8-short.png", png(few, 8, 3, palette=RNG.integers(0, 256, (3, 3))))
    expect("rgb-8-suggested-palette.png", png(a, 8, 2, palette=RNG.integers(0, 256, (7, 3))))
    expect("rgb-8-one-pixel.png", png(a[:1, :1], 8, 2))
    expect("rgb-8-one-pixel-interlaced.png", png(a[:1, :1], 8, 2, interlaced=True))
    expect("rgb-8-trailing.png", png(a, 8, 2) + b"trailing garbage")
    out = io.BytesIO()
    frames = [Image.fromarray(np.roll(a, k, 1).astype(np.uint8)) for k in range(3)]
    frames[0].save(out, "png", save_all=True, append_images=frames[1:], duration=100)
    expect("rgb-8-animated.png", out.getvalue())


def segments(data):
    """The segments of a JPEG file up to its first scan, [marker, body], and the rest."""
    out, at = [], 2
    while data[at + 1] != 0xda:
        length = struct.unpack(">H", data[at + 2:at + 4])[0]
        out.append([data[at + 1], data[at + 4:at + 2 + length]])
        at += 2 + length
    return out, data[at:]


def join(parts, rest):
    return b"\xff\xd8" + b"".join(
        b"\xff" + bytes([m]) + struct.pack(">H", len(b) + 2) + b for m, b in parts) + rest


def edit(data, drop=(), ids=None, adobe=None, sof=None, bits=None):
    """A JPEG file with segments dropped or changed."""
    parts, rest = segments(data)
    parts = [p for p in parts if p[0] not in drop]
    rest = bytearray(rest)
    for p in parts:
        body = bytearray(p[1])
        if p[0] in (0xc0, 0xc2):
            if ids:
                for i, c in enumerate(ids):
                    body[6 + 3 * i] = rest[5 + 2 * i] = c
            if bits:
                body[0] = bits
            if sof:
                p[0] = sof
        if p[0] == 0xee and adobe is not None:
            body[11] = adobe
        p[1] = bytes(body)
    return join(parts, bytes(rest))


def add(data, marker, body, at=0):
    parts, rest = segments(data)
    parts.insert(at, [marker, body])
    return join(parts, rest)


def jpegs():
    rgb, grey = Image.fromarray(smooth(3).astype(np.uint8)), Image.fromarray(smooth(1).astype(np.uint8)[..., 0])
    ink = smooth(4).astype(np.uint8)
    cmyk = Image.frombytes("CMYK", (W, H), ink.tobytes())
    modes = {"grey": (grey, {}), "rgb": (rgb, {}), "stored-rgb": (rgb, {"keep_rgb": True}), "cmyk": (cmyk, {})}
    profile = p3()
    for name, (image, base) in modes.items():
        for suffix, options in {"": {}, "-progressive": {"progressive": True}, "-icc": {"icc_profile": profile},
                                "-broken-icc": {"icc_profile": b"no profile" * 20},
                                "-restart": {"restart_marker_blocks": 1}}.items():
            for sampling in ((0, 1, 2) if name == "rgb" else (0,)):
                label = ("-444", "-422", "-420")[sampling] if name == "rgb" else ""
                data = jpeg(image, quality=90, **base, **options, **({"subsampling": sampling} if name == "rgb" else {}))
                expect(f"{name}{label}{suffix}.jpg", data)
                if name == "cmyk":
                    expect(f"ycck{suffix}.jpg", edit(data, adobe=2))
                    expect(f"cmyk-without-adobe{suffix}.jpg", edit(data, drop=(0xee,)))
    plain = jpeg(rgb, quality=90, subsampling=0)
    sub = jpeg(rgb, quality=90, subsampling=2)
    bare = edit(plain, drop=(0xe0,))
    expect("rgb-without-jfif.jpg", bare)
    expect("rgb-without-jfif-420.jpg", edit(sub, drop=(0xe0,)))
    expect("ids-rgb.jpg", edit(bare, ids=b"RGB"))
    expect("ids-rgb-jfif.jpg", edit(plain, ids=b"RGB"))
    expect("ids-012.jpg", edit(bare, ids=b"\0\1\2"))
    expect("ids-photo-ycc.jpg", edit(bare, ids=b"\1\x22\x21"))
    adobe = b"Adobe\0\x64\0\0\0\0"
    for t in (0, 1, 2):
        expect(f"adobe-{t}.jpg", add(bare, 0xee, adobe + bytes([t])))
        expect(f"adobe-{t}-420.jpg", add(edit(sub, drop=(0xe0,)), 0xee, adobe + bytes([t])))
        expect(f"adobe-{t}-jfif.jpg", add(plain, 0xee, adobe + bytes([t]), 1))
    k = jpeg(cmyk, quality=90)
    expect("cmyk-adobe-1.jpg", edit(k, adobe=1))
    for q in (30, 100):
        expect(f"rgb-quality-{q}.jpg", jpeg(rgb, quality=q, subsampling=2))
        expect(f"cmyk-quality-{q}.jpg", jpeg(cmyk, quality=q))
    noise = Image.fromarray(RNG.integers(0, 256, (H, W, 3), dtype=np.uint8))
    for sampling in (0, 1, 2):
        expect(f"rgb-noise-{sampling}.jpg", jpeg(noise, quality=95, subsampling=sampling))
    expect("grey-sampled-2x2.jpg", grey_sampled(jpeg(grey, quality=90)))
    for name, factor in (("411", cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411), ("440", cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440)):
        ok, data = cv2.imencode(".jpg", np.asarray(rgb)[..., ::-1], [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor])
        assert ok
        expect(f"rgb-{name}.jpg", data.tobytes())
    for o in range(0, 10):
        body = b"Exif\0\0" + exif(o, "<>"[o % 2])
        if 1 <= o <= 8:
            expect(f"exif-{o}.jpg", add(plain, 0xe1, body, 1))
        else:  # no orientation of EXIF
            FILES[f"exif-{o}.jpg"] = add(plain, 0xe1, body, 1)
            FILES[f"exif-{o}.ppm"] = ppm(Image.open(io.BytesIO(plain)).convert("RGB"))
    for i, body in enumerate((b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\1\x12",
                              b"Exif\0\0garbage, not TIFF at all", b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>",
                              b"Exif\0\0II*\0\xf0\xff\xff\xff\0\0")):
        FILES[f"damaged-exif-{i}.jpg"] = add(plain, 0xe1, body, 1)
        FILES[f"damaged-exif-{i}.ppm"] = ppm(Image.open(io.BytesIO(plain)).convert("RGB"))
    expect("exif-6-without-jfif.jpg", add(bare, 0xe1, b"Exif\0\0" + exif(6)))
    expect("exif-before-jfif.jpg", add(plain, 0xe1, b"Exif\0\0" + exif(1)))
    out = io.BytesIO()
    rgb.save(out, "mpo", save_all=True, append_images=[noise], quality=90)
    expect("phone-mpo.jpg", out.getvalue())
    expect("trailing.jpg", plain + b"trailing garbage \xff\xd8\xff" * 9)
    expect("extraneous.jpg", plain[:-2] + b"\0\0\0\0" + plain[-2:])
    expect("fill-bytes.jpg", plain[:2] + b"\xff\xff\xff" + plain[2:])
    expect("comment.jpg", add(plain, 0xfe, b"\xff\xd9 a comment \xff\xc9"))
    expect("one-pixel.jpg", jpeg(rgb.crop((0, 0, 1, 1)), quality=90))
    expect("jfif-short-thumbnail.jpg", edit_jfif(plain))
    FILES["refused-12-bit.jpg"] = edit(plain, bits=12)
    FILES["refused-arithmetic.jpg"] = edit(plain, sof=0xc9)
    FILES["refused-lossless.jpg"] = edit(plain, sof=0xc3)
    FILES["refused-2-components.jpg"] = two_components(plain)


def orientations():
    """Places and types in which Pillow finds an orientation, or finds none where one seems to be."""
    a = smooth(3)
    plain = jpeg(Image.fromarray(a.astype(np.uint8)), quality=90, subsampling=0)

    def entry(order, kind, value, count=1, tag=0x112):
        return struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")

    def directory(order, *entries, behind=b""):
        head = b"II*\0" if order == "<" else b"MM\0*"
        return head + struct.pack(order + "IH", 8, len(entries)) + b"".join(entries) + bytes(4) + behind

    def packet(text):
        return b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description " + text + b"</x:xmpmeta>"

    exifs = {}
    for name, order in (("little", "<"), ("big", ">")):
        for kind, code in ((1, "B"), (3, "H"), (4, "I"), (6, "b"), (7, "B"), (8, "h"), (9, "i"), (11, "f"), (13, "I")):
            exifs[f"{name}-type-{kind}"] = directory(order, entry(order, kind, struct.pack(order + code, 6)))
        at = 8 + 2 + 12 + 4  # behind a directory of one entry
        for kind, value in ((5, struct.pack(order + "II", 12, 2)), (10, struct.pack(order + "ii", 12, 2)),
                            (12, struct.pack(order + "d", 6)), (3, struct.pack(order + "3H", 6, 1, 1))):
            exifs[f"{name}-behind-{kind}"] = directory(
                order, entry(order, kind, struct.pack(order + "I", at), 3 if kind == 3 else 1), behind=value)
        exifs[f"{name}-twice"] = directory(
            order, *(entry(order, 3, struct.pack(order + "H", o)) for o in (3, 6)))
        exifs[f"{name}-none-of-it"] = directory(order, entry(order, 3, struct.pack(order + "H", 6), 0))
        exifs[f"{name}-77"] = directory(order, entry(order, 4, struct.pack(order + "I", 77)))
    for name, block in exifs.items():
        expect(f"tag-{name}.jpg", add(plain, 0xe1, b"Exif\0\0" + block, 1))
    xmp = packet(b'tiff:Orientation="6">'), packet(b"><tiff:Orientation>8</tiff:Orientation>")
    app1 = b"http://ns.adobe.com/xap/1.0/\0"
    raw = lambda b: b"\nexif\n%8d\n" % len(b) + b"\n".join(b.hex().encode()[i:i + 72] for i in range(0, 2 * len(b), 72)) + b"\n"
    itxt = lambda text, packed=0: b"XML:com.adobe.xmp\0" + bytes([packed, 0]) + b"en\0key\0" + (
        zlib.compress(text) if packed else text)
    seven, one, without = exif(7, ">"), exif(1, "<"), directory("<", entry("<", 3, b"\1\0", tag=0x128))
    for name, parts in {
        "xmp": [app1 + xmp[0]], "xmp-element": [app1 + xmp[1]], "xmp-twice": [app1 + xmp[0], app1 + xmp[1]],
        "exif-and-xmp": [b"Exif\0\0" + seven, app1 + xmp[0]], "upright-exif-and-xmp": [app1 + xmp[0], b"Exif\0\0" + one],
        "other-exif-and-xmp": [b"Exif\0\0" + without, app1 + xmp[0]], "exif-in-parts": [
            b"Exif\0\0" + seven[:9], b"Exif\0\0" + seven[9:]], "exif-head-twice": [b"Exif\0\0Exif\0\0" + seven],
        "xmp-9": [app1 + packet(b'tiff:Orientation="9">')], "xmp-blanks": [app1 + packet(b'tiff:Orientation = "6">')],
    }.items():
        data = plain
        for i, part in enumerate(parts):
            data = add(data, 0xe1, part, 1 + i)
        expect(f"turned-{name}.jpg", data)
    for name, chunks in {
        "exif-head": [(b"eXIf", b"Exif\0\0" + seven)], "long": [(b"eXIf", exifs["big-type-4"])],
        "raw": [(b"tEXt", b"Raw profile type exif\0" + raw(b"Exif\0\0" + seven))],
        "raw-packed": [(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw(seven)))],
        "raw-and-exif": [(b"tEXt", b"Raw profile type exif\0" + raw(seven)), (b"eXIf", one)],
        "raw-without-and-xmp": [(b"tEXt", b"Raw profile type exif\0" + raw(without)), (b"iTXt", itxt(xmp[0]))],
        "text-exif": [(b"tEXt", b"exif\0" + seven)],
        "xmp": [(b"iTXt", itxt(xmp[0]))], "xmp-packed": [(b"iTXt", itxt(xmp[1], 1))],
        "xmp-in-text": [(b"tEXt", b"XML:com.adobe.xmp\0" + xmp[1])],
        "xmp-twice": [(b"iTXt", itxt(xmp[0])), (b"iTXt", itxt(xmp[1]))],
        "exif-and-xmp": [(b"iTXt", itxt(xmp[0])), (b"eXIf", seven)],
        "other-keyword": [(b"iTXt", itxt(xmp[0]).replace(b"XML:com", b"XML:org"))],
    }.items():
        expect(f"turned-png-{name}.png", png(a, 8, 2, chunks=chunks))
    few = np.arange(H * W, dtype=np.uint16).reshape(H, W, 1)
    for depth, colours in ((8, 100), (4, 5), (2, 3), (1, 1)):
        expect(f"palette-{depth}-beyond.png", png(few % (1 << depth), depth, 3, palette=255 - np.arange(3 * colours).reshape(-1, 3) % 256))


def grey_sampled(data):
    """One component with sampling factors 2 x 2, which mean nothing for a single one."""
    parts, rest = segments(data)
    for p in parts:
        if p[0] == 0xc0:
            body = bytearray(p[1])
            body[7] = 0x22
            p[1] = bytes(body)
    return join(parts, rest)


def edit_jfif(data):
    """A JFIF header that promises a thumbnail which is not there."""
    parts, rest = segments(data)
    assert parts[0][0] == 0xe0
    parts[0][1] = parts[0][1][:-2] + b"\x10\x10"
    return join(parts, rest)


def two_components(data):
    parts, rest = segments(data)
    for p in parts:
        if p[0] == 0xc0:
            p[1] = p[1][:5] + b"\2" + p[1][6:12]
    return join(parts, rest)


def main():
    pngs()
    jpegs()
    orientations()
    os.makedirs(os.path.dirname(OUT), exist_ok=True)
    with zipfile.ZipFile(OUT, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
        for name, data in sorted(FILES.items()):
            z.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED, 9)
    print(len(FILES), "files,", os.path.getsize(OUT), "bytes")


main()
