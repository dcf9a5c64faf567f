"""ICC profiles of RGB spaces, built from their published primaries."""

from __future__ import annotations

import struct
from typing import Literal

import numpy as np
from numpy.typing import NDArray

D50 = (0.9642, 1.0, 0.8249)
D65 = (0.3127, 0.3290)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
_PRIMARIES = {
    "sRGB": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "Display P3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    "Adobe RGB": ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060)),
}
Space = Literal["sRGB", "Display P3", "Adobe RGB"]


def colorants(space: Space) -> NDArray[np.float64]:
    """XYZ of red, green and blue as columns, adapted to the D50 of profiles by Bradford."""
    white = _xyz(D65)
    columns = np.stack([_xyz(xy) for xy in _PRIMARIES[space]], axis=1)
    columns = columns * np.linalg.solve(columns, white)
    cones = np.diag((_BRADFORD @ np.array(D50)) / (_BRADFORD @ white))
    adapted: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD @ columns
    return adapted


def _xyz(xy: tuple[float, float]) -> NDArray[np.float64]:
    x, y = xy
    return np.array([x / y, 1.0, (1 - x - y) / y])


def profile(space: Space) -> bytes:
    """A version 4 matrix profile, the same bytes every time."""
    red, green, blue = colorants(space).T
    tags = {
        b"desc": _text(space),
        b"cprt": _text("public domain"),
        b"wtpt": _point(D50),
        b"rXYZ": _point(red),
        b"gXYZ": _point(green),
        b"bXYZ": _point(blue),
        b"rTRC": _curve(space),
        b"gTRC": _curve(space),
        b"bTRC": _curve(space),
    }
    return _file(tags, 0x04000000, b"mntrRGB XYZ ")


def _file(tags: dict[bytes, bytes], version: int, what: bytes) -> bytes:
    """A profile of these tags; ``what`` names device, its colors, and the space in between."""
    offset, directory, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        directory += name + struct.pack(">II", offset + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI12s", offset + len(body), b"", version, what)
    head += struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28 + _fixed(D50)
    return head.ljust(128, b"\0") + directory + body


def _curve(space: Space) -> bytes:
    if space == "Adobe RGB":
        return b"para" + bytes(8) + _fixed([563 / 256])
    # IEC 61966-2-1, which Display P3 shares.
    shape = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045]
    return b"para" + bytes(4) + struct.pack(">HH", 3, 0) + _fixed(shape)


def _point(xyz: object) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(xyz)


def _fixed(values: object) -> bytes:
    numbers = np.round(np.asarray(values, dtype=np.float64) * 65536).astype(">i4")
    return numbers.tobytes()


def _text(words: str) -> bytes:
    encoded = words.encode("utf-16-be")
    return (
        b"mluc"
        + bytes(4)
        + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28)
        + encoded
    )


_PALE = 0.79 * np.eye(3) + 0.07


def press() -> bytes:
    """A version 2 CMYK profile of a press whose inks are paler than the colors of sRGB.

    Both ways are tables of 16 bits: from ink by grid points of each ink, to ink by those of Lab.
    Cyan takes red from the light and a little of green and blue, and so on; black is what all
    three have in common.
    """
    ink = np.stack(np.meshgrid(*[np.linspace(0, 1, 7)] * 4, indexing="ij"), -1).reshape(-1, 4)
    left = (1 - ink[:, :3]) * (1 - ink[:, 3:])
    there = _lut16(4, 3, 7, _lab_numbers(_lab_of(left @ _PALE)))
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 25)] * 3, indexing="ij"), -1).reshape(-1, 3)
    numbers = grid * 65535
    lab = np.stack([numbers[:, 0] / 652.8, *(numbers[:, k] / 256 - 128 for k in (1, 2))], -1)
    wanted = 1 - (_rgb_of(lab) @ np.linalg.inv(_PALE)).clip(0, 1)
    black = wanted.min(1, keepdims=True)
    color = (wanted - black) / np.maximum(1 - black, 1e-6)
    back = _lut16(3, 4, 25, np.concatenate([color, black], 1) * 65535)
    tags = {b"desc": _old_text("press"), b"cprt": b"text" + bytes(4) + b"public domain\0"}
    tags |= {b"wtpt": _point(D50), b"A2B0": there, b"B2A0": back}
    return _file(tags, 0x02400000, b"prtrCMYKLab ")


def _lut16(inputs: int, outputs: int, steps: int, numbers: NDArray[np.float64]) -> bytes:
    """A table between straight lines; the first input varies slowest."""
    line = np.array([0, 65535], dtype=">u2").tobytes()
    head = b"mft2" + bytes(4) + struct.pack(">4B", inputs, outputs, steps, 0)
    head += _fixed(np.eye(3).ravel()) + struct.pack(">2H", 2, 2)
    table = np.round(numbers).clip(0, 65535).astype(">u2").tobytes()
    return head + line * inputs + table + line * outputs


def _lab_numbers(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([lab[:, 0] * 652.8, (lab[:, 1] + 128) * 256, (lab[:, 2] + 128) * 256], -1)


def _lab_of(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear RGB, white at D50, to CIE Lab."""
    ratio = rgb @ colorants("sRGB").T / np.array(D50)
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def _rgb_of(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    y = (lab[:, 0] + 16) / 116
    root = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], -1)
    ratio = np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29))
    found: NDArray[np.float64] = ratio * np.array(D50) @ np.linalg.inv(colorants("sRGB").T)
    return found


def _old_text(words: str) -> bytes:
    plain = words.encode() + b"\0"
    return b"desc" + bytes(4) + struct.pack(">I", len(plain)) + plain + bytes(8 + 3 + 67)
