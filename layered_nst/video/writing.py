"""Clips to files: films by PyAV with the sound of the clip, animations, folders of frames."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from layered_nst.errors import OutputError
from layered_nst.files.atomic import replacing
from layered_nst.picture import write_picture
from layered_nst.recipe import Output
from layered_nst.video.clips import USUAL_RATE, Clip, Excerpt
from layered_nst.video.films import FULL, HD_ROWS, LIMITED, MATRICES, packed, pyav, why
from layered_nst.video.sound import Sound

WRITTEN = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".webp", ".apng", "")
"""How the names of clips end that can be written; "" is a folder of frames."""


@dataclass(frozen=True)
class Codec:
    """A way to write films.

    Attributes:
        library: what FFmpeg calls it.
        plain, deep, alpha: formats of pixels: usual ones, with more bits, with alpha.
        files: endings of the names of files that hold it.
        clear: those of files that hold its alpha.
        is_even: whether it wants even sides, as its color is at half the size.
    """

    library: str
    plain: str
    files: tuple[str, ...]
    deep: str | None = None
    alpha: str | None = None
    clear: tuple[str, ...] = ()
    is_even: bool = False


CODECS = {
    "vp9": Codec(
        "libvpx-vp9", "yuv420p", (".mp4", ".m4v", ".webm", ".mkv"), alpha="yuva420p",
        clear=(".webm", ".mkv"),
    ),
    "av1": Codec("libsvtav1", "yuv420p", (".mp4", ".m4v", ".webm", ".mkv"), deep="yuv420p10le"),
    "prores": Codec(
        "prores_ks", "yuv422p10le", (".mov", ".mkv"), deep="yuv422p10le", alpha="yuva444p10le",
        clear=(".mov", ".mkv"),
    ),
    "ffv1": Codec(
        "ffv1", "bgr0", (".mkv", ".avi", ".mov"), deep="yuv444p16le", alpha="bgra",
        clear=(".mkv", ".avi", ".mov"),
    ),
    "mjpeg": Codec("mjpeg", "yuvj444p", (".avi", ".mov", ".mkv")),
    "h264": Codec(
        "libx264", "yuv420p", (".mp4", ".m4v", ".mov", ".mkv", ".avi"), deep="yuv420p10le",
        is_even=True,
    ),
    "h265": Codec(
        "libx265", "yuv420p", (".mp4", ".m4v", ".mov", ".mkv"), deep="yuv420p10le", is_even=True
    ),
}  # fmt: skip


WHITE = (255, 255, 255)
CLEAR = 255
"""Number of the color of a GIF that is none."""


def codec_for(suffix: str, clip: Clip, asked: str | None) -> Codec:
    """What a film is written by.

    Args:
        suffix: of its file.
        asked: name of a codec, None for what suits.

    Raises:
        OutputError: the file does not hold what was asked for, or this build of FFmpeg lacks it.
    """
    name = asked or _usual(suffix, clip)
    found = CODECS[name]
    if suffix not in found.files:
        holding = " or ".join(found.files)
        raise OutputError(f"codec: {name} goes into {holding}, not into {suffix}")
    if found.library not in pyav().codecs_available:
        raise OutputError(f"codec: this build of PyAV has no {found.library} to write {name}")
    return found


def _usual(suffix: str, clip: Clip) -> str:
    if suffix in (".mov", ".avi"):
        return {".mov": "prores", ".avi": "mjpeg"}[suffix]
    return "av1" if clip.depth > 8 and not clip.alpha else "vp9"


def even(size: tuple[int, int], own: tuple[int, int]) -> tuple[int, int]:
    """A size (height, width) that every codec takes, unless it is the clip's own."""
    if size == own:
        return size
    height, width = (max(2, side - side % 2) for side in size)
    return height, width


def check_film(path: Path, clip: Clip, size: tuple[int, int], output: Output) -> None:
    """Refuse, before the work, a film that could not be written after it.

    Raises:
        OutputError: no such format, a codec that the file does not hold or that is not there,
            sound that it does not hold, or a size that the codec does not take.
    """
    suffix = path.suffix.lower()
    if suffix not in WRITTEN:
        kinds = ", ".join(WRITTEN[:-1])
        raise OutputError(f"{path}: no known format of clips; use {kinds}, or a folder")
    if output.background is None and _paper(suffix, clip, output) is not None:
        clip.notes.append(
            f"{path.name} holds no transparency, so the clip is laid on white; .webm and .mov do, "
            "or name another output.background"
        )
    if not is_film(path):
        return
    codec = codec_for(suffix, clip, output.codec)
    if codec.is_even and any(side % 2 for side in size):
        height, width = size
        raise OutputError(
            f"{path}: {codec.library} takes even sides, not {width}×{height} px; name another "
            f"size or codec"
        )
    _check_sound(path, clip)


def is_film(path: Path) -> bool:
    """Whether a clip of this name is written by PyAV."""
    return path.suffix.lower() in CONTAINERS


CONTAINERS = {
    ".mkv": "matroska",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mp4": "mp4",
    ".webm": "webm",
    ".avi": "avi",
}

MUXED = {".avi": {"avoid_negative_ts": "disabled"}}
"""Sound may begin a little before the picture, as coders do: in an AVI the picture would wait."""


def _check_sound(path: Path, clip: Clip) -> None:
    import io

    av = pyav()
    kind = CONTAINERS[path.suffix.lower()]
    with av.open(io.BytesIO(), "w", format=kind) as file:
        held = file.supported_codecs
    unheld = [name for name in clip.sounds if name not in held and name != "mp3float"]
    if unheld:
        raise OutputError(
            f"{path}: {path.suffix} does not hold the clip's sound, which is {unheld[0]}; "
            f"name the film .mkv, which does"
        )
    for name in clip.captions:
        if name not in held:
            clip.notes.append(f"{path.suffix} does not hold the clip's {name} subtitles: left out")


@dataclass(frozen=True)
class FilmFrame:
    """A frame as it is written.

    Attributes:
        pixels: shape (H, W, 3 or 4), uint8 or uint16.
        time, length: seconds.
        file: the picture that holds it already; None where it does not.
    """

    pixels: NDArray[Any]
    time: Fraction
    length: Fraction
    file: Path | None


def write_clip(
    path: Path, frames: Iterator[FilmFrame], clip: Clip, *, output: Output, excerpt: Excerpt
) -> None:
    """Write a clip, whole or not at all.

    Args:
        path: its ending names its format; a folder if it has none.
        frames: in order.
        clip: what it was made from: its colors, pixels and sound go along.

    Raises:
        OutputError: it cannot be written.
    """
    suffix = path.suffix.lower()
    paper = _paper(suffix, clip, output)
    if paper is not None:
        frames = (_laid_on(frame, paper) for frame in frames)
    if not suffix:
        _write_folder(path, frames)
    elif is_film(path):
        _write_film(path, frames, clip, output, excerpt)
    else:
        _write_animation(path, frames, clip, output)


def _paper(suffix: str, clip: Clip, output: Output) -> tuple[int, int, int] | None:
    """What a clip is laid on in a file of that name; None if it has no alpha, or stays clear."""
    if not clip.alpha:
        return None
    if output.background is not None:
        return output.background
    if suffix not in CONTAINERS or suffix in CODECS[output.codec or _usual(suffix, clip)].clear:
        return None
    return WHITE


def _laid_on(frame: FilmFrame, paper: Sequence[int]) -> FilmFrame:
    """A frame without its alpha, on a color from 0 to 255."""
    if frame.pixels.shape[2] < 4:
        return frame
    most = np.iinfo(frame.pixels.dtype).max
    share = frame.pixels[..., 3:] / most
    ground = np.asarray(paper) / 255 * most
    pixels = (ground + (frame.pixels[..., :3] - ground) * share + 0.5).astype(frame.pixels.dtype)
    return replace(frame, pixels=pixels, file=None)


def _write_folder(folder: Path, frames: Iterator[FilmFrame]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(frames):
            path = folder / f"{number:06d}.png"
            if frame.file is None:
                _write_picture(path, frame.pixels)
                continue
            with replacing(path) as file:
                file.write(frame.file.read_bytes())
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror}") from error


def _write_picture(path: Path, pixels: NDArray[Any]) -> None:
    most = np.iinfo(pixels.dtype).max
    planes = torch.from_numpy(np.moveaxis(pixels.astype(np.float32) / most, -1, 0).copy())
    write_picture(path, planes, depth=16 if most > 255 else 8)


def _write_animation(path: Path, frames: Iterator[FilmFrame], clip: Clip, output: Output) -> None:
    kind = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG"}[path.suffix.lower()]
    shown = list(frames)
    lengths = _milliseconds(shown)
    pictures = [Image.fromarray(eight_bits(frame.pixels)) for frame in shown]
    first, *more = _one_palette(pictures) if kind == "GIF" else pictures
    how: dict[str, Any] = {"duration": lengths, "loop": 0 if clip.loops is None else clip.loops}
    if kind == "WEBP":
        how |= {"quality": output.quality, "lossless": output.quality == 100, "method": 4}
    if kind == "GIF" and pictures[0].mode == "RGBA":
        how |= {"transparency": CLEAR, "disposal": 2}
    with replacing(path) as file:
        first.save(file, kind, save_all=True, append_images=more, **how)


def _one_palette(pictures: Sequence[Image.Image]) -> list[Image.Image]:
    """Frames in the same 256 colors: with palettes of their own, plain areas would flicker.

    Of frames with alpha one of these is clear, what is clear by half or more.
    """
    rgb = [picture.convert("RGB") for picture in pictures]
    side = max(1, 512 // max(1, round(len(rgb) ** 0.5)))
    chosen = rgb[:: max(1, len(rgb) // 16)]
    sheet = Image.new("RGB", (side * len(chosen), side))
    for number, picture in enumerate(chosen):
        sheet.paste(picture.resize((side, side)), (number * side, 0))
    palette = sheet.quantize(CLEAR)
    found = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in rgb]
    for picture, full in zip(found, pictures, strict=True):
        if full.mode == "RGBA":
            picture.paste(CLEAR, mask=full.getchannel("A").point(lambda a: 255 * (a < 128)))
    return found


def _milliseconds(frames: Sequence[FilmFrame]) -> list[int]:
    ends = [frame.time for frame in frames[1:]] + [frames[-1].time + frames[-1].length]
    start = frames[0].time
    marks = [round(1000 * (time - start)) for time in [start, *ends]]
    return [max(1, later - sooner) for sooner, later in pairwise(marks)]


def eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels of 8 or 16 bits a channel as pixels of 8."""
    return (pixels // 257).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def _write_film(
    path: Path, frames: Iterator[FilmFrame], clip: Clip, output: Output, excerpt: Excerpt
) -> None:
    av = pyav()
    with replacing(path) as file:
        try:
            _encode(file, frames, clip, (path, output, excerpt))
        except av.error.FFmpegError as error:
            raise OutputError(f"{path}: cannot be written: {why(error)}") from error


def _encode(
    target: BinaryIO,
    frames: Iterator[FilmFrame],
    clip: Clip,
    told: tuple[Path, Output, Excerpt],
) -> None:
    av = pyav()
    path, output, excerpt = told
    suffix = path.suffix.lower()
    codec, base = codec_for(suffix, clip, output.codec), _tick(suffix, clip)
    first = next(frames)
    # SVT tells of itself on the terminal, whatever FFmpeg's own level.
    os.environ.setdefault("SVT_LOG", "1")
    with av.open(target, "w", format=CONTAINERS[suffix], options=MUXED.get(suffix, {})) as file:
        stream = _stream(file, first, clip, codec, output.quality)
        stream.codec_context.time_base = stream.time_base = base
        with Sound(clip, file, excerpt) as sound:
            shift = first.time if excerpt.start is not None else Fraction(0)
            lengths: dict[Fraction, Fraction] = {}

            def mux(coded: Any) -> None:
                for packet in stream.encode(coded):
                    # Not every encoder hands on how long a frame is seen.
                    length = lengths.pop(packet.pts * packet.time_base, None)
                    if length:
                        packet.duration = max(1, round(length / packet.time_base))
                    file.mux(packet)

            tick = None
            for frame in chain([first], frames):
                coded = _coded(frame, stream, clip)
                now = round((frame.time - shift) / base)
                # Of frames nearer than a tick none is lost, as each has one of its own.
                tick = now if tick is None else max(now, tick + 1)
                coded.pts, coded.time_base = tick, base
                lengths[tick * base] = frame.length
                mux(coded)
                sound.up_to(frame.time)
            mux(None)
            sound.up_to(None)


def _tick(suffix: str, clip: Clip) -> Fraction:
    """Seconds of one tick of a film's clock: an AVI has a frame at each."""
    if suffix != ".avi":
        return clip.base
    return 1 / (clip.rate or USUAL_RATE).limit_denominator(100_000)


def _stream(file: Any, first: FilmFrame, clip: Clip, codec: Codec, quality: int) -> Any:
    height, width, channels = first.pixels.shape
    rate = clip.rate or USUAL_RATE
    stream = file.add_stream(codec.library, rate=rate.limit_denominator(100_000))
    context = stream.codec_context
    stream.width, stream.height = width, height
    stream.pix_fmt = _format(codec, first.pixels, has_alpha=channels == 4)
    context.options = _options(codec.library, quality, has_alpha=channels == 4)
    context.sample_aspect_ratio = clip.aspect
    tags = clip.tags
    context.color_primaries, context.color_trc = tags.primaries, tags.transfer
    matrix, full = _matrix(stream.pix_fmt, height, clip)
    context.colorspace, context.color_range = matrix, FULL if full else LIMITED
    if channels == 4 and codec.library == "libvpx-vp9":
        stream.metadata["alpha_mode"] = "1"
    return stream


def _format(codec: Codec, pixels: NDArray[Any], *, has_alpha: bool) -> str:
    if has_alpha and codec.alpha:
        return codec.alpha
    return codec.deep if pixels.dtype == np.uint16 and codec.deep else codec.plain


def _matrix(pix_fmt: str, height: int, clip: Clip) -> tuple[int, bool]:
    """The matrix that is written, as containers name it, and whether all numbers are used."""
    if "rgb" in pix_fmt or "bgr" in pix_fmt:
        return 0, True
    if pix_fmt.startswith("yuvj"):
        return 5, True
    told = clip.tags.matrix
    return (told if told in MATRICES else 1 if height >= HD_ROWS else 6), clip.tags.full_range


def _options(library: str, quality: int, *, has_alpha: bool) -> dict[str, str]:
    """How well a library is to write, from a quality of 1 to 100."""
    left = (100 - quality) / 100
    if library == "libvpx-vp9":
        return {"crf": str(round(8 + 55 * left)), "b:v": "0", "row-mt": "1", "cpu-used": "3"}
    if library == "libsvtav1":
        return {"crf": str(round(14 + 49 * left)), "preset": "7", "svtav1-params": "lp=2"}
    if library in ("libx264", "libx265"):
        return {"crf": str(round(12 + 39 * left))} | (
            {"x265-params": "log-level=error"} if library == "libx265" else {}
        )
    if library == "mjpeg":
        return {"qmin": "1", "qmax": str(max(1, round(1 + 30 * left)))}
    if library == "prores_ks":
        return {"profile": "4444" if has_alpha else "hq"}
    return {}


def _coded(frame: FilmFrame, stream: Any, clip: Clip) -> Any:
    av = pyav()
    kind = packed(alpha=frame.pixels.shape[2] == 4, deep=frame.pixels.dtype == np.uint16)
    matrix, full = _matrix(stream.pix_fmt, frame.pixels.shape[0], clip)
    raw = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame.pixels), format=kind)
    sws = MATRICES.get(matrix, 5)
    coded = raw.reformat(
        format=stream.pix_fmt,
        src_colorspace=sws,
        dst_colorspace=sws,
        dst_color_range=FULL if full else LIMITED,
    )
    return coded
