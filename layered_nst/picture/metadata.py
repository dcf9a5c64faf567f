"""Strings that travel inside a picture file: iTXt chunks in PNG, an XMP packet elsewhere."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from layered_nst.errors import PictureError
from layered_nst.files.texts import readable
from layered_nst.picture.opening import (
    Encoded,
    named_if_broken,
    on_disk,
    open_header,
    open_tiff,
    sniff,
)

# An APP1 segment of a JPEG counts its length in 16 bits and begins with an address of 29 bytes.
JPEG_XMP_BYTES = 65535 - 2 - 29

SEAL = "layered-nst seal"
"""Key of the digest by which a picture is known; see ``layered_nst.picture.seal``."""

_NAMESPACE = "urn:layered-nst:metadata:1"
_XMP_TAG = 700
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:lnst="{namespace}">'
    "<lnst:strings>{strings}</lnst:strings>"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def check_keys(metadata: Mapping[str, str]) -> None:
    """Refuse keys that a PNG cannot hold: it holds 1 to 79 printable ASCII characters.

    Raises:
        ValueError: naming the key.
    """
    for key in metadata:
        fits = 1 <= len(key) <= 79 and key.isascii() and key.isprintable()
        if not fits or key != " ".join(key.split(" ")).strip():
            raise ValueError(f"metadata key {key!r} must be 1 to 79 printable ASCII characters")


def xmp_packet(metadata: Mapping[str, str]) -> bytes:
    """All strings in one XMP packet. JSON inside it keeps characters that XML forbids."""
    strings = escape(json.dumps(dict(metadata), sort_keys=True))
    return _PACKET.format(namespace=_NAMESPACE, strings=strings).encode()


def text_chunks(metadata: Mapping[str, str]) -> bytes:
    """One uncompressed iTXt chunk per string, in UTF-8."""
    return b"".join(
        png_chunk(b"iTXt", key.encode("ascii") + b"\0\0\0\0\0" + readable(value).encode())
        for key, value in metadata.items()
    )


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """A PNG chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def read_metadata(path: str | Path) -> dict[str, str]:
    """Read back what ``write_picture`` stored as metadata; {} if there is none.

    The seal stays out. PNG: all texts before the pixels but XMP, from whatever program.

    Raises:
        PictureError: as reading does.
    """
    texts = _all_texts(on_disk(Path(path)))
    texts.pop(SEAL, None)
    return texts


def _all_texts(file: Encoded) -> dict[str, str]:
    kind = sniff(file)
    with named_if_broken(file.name):
        if kind == "TIFF":
            with open_tiff(file) as tiff:
                return _parsed(file.name, tiff.pages.first.tags.valueof(_XMP_TAG))
        with open_header(file, kind) as header:
            if kind == "PNG":
                return _texts(header.info)
            return _parsed(file.name, header.info.get("xmp"))


def _texts(info: Mapping[Any, Any]) -> dict[str, str]:
    # Not Pillow's own list of texts: asking for that decodes the whole picture.
    texts = {str(key): str(value) for key, value in info.items() if isinstance(value, str)}
    texts.pop("XML:com.adobe.xmp", None)
    return texts


def _parsed(name: str, packet: object) -> dict[str, str]:
    if not isinstance(packet, (bytes, str)):
        return {}
    text = packet.decode("utf-8", "replace") if isinstance(packet, bytes) else packet
    # Ours never declares anything; a declaration could only be an attempt to blow up the parser.
    if _NAMESPACE not in text or "<!" in text:
        return {}
    try:
        root = ElementTree.fromstring(text.strip("\0 \n\ufeff"))
        found = root.findtext(f".//{{{_NAMESPACE}}}strings")
        strings = json.loads(found or "{}")
        return {str(key): str(value) for key, value in strings.items()}
    except (ElementTree.ParseError, ValueError, AttributeError) as error:
        raise PictureError(f"{name}: the metadata is broken: {error}") from error
