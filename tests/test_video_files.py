"""Clips are read and written with all that they carry: times, sound, turns, depth, alpha."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from layered_nst.errors import ClipError, OutputError
from layered_nst.recipe import Output
from layered_nst.video import films
from layered_nst.video.clips import Clip, ClipFrame, Excerpt, is_clip, open_clip
from layered_nst.video.films import Turn
from layered_nst.video.writing import FilmFrame, check_film, codec_for, write_clip

av = pytest.importorskip("av")
SIZE = (48, 80)
BASE = Fraction(1, 12800)


def shown(number: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """Red to the left, blue to the right, a white square at the top left that moves right."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[:, : size[1] // 2, 0] = 200
    pixels[:, size[1] // 2 :, 2] = 200
    pixels[4:16, 4 + 2 * number : 16 + 2 * number] = 255
    return pixels


def film(
    path: Path,
    *,
    codec: str = "libvpx-vp9",
    pix_fmt: str = "yuv420p",
    frames: int = 6,
    ticks: Sequence[int] | None = None,
    sounds: int = 0,
    seconds: float | None = None,
    turn: int = 0,
    aspect: Fraction | None = None,
    size: tuple[int, int] = SIZE,
    sizes: dict[int, tuple[int, int]] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a film of so many frames at 25 a second, or at these ticks of ``BASE``."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], pix_fmt
        stream.codec_context.time_base = BASE
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if turn:
            stream.set_display_rotation(turn)
        audios = []
        for _ in range(sounds):
            audio = file.add_stream("aac", rate=48000)
            audio.layout = "mono"
            audios.append(audio)
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(shown(number, size), format="rgb24")
            picture = picture.reformat(format=pix_fmt)
            picture.pts = ticks[number] if ticks else number * 512
            picture.time_base = BASE
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
        for audio in audios:
            _hum(file, audio, seconds or frames / 25)
    return path


def _hum(file: Any, audio: Any, seconds: float) -> None:
    for start in range(0, int(48000 * seconds), 1024):
        wave = (8000 * np.sin(np.arange(start, start + 1024) / 20)).astype(np.int16)
        sound = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = 48000, start, Fraction(1, 48000)
        file.mux(audio.encode(sound))
    file.mux(audio.encode(None))


def as_written(frames: Iterator[ClipFrame], clip: Clip) -> Iterator[FilmFrame]:
    """Frames as a run would give them."""
    deep = clip.depth > 8
    for frame in frames:
        planes = [*frame.picture.rgb]
        if clip.alpha:
            alpha = frame.picture.alpha
            planes.append(torch.ones(frame.picture.size) if alpha is None else alpha)
        pixels = torch.stack(planes, -1).numpy() * (65535 if deep else 255) + 0.5
        kind = np.uint16 if deep else np.uint8
        yield FilmFrame(pixels.astype(kind), frame.time, frame.length, Path())


def copied(source: Path, target: Path, excerpt: Excerpt | None = None, **output: Any) -> Clip:
    """Write a clip again as it is."""
    excerpt = excerpt or Excerpt()
    clip, said = open_clip(source), Output(**output)
    check_film(target, clip, clip.size, said)
    write_clip(target, as_written(excerpt.of(clip), clip), clip, output=said, excerpt=excerpt)
    return open_clip(target)


def packets(path: Path) -> list[str]:
    """Hashes of what each audio stream holds."""
    found: dict[int, Any] = {}
    with av.open(str(path)) as file:
        for packet in (p for p in file.demux() if p.stream.type == "audio"):
            found.setdefault(packet.stream.index, hashlib.sha256()).update(bytes(packet))
    return [held.hexdigest() for _, held in sorted(found.items())]


def times(clip: Clip) -> list[Fraction]:
    return [frame.time for frame in clip.read()]


# Seeking


def uneven(frames: int, start: int = 0) -> list[int]:
    """Ticks at no steady rate."""
    return [start + 512 * n + (197 if n % 3 == 1 else 0) for n in range(frames)]


GROUPS = {"g": "8", "bf": "2"}
SOUGHT: dict[str, dict[str, Any]] = {
    "steady.mp4": {"codec": "libx264", "options": GROUPS},
    "open-groups.mkv": {
        "codec": "libx264",
        "options": {**GROUPS, "x264-params": "open-gop=1:scenecut=0"},
    },
    "uneven.mkv": {"codec": "libx264", "options": GROUPS, "ticks": uneven(40, -1536)},
    "sooner.mp4": {"codec": "mpeg4", "options": GROUPS, "ticks": uneven(40, -1024)},
    "late.mp4": {"codec": "libx264", "options": GROUPS, "ticks": uneven(40, 90_000)},
    "stream.ts": {"codec": "libx264", "options": GROUPS},
    "fields.mkv": {"codec": "mpeg4", "options": {"g": "8", "flags": "+ildct+ilme"}},
    "one-key.webm": {"codec": "libvpx-vp9", "options": {"g": "999"}},
    "raw.y4m": {"codec": "wrapped_avframe"},
}


@pytest.mark.parametrize("name", sorted(SOUGHT))
def test_a_film_read_from_a_time_on_has_the_same_frames(tmp_path: Path, name: str) -> None:
    if SOUGHT[name]["codec"] not in av.codecs_available:
        pytest.skip("this build of PyAV does not write it")
    clip = open_clip(film(tmp_path / name, frames=40, **SOUGHT[name]))
    every = list(clip.read())
    assert len(every) >= 38  # MP4 leaves out what is before zero
    for number in (0, 1, 7, 8, 9, 15, 17, 23, 26, 31, 37):
        found = list(clip.since(every[number].time))
        assert [f.time for f in found] == [f.time for f in every[number:]]
        assert [f.length for f in found] == [f.length for f in every[number:]]
        for one, other in zip(found, every[number:], strict=True):
            assert torch.equal(one.picture.rgb, other.picture.rgb)


def test_a_film_is_not_decoded_from_its_first_frame_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = open_clip(film(tmp_path / "in.mp4", frames=80, codec="libx264", options=GROUPS))
    decoded: list[Any] = []
    real = films._whole
    monkeypatch.setattr(
        films, "_whole", lambda some, *more: real((decoded.append(f) or f for f in some), *more)
    )
    assert len(list(clip.since(Fraction(70, 25)))) == 10
    assert len(decoded) < 30


@pytest.mark.parametrize("name", ["in.gif", "in.webp", "folder", "in.mp4"])
@pytest.mark.parametrize("every", [1, 3])
def test_a_part_of_a_clip_has_the_frames_that_lie_in_it(
    tmp_path: Path, name: str, every: int
) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
        for number in range(20):
            Image.fromarray(shown(number)).save(path / f"{number}.png")
    elif name == "in.mp4":
        film(path, frames=20, codec="libx264", options=GROUPS)
    else:
        first, *more = (Image.fromarray(shown(number)) for number in range(20))
        first.save(path, save_all=True, append_images=more, duration=40, loop=0)
    clip = open_clip(path)
    found = list(Excerpt(start=0.3, end=0.62, every=every).of(clip))
    assert [f.time for f in found] == pytest.approx([n / 25 for n in range(8, 16, every)])
    again = list(Excerpt(end=0.62, every=every).of(clip, since=found[1].time))
    assert [f.time for f in again] == [f.time for f in found[1:]]
    assert [f.length for f in again] == [f.length for f in found[1:]]
    assert float(sum(f.length for f in found)) == pytest.approx(8 / 25)


# Times and sound


def test_times_of_a_film_at_no_steady_rate_are_kept(tmp_path: Path) -> None:
    ticks = [0, 512, 700, 2048, 2100, 5000]
    source = film(tmp_path / "in.mp4", ticks=ticks)
    again = copied(source, tmp_path / "out.mp4")
    assert times(again) == [tick * BASE for tick in ticks]


def test_times_that_begin_below_zero_with_frames_out_of_order_rise_and_are_kept(
    tmp_path: Path,
) -> None:
    ticks = [-1024 + n for n in (0, 512, 700, 2048, 2100, 2700, 2800, 5000)]
    source = film(tmp_path / "in.mkv", codec="mpeg4", frames=8, ticks=ticks, options={"bf": "2"})
    before = times(open_clip(source))
    assert before == sorted(before)
    assert times(copied(source, tmp_path / "out.mkv")) == pytest.approx(before, abs=0.002)


def test_sound_is_copied_packet_by_packet_however_many_streams_and_however_long(
    tmp_path: Path,
) -> None:
    source = film(tmp_path / "in.mp4", sounds=2, seconds=0.9)
    for name in ("out.mp4", "out.mkv"):
        copied(source, tmp_path / name)
        assert len(packets(tmp_path / name)) == 2
        assert packets(tmp_path / name) == packets(source)


def captioned(path: Path) -> Path:
    """A film of a second with two captions."""
    source, captions = film(path.with_name("plain.mkv"), frames=25), path.with_suffix(".srt")
    captions.write_text(
        "1\n00:00:00,100 --> 00:00:00,400\nHow like a winter\n\n"
        "2\n00:00:00,600 --> 00:00:00,900\nhath my absence been\n"
    )
    with av.open(str(path), "w") as target, av.open(str(source)) as one, av.open(captions) as other:
        parts = [(one, one.streams.video[0]), (other, other.streams.subtitles[0])]
        streams = [target.add_stream_from_template(stream) for _, stream in parts]
        for (container, stream), copy in zip(parts, streams, strict=True):
            for packet in container.demux(stream):
                if packet.dts is not None:
                    packet.stream = copy
                    target.mux(packet)
    return path


def captions_of(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as file:
        found = [p for s in file.streams.subtitles for p in file.demux(s) if p.size]
        return [(round(float(p.pts * p.time_base), 3), bytes(p)) for p in found]


@pytest.mark.parametrize("sounds", [0, 1])
def test_times_in_an_avi_are_those_of_the_clip(tmp_path: Path, sounds: int) -> None:
    """Its clock has a tick for each frame, and sound that begins sooner moves none of them."""
    source = film(tmp_path / "in.mp4", sounds=sounds)
    target = copied(source, tmp_path / "out.avi")
    assert times(target) == [Fraction(n, 25) for n in range(6)]
    assert target.count == 6
    assert packets(tmp_path / "out.avi") == packets(source)
    near = film(tmp_path / "near.mp4", frames=5, ticks=[0, 512, 600, 1024, 2560])
    assert len(times(copied(near, tmp_path / "near.avi"))) == 5


def test_subtitles_are_copied_with_their_times_where_the_container_holds_them(
    tmp_path: Path,
) -> None:
    source = captioned(tmp_path / "in.mkv")
    copied(source, tmp_path / "out.mkv")
    wanted = captions_of(source)
    assert [text for _, text in wanted] == [b"How like a winter", b"hath my absence been"]
    assert captions_of(tmp_path / "out.mkv") == wanted
    clip = open_clip(source)
    check_film(tmp_path / "out.mp4", clip, clip.size, Output())
    assert any("srt subtitles: left out" in note for note in clip.notes)


def test_a_film_that_changes_its_size_is_brought_to_that_of_its_first_frame(
    tmp_path: Path,
) -> None:
    """As recordings of calls do, whose streams go on in another size."""
    parts = [film(tmp_path / f"{n}.webm", size=size) for n, size in enumerate((SIZE, (96, 80)))]
    with av.open(str(tmp_path / "both.webm"), "w") as target:
        copy = None
        for number, path in enumerate(parts):
            with av.open(str(path)) as source:
                (stream,) = source.streams.video
                copy = copy or target.add_stream_from_template(stream)
                for packet in source.demux(stream):
                    if packet.dts is not None:
                        late = round(number * 6 / 25 / packet.time_base)
                        packet.pts, packet.dts = packet.pts + late, packet.dts + late
                        packet.stream = copy
                        target.mux(packet)
    clip = open_clip(tmp_path / "both.webm")
    frames = list(clip.read())
    assert [frame.picture.size for frame in frames] == [SIZE] * 12
    assert any("80×96 px from 0.24 s on" in note for note in clip.notes)


def test_a_film_without_sound_has_none_afterwards(tmp_path: Path) -> None:
    assert copied(film(tmp_path / "in.mp4"), tmp_path / "out.mp4").sounds == ()


def test_the_film_is_as_long_as_the_clip(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4", ticks=[0, 512, 1024, 2048, 4096, 6000], sounds=1)
    copied(source, tmp_path / "out.mp4")
    with av.open(str(source)) as one, av.open(str(tmp_path / "out.mp4")) as other:
        assert other.streams.video[0].duration == one.streams.video[0].duration


def test_a_part_of_a_film_begins_at_zero_with_its_own_sound(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4", frames=25, sounds=1)
    part = copied(source, tmp_path / "out.mp4", Excerpt(0.4, 0.8))
    assert len(times(part)) == 10
    assert times(part)[0] == 0
    with av.open(str(tmp_path / "out.mp4")) as file:
        (audio,) = file.streams.audio
        assert float(audio.duration * audio.time_base) == pytest.approx(0.4, abs=0.05)


def test_every_third_frame_lasts_to_the_next_and_the_last_one_to_the_end(tmp_path: Path) -> None:
    clip = open_clip(film(tmp_path / "in.mp4", frames=7))
    found = list(Excerpt(every=3).of(clip))
    assert [float(frame.time) for frame in found] == pytest.approx([0, 0.12, 0.24])
    assert [float(frame.length) for frame in found] == pytest.approx([0.12, 0.12, 0.04])
    assert Excerpt(every=3).count(clip) == 3


# Pictures


@pytest.mark.parametrize(
    ("turn", "corner"), [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (270, (0, 1))]
)
def test_a_film_is_turned_upright_by_its_matrix(
    tmp_path: Path, turn: int, corner: tuple[int, int]
) -> None:
    """The white square, at the top left of what is stored, shows which way is up."""
    clip = open_clip(film(tmp_path / "in.mp4", turn=turn))
    assert clip.size == (SIZE if turn % 180 == 0 else SIZE[::-1])
    picture = next(clip.read()).picture.rgb.amin(0)
    height, width = clip.size
    row, column = (-10 if end else 9 for end in corner)
    assert picture[row % height, column % width] > 0.9


def test_a_turned_film_is_written_upright_without_a_matrix(tmp_path: Path) -> None:
    again = copied(film(tmp_path / "in.mp4", turn=90), tmp_path / "out.mp4")
    with av.open(str(again.path)) as file:
        frame = next(file.decode(video=0))
        assert frame.rotation == 0
        assert (frame.height, frame.width) == SIZE[::-1]


def test_a_mirrored_matrix_mirrors() -> None:
    pixels = np.arange(6).reshape(1, 6, 1)
    assert Turn(0, is_mirrored=True).applied(pixels)[0, :, 0].tolist() == [5, 4, 3, 2, 1, 0]
    assert Turn(2, is_mirrored=True).applied(pixels)[0, :, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_pixels_that_are_no_squares_stay_so(tmp_path: Path) -> None:
    source = film(tmp_path / "in.mp4", aspect=Fraction(4, 3))
    assert open_clip(source).aspect == Fraction(4, 3)
    assert copied(source, tmp_path / "out.mp4").aspect == Fraction(4, 3)


def test_ten_bits_stay_ten_bits_and_the_coder_tells_nothing_of_itself(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = film(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuv420p10le")
    assert open_clip(source).depth == 10
    assert next(open_clip(source).read()).picture.depth == 16
    assert copied(source, tmp_path / "out.mp4").depth == 10
    assert capfd.readouterr() == ("", "")


def clear_at_the_right(path: Path, **output: Any) -> Clip:
    """Write three frames whose right half is clear, and open what was written."""
    clip = Clip(path, SIZE, read=lambda: iter(()), alpha=True)
    clear = np.zeros((*SIZE, 1), np.uint8)
    clear[:, :40] = 255
    frames = [
        FilmFrame(np.concatenate([shown(n), clear], 2), Fraction(n, 25), Fraction(1, 25), None)
        for n in range(3)
    ]
    said = Output(**output)
    check_film(path, clip, clip.size, said)
    write_clip(path, iter(frames), clip, output=said, excerpt=Excerpt())
    found = open_clip(path)
    found.notes.extend(clip.notes)
    return found


@pytest.mark.parametrize("name", ["out.webm", "out.mov", "out.apng", "out.webp", "out.gif"])
def test_alpha_is_kept_where_the_codec_has_it(tmp_path: Path, name: str) -> None:
    clip = clear_at_the_right(tmp_path / name)
    assert not clip.notes
    *_, last = clip.read()
    assert last.picture.alpha is not None
    assert last.picture.alpha[20, 10] > 0.95
    assert last.picture.alpha[20, 70] < 0.05


@pytest.mark.parametrize(
    ("name", "output", "color"),
    [
        ("out.mp4", {}, (1, 1, 1)),
        ("out.mov", {"codec": "mjpeg"}, (1, 1, 1)),
        ("out.webm", {"background": (0, 255, 0)}, (0, 1, 0)),
        ("out", {"background": (0, 255, 0)}, (0, 1, 0)),
    ],
)
def test_what_is_clear_is_laid_on_a_color_where_the_file_holds_no_alpha_or_one_is_named(
    tmp_path: Path, name: str, output: dict[str, Any], color: tuple[int, ...]
) -> None:
    clip = clear_at_the_right(tmp_path / name, **output)
    assert any("holds no transparency" in note for note in clip.notes) == (color == (1, 1, 1))
    frame = next(clip.read()).picture
    assert frame.alpha is None
    assert (frame.rgb[:, 20, 70] - torch.tensor(color)).abs().max() < 0.04
    assert frame.rgb[0, 30, 10] == pytest.approx(200 / 255, abs=0.04)


def test_colors_come_back(tmp_path: Path) -> None:
    """Whatever the matrix: an error of one would be many steps of 255."""
    for name in ("out.mp4", "out.mov", "out.avi", "out.mkv", "out.webp", "out.apng"):
        source = film(tmp_path / "in.mkv", codec="ffv1", pix_fmt="yuv444p")
        before, after = (
            next(clip.read()).picture.rgb
            for clip in (open_clip(source), copied(source, tmp_path / name, quality=100))
        )
        for place in ((30, 10), (30, 70)):
            assert (before[:, *place] - after[:, *place]).abs().max() < 4 / 255, name


def test_fields_are_joined_and_counted_once(tmp_path: Path) -> None:
    flags = {"flags": "+ildct+ilme"}
    clip = open_clip(film(tmp_path / "in.mkv", codec="mpeg4", frames=5, options=flags))
    assert any("interlaced" in note for note in clip.notes)
    frames = list(clip.read())
    assert len(frames) == 5
    assert [float(f.time) for f in frames] == pytest.approx([n / 25 for n in range(5)], abs=0.002)
    assert [float(f.length) for f in frames] == pytest.approx([1 / 25] * 5, abs=0.002)


@pytest.mark.parametrize("name", ["out.mp4", "out.webm", "out.mkv", "out.mov", "out.avi"])
def test_odd_sides_are_kept(tmp_path: Path, name: str) -> None:
    source = film(tmp_path / "in.webm", size=(47, 81))
    assert copied(source, tmp_path / name).size == (47, 81)


# Animations and folders


@pytest.mark.parametrize("name", ["in.gif", "in.webp", "in.png"])
def test_an_animation_is_a_clip_with_its_own_times(tmp_path: Path, name: str) -> None:
    pictures = [Image.fromarray(shown(n)) for n in range(4)]
    path = tmp_path / name
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[50, 100, 40, 60])
    assert is_clip(path)
    assert [float(t) for t in times(open_clip(path))] == [0, 0.05, 0.15, 0.19]
    pictures[0].save(tmp_path / f"still{path.suffix}")
    assert not is_clip(tmp_path / f"still{path.suffix}")


@pytest.mark.parametrize("name", ["out.gif", "out.webp", "out.apng"])
def test_an_animation_is_written_with_the_times_of_the_clip(tmp_path: Path, name: str) -> None:
    source = film(tmp_path / "in.mp4", ticks=[0, 1280, 2560, 5120, 6400, 7680])
    found = times(copied(source, tmp_path / name))
    assert [float(t) for t in found] == pytest.approx([0, 0.1, 0.2, 0.4, 0.5, 0.6])


def test_a_folder_of_frames_is_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        Image.fromarray(shown(number)).save(tmp_path / f"frame{number}.png")
    assert [frame.name for frame in open_clip(tmp_path).read()] == [
        "frame1.png",
        "frame2.png",
        "frame10.png",
    ]


# What is wrong


def test_what_is_no_clip_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "none").mkdir()
    with pytest.raises(ClipError, match=r"no such clip: .*gone.mp4"):
        open_clip(tmp_path / "gone.mp4")
    for name in ("text.mp4", "empty.mp4"):
        with pytest.raises(ClipError, match=f"{name}: cannot be read as a clip: invalid data"):
            open_clip(tmp_path / name)
    with pytest.raises(ClipError, match="a folder without pictures is no clip"):
        open_clip(tmp_path / "none")


def test_sound_alone_is_no_clip(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mp4"), "w") as file:
        audio = file.add_stream("aac", rate=48000)
        audio.layout = "mono"
        _hum(file, audio, 0.1)
    with pytest.raises(ClipError, match=r"has no video stream \(found: audio\)"):
        open_clip(tmp_path / "song.mp4")


def test_the_picture_of_a_record_s_cover_is_no_clip(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32), (200, 100, 50)).save(tmp_path / "cover.jpg")
    tag = b"\0image/jpeg\0\3\0" + (tmp_path / "cover.jpg").read_bytes()
    tag = b"APIC" + len(tag).to_bytes(4, "big") + bytes(2) + tag
    size = bytes(len(tag) >> bits & 127 for bits in (21, 14, 7, 0))
    with av.open(str(tmp_path / "song.mp3"), "w") as file:
        audio = file.add_stream("libmp3lame", rate=48000)
        audio.layout = "mono"
        _hum(file, audio, 0.1)
    song = (tmp_path / "song.mp3").read_bytes()
    (tmp_path / "song.mp4").write_bytes(b"ID3\3\0\0" + size + tag + song)
    with pytest.raises(ClipError, match=r"has no video stream \(found: audio, cover\)"):
        open_clip(tmp_path / "song.mp4")


def test_a_film_without_frames_is_said_to_have_none(tmp_path: Path) -> None:
    path = film(tmp_path / "in.mkv", codec="ffv1")
    with av.open(str(path)) as file:
        start = min(p.pos for p in file.demux(video=0) if p.pos)
    path.write_bytes(path.read_bytes()[: start - 2])
    with pytest.raises(ClipError, match=r"in.mkv: (has no frame|cannot be read|its video)"):
        open_clip(path)


def test_a_film_that_breaks_off_gives_the_frames_before(tmp_path: Path) -> None:
    path = film(tmp_path / "in.mkv", codec="mpeg4", frames=40)
    whole = open_clip(path)
    assert len(times(whole)) == 40
    assert not whole.notes
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    clip = open_clip(path)
    assert 3 < len(times(clip)) < 40
    assert any(re.search(r"ends at \d\.\d\d s, though it says 1.60 s", n) for n in clip.notes)


def test_damage_in_the_middle_costs_some_frames_and_is_a_note(tmp_path: Path) -> None:
    path = film(tmp_path / "in.mov", codec="png", pix_fmt="rgb24", frames=12)
    with av.open(str(path)) as file:
        place = next(p for p in file.demux(video=0) if p.pts and p.pts * p.time_base > 0.2)
    data = bytearray(path.read_bytes())
    data[place.pos + 20 : place.pos + 60] = b"\xff" * 40
    path.write_bytes(data)
    clip = open_clip(path)
    found = list(clip.read())
    assert 10 <= len(found) <= 12
    assert any(re.search(r"at 0\.2\d s is damaged", note) for note in clip.notes)


def test_frames_of_another_size_are_brought_to_that_of_the_first(tmp_path: Path) -> None:
    Image.fromarray(shown(0)).save(tmp_path / "1.png")
    Image.fromarray(shown(1, (96, 80))).save(tmp_path / "2.png")
    clip = open_clip(tmp_path)
    assert [frame.picture.size for frame in clip.read()] == [SIZE, SIZE]
    assert any("80×96 px from 0.04 s on" in note for note in clip.notes)


@pytest.mark.parametrize(
    ("name", "said", "sentence"),
    [
        ("out.xyz", {}, "no known format of clips"),
        ("out.mp4", {"codec": "ffv1"}, "codec: ffv1 goes into"),
        ("out.mp4", {"codec": "h264"}, "libx264 takes even sides, not 81×47 px"),
        ("out.webm", {}, "does not hold the clip's sound, which is aac; name the film .mkv"),
    ],
)
def test_what_could_not_be_written_is_refused_before_the_work(
    tmp_path: Path, name: str, said: dict[str, Any], sentence: str
) -> None:
    clip = open_clip(film(tmp_path / "in.mkv", codec="ffv1", size=(47, 81), sounds=1))
    with pytest.raises(OutputError, match=sentence):
        check_film(tmp_path / name, clip, clip.size, Output(**said))


def test_a_codec_that_this_build_lacks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = open_clip(film(tmp_path / "in.mkv", codec="ffv1"))
    monkeypatch.setattr(av, "codecs_available", set())
    with pytest.raises(OutputError, match="this build of PyAV has no libsvtav1 to write av1"):
        codec_for(".mp4", clip, "av1")


def test_without_pyav_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    path = film(tmp_path / "in.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ClipError, match=r"pip install 'layered-nst\[video\]'"):
        open_clip(path)


def test_the_usual_codecs_are_those_that_need_no_license(tmp_path: Path) -> None:
    clip = open_clip(film(tmp_path / "in.mp4"))
    for suffix in (".mp4", ".webm", ".mkv", ".mov", ".avi"):
        assert codec_for(suffix, clip, None).library not in ("libx264", "libx265")
