"""The sound and subtitles of a clip, copied into the film that is made of it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from layered_nst.video.clips import Clip, Excerpt
from layered_nst.video.films import pyav, why


class Sound:
    """Copies the packets of a clip's audio and subtitles into a film, as they come.

    Args:
        clip: that they are of.
        file: that is written, before its first packet.
        excerpt: which part of the clip is taken.
    """

    def __init__(self, clip: Clip, file: Any, excerpt: Excerpt) -> None:
        self.file, self.clip, self.excerpt = file, clip, excerpt
        self.source: Any = None
        self.streams: dict[int, Any] = {}
        self.waiting: Any = None
        self.start = Fraction(0)

    def __enter__(self) -> Sound:
        if self.clip.sounds or self.clip.captions:
            self._open()
        return self

    def __exit__(self, *_: object) -> None:
        if self.source is not None:
            self.source.close()

    def _open(self) -> None:
        av = pyav()
        self.source = av.open(str(self.clip.path), metadata_errors="replace")
        held = self.file.supported_codecs
        for stream in (*self.source.streams.audio, *self.source.streams.subtitles):
            context = stream.codec_context
            if context is None or (stream.type == "subtitle" and context.name not in held):
                continue
            copy = self.file.add_stream_from_template(stream)
            copy.metadata.update(stream.metadata)
            self.streams[stream.index] = copy
        film = self.source.streams.video[0]
        if self.excerpt.start is not None or self.excerpt.end is not None:
            self.start = Fraction((film.start_time or 0) * film.time_base)
        if self.streams:
            taken = [self.source.streams[index] for index in self.streams]
            self.packets = self.source.demux(taken)
            self.waiting = next(self.packets, None)

    def up_to(self, time: Fraction | None) -> None:
        """Copy all packets that are heard up to a time, seconds; None for all there are."""
        av = pyav()
        while self.waiting is not None:
            packet = self.waiting
            if packet.dts is not None:
                at = Fraction(packet.dts * packet.time_base)
                if time is not None and at > time:
                    return
                self._copy(packet, at)
            try:
                self.waiting = next(self.packets, None)
            except av.error.FFmpegError as error:
                self.clip.notes.append(f"{self.clip.path.name}: its sound breaks off: {why(error)}")
                self.waiting = None

    def _copy(self, packet: Any, at: Fraction) -> None:
        since = at - self.start
        start, end = self.excerpt.start, self.excerpt.end
        if start is not None and since < start:
            return
        if end is not None and since >= end:
            return
        if start is not None:
            ticks = round(
                (self.start + Fraction(start).limit_denominator(10**6)) / packet.time_base
            )
            packet.dts -= ticks
            packet.pts = None if packet.pts is None else packet.pts - ticks
        packet.stream = self.streams[packet.stream.index]
        self.file.mux(packet)
