"""Films read by PyAV: times, turns, colors and damage as their containers tell them."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from layered_nst.errors import ClipError, PictureError
from layered_nst.picture import Picture
from layered_nst.picture.opening import check_pixels
from layered_nst.video.clips import USUAL_RATE, Clip, ClipFrame, ColorTags, needed
from layered_nst.video.sequences import same_size

# The matrices that containers name, by swscale's own numbers.
MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
HD_ROWS = 720
"""From here on films that do not say their matrix are BT.709, below BT.601."""
BEFORE = 4
"""Frames before a time from which on a film is decoded to be seen from there on, at least."""
SOONER = 0.5
"""Seconds by which a film ends sooner than it says if it is broken off: sound may be longer."""
LIMITED, FULL = 1, 2
"""A film's range of numbers: those of television, or all of them."""


def pyav() -> Any:
    """The package av.

    Raises:
        ClipError: it is not installed.
    """
    return needed("av")


def why(error: Exception) -> str:
    """What FFmpeg says of an error, without its number."""
    said = getattr(error, "strerror", None) or str(error)
    return str(said).split("; last error")[0].lower()


def open_film(path: Path, max_pixels: int) -> Clip:
    """Look at a film.

    Raises:
        ClipError: it cannot be read, has no video stream or no frame, or frames are too large.
    """
    av = pyav()
    try:
        with av.open(str(path), metadata_errors="replace") as file:
            stream = _video(path, file)
            check_pixels(stream.width, stream.height, max_pixels=max_pixels, source=str(path))
            first = next(_decoded(path, file, stream, []), None)
            if first is None:
                raise ClipError(f"{path}: has no frame that can be decoded")
            return _clip(path, file, stream, first)
    except PictureError as error:
        raise ClipError(str(error)) from error
    except av.error.FFmpegError as error:
        raise ClipError(f"{path}: cannot be read as a clip: {why(error)}") from error


def _video(path: Path, file: Any) -> Any:
    """The stream that is the film: not the picture of a record's cover."""
    streams = [s for s in file.streams.video if s.codec_context is not None]
    films = [s for s in streams if type(s.disposition).attached_pic not in s.disposition]
    if not films:
        others = {"cover" if s in streams else s.type for s in file.streams}
        found = ", ".join(sorted(others)) or "nothing"
        raise ClipError(f"{path}: has no video stream (found: {found})")
    return films[0]


def _clip(path: Path, file: Any, stream: Any, first: Any) -> Clip:
    turn = Turn.of(first)
    height, width = first.height, first.width
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if aspect <= 0:
        aspect = Fraction(1)
    clip = Clip(
        path,
        (width, height) if turn.swaps else (height, width),
        read=lambda: _frames(clip),
        rate=_rate(stream),
        base=Fraction(stream.time_base or Fraction(1, 1000)),
        count=_count(file, stream),
        depth=max(part.bits for part in first.format.components),
        alpha=_has_alpha(stream, first),
        tags=ColorTags(
            int(first.color_primaries),
            int(first.color_trc),
            int(first.colorspace),
            int(first.color_range) == FULL or first.format.name.startswith("yuvj"),
        ),
        aspect=1 / aspect if turn.swaps else aspect,
        begins=Fraction((first.pts or 0) * stream.time_base),
        seek=lambda time: _since(clip, time),
        sounds=_codecs(file.streams.audio),
        captions=_codecs(file.streams.subtitles),
    )
    if first.interlaced_frame:
        clip.notes.append(f"{path.name}: is interlaced; its fields are joined to whole frames")
    return clip


def _codecs(streams: Any) -> tuple[str, ...]:
    return tuple(s.codec_context.name for s in streams if s.codec_context is not None)


def _rate(stream: Any) -> Fraction | None:
    rate = stream.average_rate or stream.guessed_rate
    return Fraction(rate) if rate else None


def _count(file: Any, stream: Any) -> int | None:
    if stream.frames:
        return int(stream.frames)
    length = stream.duration * stream.time_base if stream.duration else None
    if length is None and file.duration:
        length = Fraction(file.duration, 1_000_000)
    rate = _rate(stream)
    return round(length * rate) if length and rate else None


def _has_alpha(stream: Any, first: Any) -> bool:
    return _keeps_alpha_apart(stream) or any(part.is_alpha for part in first.format.components)


def _keeps_alpha_apart(stream: Any) -> bool:
    """Whether a VP8 or VP9 stream carries alpha beside the picture, which FFmpeg leaves out."""
    told = {key.lower(): value for key, value in stream.metadata.items()}
    return told.get("alpha_mode") == "1" and stream.codec_context.name in ("vp8", "vp9")


def _since(clip: Clip, time: Fraction) -> Iterator[ClipFrame]:
    """The frames from a time on, decoded from a key frame before it; from the first one of the
    film where it leads to none."""
    if not (yield from _frames(clip, since=time)):
        yield from (frame for frame in _frames(clip) if frame.time >= time)


def _frames(clip: Clip, *, since: Fraction | None = None) -> Generator[ClipFrame, None, bool]:
    """All frames, with times that rise; the last one is seen until the film ends.

    Args:
        since: when the first of them is seen.

    Returns:
        False, and no frame, if the film cannot be sought there.
    """
    av = pyav()
    count, held = 0, None
    with av.open(str(clip.path), metadata_errors="replace") as file:
        stream = _video(clip.path, file)
        timed = _rising(_whole(_decoded(clip.path, file, stream, clip.notes, since), stream), clip)
        if since is not None:
            found = next(timed, None)
            if found is None or found[0].pts is None or found[1] > since:
                return False
            timed = ((frame, time) for frame, time in chain([found], timed) if time >= since)
        for frame, time in timed:
            if held is not None:
                yield held
            count += 1
            if frame.is_corrupt:
                clip.notes.append(f"{clip.path.name}: the frame at {float(time):.2f} s is damaged")
            picture = same_size(clip, _picture(frame, clip), time)
            length = Fraction((frame.duration or 0) * stream.time_base)
            held = ClipFrame(picture, time, length, bool(frame.is_corrupt))
        if held is not None:
            yield replace(held, length=_till_end(held, stream))
    if since is None and clip.notes and clip.count is not None and count < clip.count:
        clip.notes.append(f"{clip.path.name}: {count} of its {clip.count} frames could be decoded")
    elif since is None and held is not None:
        clip.notes.extend(_broken_off(clip, held, stream))
    return True


def _broken_off(clip: Clip, last: ClipFrame, stream: Any) -> Iterator[str]:
    """What is to be said if a film ends long before it says: Matroska is read to where it is cut
    off as if that were its end."""
    said = {key.upper(): value for key, value in stream.metadata.items()}.get("DURATION", "")
    parts = said.split(":")
    if len(parts) != 3:
        return
    ends = float(last.time + (last.length or 1 / (clip.rate or USUAL_RATE)))
    long = sum(60**n * float(part) for n, part in enumerate(reversed(parts)))
    if long - ends > SOONER:
        yield f"{clip.path.name}: ends at {ends:.2f} s, though it says {long:.2f} s"


def _till_end(last: ClipFrame, stream: Any) -> Fraction:
    """How long the last frame is seen: packets of some codecs say a mean."""
    if stream.duration is None:
        return last.length
    end = Fraction(((stream.start_time or 0) + stream.duration) * stream.time_base)
    return end - last.time if end > last.time else last.length


def _rising(
    frames: Iterator[tuple[Any, Fraction | None]], clip: Clip
) -> Iterator[tuple[Any, Fraction]]:
    """Frames with times that rise, whatever the film says."""
    step, last = 1 / (clip.rate or USUAL_RATE), None
    for frame, pts in frames:
        time = pts
        if last is None:
            time = Fraction(0) if pts is None else pts
        elif pts is None or pts <= last:
            time = last + (step if pts is None else clip.base)
        assert time is not None
        last = time
        yield frame, time


def _decoded(
    path: Path, file: Any, stream: Any, notes: list[str], since: Fraction | None = None
) -> Iterator[Any]:
    """What the decoder makes of the stream; what it cannot make is a note.

    Args:
        since: it begins some frames before that, if it can: fields are joined by what was before,
            and what comes first behind a key frame may lean on what is before it.
    """
    av = pyav()
    if since is not None:
        sooner = since - BEFORE / (_rate(stream) or USUAL_RATE)
        with suppress(av.error.FFmpegError):
            file.seek(floor(sooner / stream.time_base), stream=stream)
    decoder = _decoder(stream)
    packets = file.demux(stream)
    at = 0.0
    while True:
        try:
            packet = next(packets)
            at = float(packet.pts * packet.time_base) if packet.pts is not None else at
        except StopIteration:
            return
        except av.error.FFmpegError as error:
            notes.append(f"{path.name}: ends at {at:.2f} s, broken off: {why(error)}")
            packet = None
        try:
            frames = decoder(packet)
        except av.error.FFmpegError as error:
            notes.append(f"{path.name}: what lies at {at:.2f} s is damaged: {why(error)}")
            continue
        yield from frames
        if packet is None:
            return


def _decoder(stream: Any) -> Any:
    if not _keeps_alpha_apart(stream):
        return lambda packet: stream.codec_context.decode(packet)
    av = pyav()
    library = "libvpx-vp9" if stream.codec_context.name == "vp9" else "libvpx"
    context = av.CodecContext.create(library, "r")
    return lambda packet: context.decode(packet if packet is not None and packet.size else None)


def _whole(frames: Iterator[Any], stream: Any) -> Iterator[tuple[Any, Fraction | None]]:
    """Frames and their times; those of fields are joined."""
    graph, waiting = None, deque[Fraction | None]()
    for frame in frames:
        pts = None if frame.pts is None else Fraction(frame.pts * stream.time_base)
        if graph is None and not frame.interlaced_frame:
            yield frame, pts
            continue
        graph = graph or _deinterlacer(frame, stream)
        waiting.append(pts)
        graph.push(frame)
        yield from _pulled(graph, waiting)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph, waiting)


def _deinterlacer(frame: Any, stream: Any) -> Any:
    av = pyav()
    graph = av.filter.Graph()
    parts = [
        graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=stream.time_base,
        ),
        graph.add("yadif", "mode=send_frame:deint=interlaced"),
        graph.add("settb", f"expr={stream.time_base}"),  # yadif halves the ticks
        graph.add("buffersink"),
    ]
    graph.link_nodes(*parts).configure()
    return graph


def _pulled(graph: Any, waiting: deque[Fraction | None]) -> Iterator[tuple[Any, Fraction | None]]:
    av = pyav()
    while waiting:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield frame, waiting.popleft()


@dataclass(frozen=True)
class Turn:
    """How a frame is to be turned to be upright: first mirrored, then by quarters to the left.

    Attributes:
        quarters: 0 to 3.
        is_mirrored: left and right are exchanged before that.
    """

    quarters: int = 0
    is_mirrored: bool = False

    @property
    def swaps(self) -> bool:
        """Whether width and height change places."""
        return self.quarters % 2 == 1

    @classmethod
    def of(cls, frame: Any) -> Turn:
        """What the display matrix of a frame says; turns by less than a quarter are left."""
        data = _matrix_of(frame)
        if data is None:
            return cls()
        a, b, _, c, d, *_ = data
        mirrored = a * d - b * c < 0
        if mirrored:
            a, b = -a, -b
        if abs(a) >= abs(b):
            return cls(0 if a >= 0 else 2, mirrored)
        # The matrix maps (x, y) of the stream, y down, to (a x + c y, b x + d y).
        return cls(3 if b > 0 else 1, mirrored)

    def applied(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Turn pixels of shape (H, W, C)."""
        if self.is_mirrored:
            pixels = pixels[:, ::-1]
        return np.rot90(pixels, self.quarters)


def _matrix_of(frame: Any) -> tuple[int, ...] | None:
    for part in frame.side_data:
        if "DISPLAYMATRIX" in str(part.type).upper():
            return struct.unpack("<9i", bytes(part)[:36])
    return None


def packed(*, alpha: bool, deep: bool) -> str:
    """What FFmpeg calls pixels in RGB, one after the other, of 8 bits a channel or deep ones."""
    return ("rgba64le" if deep else "rgba") if alpha else ("rgb48le" if deep else "rgb24")


def _picture(frame: Any, clip: Clip) -> Picture:
    """A frame as it is to be seen."""
    deep = max(part.bits for part in frame.format.components) > 8
    kind = packed(alpha=clip.alpha, deep=deep)
    said = MATRICES.get(int(frame.colorspace))
    usual = 1 if frame.height >= HD_ROWS else 5
    pixels = Turn.of(frame).applied(
        frame.to_ndarray(format=kind, src_colorspace=said or usual, dst_colorspace=said or usual)
    )
    most = 65535 if deep else 255
    planes = torch.from_numpy(np.ascontiguousarray(pixels).astype(np.float32) / most)
    planes = planes.movedim(-1, 0).contiguous()
    alpha = planes[3] if clip.alpha and bool((planes[3] < 1).any()) else None
    return Picture(planes[:3].contiguous(), alpha, depth=16 if deep else 8, source=clip.path.name)
