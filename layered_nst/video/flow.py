"""Where things are from one frame to another, how far that can be relied on, and moving by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from layered_nst import plugins
from layered_nst.errors import PluginError
from layered_nst.plugins import Part
from layered_nst.video.fusion import fused
from layered_nst.video.opencv import box_mean, cv2

# Of Ruder et al. and Lai et al.: what is not where it is said to come from is hidden, and what
# lies where motion changes is a border.
HIDDEN, HIDDEN_LEAST = 0.01, 0.5
BORDER, BORDER_LEAST = 0.01, 0.002
SOFTENED = 0.8
"""Sigma in px by which reliability is softened (Ruder et al.)."""
LOCAL = 33
"""Side in px of the square within which light and contrast are evened out before the flow is
looked for."""
FINE_SIDE = 800
"""Longest side in px up to which the flow is looked for at single px, and not at every other."""
SMOOTH = 80.0
"""How smooth a flow is refined to be; OpenCV itself takes 20. In plain parts a flow is whatever
comes, and what is painted there swims: at 80 a film of 176 px changed by a tenth less from frame to
frame. At 160 small things no longer move by themselves."""
# Contrast below this, of 1, is noise.
FAINT_CONTRAST = 0.02

CUT = 0.25
"""What was seen in the frame before in less than this share begins a shot."""
FEWEST_SURE = 0.05
"""Share of a frame that a flow must be sure of to say anything of the rest."""
AROUND = (15, 61)
"""Sides in px of the squares whose motion may be that of their middle."""
NEAR, UNEXPLAINED = 5, 2.5 / 255
"""A motion explains a frame where pixels in squares of so many px differ by less than that."""
DIFFERENT = 12 / 255
"""What differs by more, and by three times what is usual, is not the same thing."""
FEWEST_LIT = 100
"""Pixels that say how the light has changed."""
APART = 0.25
"""Mean square in px of what differs from the mean motion, above which there are two."""
MENDED = 0.9
"""How far that is relied on."""

GRAIN, GRAINLESS, MOST_GRAIN = 0.8, 1e-5, 1.25
"""Of what moves: sigma in px below which it is grain, the square of what hardly is any, and by how
much it is brought out at most."""

FlowOf = Callable[[Tensor, Tensor], Tensor]
"""Where each pixel of one picture (3, H, W) is in another, in px: shape (2, H, W), x and y."""


@dataclass(frozen=True)
class Motion:
    """How a frame has come of an earlier one.

    Attributes:
        back: where each pixel of the frame was in the earlier one, px, shape (2, H, W).
        reliability: how far that is to be relied on, shape (H, W) in [0, 1].
    """

    back: Tensor
    reliability: Tensor

    @property
    def seen(self) -> float:
        """Share of the frame that was seen in the earlier one."""
        return float(self.reliability.mean())


def flow_of(name: str) -> FlowOf:
    """The optical flow of that name, which may stand with what is said to it.

    Raises:
        PluginError: none is called so, or it does not take that.
    """
    part, said = plugins.meant("flow", name)
    found: FlowOf = plugins.object_of(part)
    return found if part.is_own else partial(_of_plugin, part, partial(found, **said))


def _of_plugin(part: Part, found: FlowOf, one: Tensor, other: Tensor) -> Tensor:
    """What a plug-in's flow says, held to what flows promise."""
    with plugins.blamed(part), torch.no_grad():
        # Contiguous: what is one number spread out could not be written to.
        said = torch.as_tensor(found(one, other)).to(one.device, torch.float32).contiguous()
    if tuple(said.shape) != (2, *one.shape[1:]) or not bool(said.isfinite().all()):
        wanted = (2, *one.shape[1:])
        raise PluginError(f"{part}: gave {tuple(said.shape)}, and not {wanted} finite numbers")
    return said


def dis(one: Tensor, other: Tensor) -> Tensor:
    """Optical flow by dense inverse search, after light and contrast were evened out.

    A flash or a fade changes the light of all, which inverse search would take for motion.

    Source: Kroeger et al. 2016 (arXiv 1603.03590), as OpenCV has it. Down to single px its fast
    preset comes as near to exact flows as the medium one.
    """
    seeker = cv2().DISOpticalFlow_create(cv2().DISOPTICAL_FLOW_PRESET_FAST)
    seeker.setVariationalRefinementAlpha(SMOOTH)
    seeker.setFinestScale(0 if max(one.shape) <= FINE_SIDE else 1)
    found = seeker.calc(evened(one), evened(other), None)
    return torch.from_numpy(np.ascontiguousarray(found)).movedim(-1, 0).contiguous()


def evened(picture: Tensor) -> NDArray[np.uint8]:
    """``unlit``, as a picture to look for a flow in."""
    return np.asarray((127.5 + 42 * unlit(picture)).clip(0, 255), np.uint8)


def unlit(picture: Tensor) -> NDArray[Any]:
    """The light and dark of a picture (3, H, W), its local mean and contrast taken out, (H, W)."""
    weights = picture.new_tensor([0.299, 0.587, 0.114])
    gray = (picture * weights[:, None, None]).sum(0).cpu().numpy()
    mean, spread = _around(gray, LOCAL)
    return np.asarray((gray - mean) / (spread + FAINT_CONTRAST))


def _around(gray: NDArray[Any], side: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and standard deviation in the square of so many px around each pixel, (H, W)."""
    mean, squares = (
        cv2().blur(plane, (side, side), borderType=cv2().BORDER_REFLECT)
        for plane in (gray, gray**2)
    )
    return mean, np.sqrt(np.maximum(squares - mean**2, 0))


def motion(frame: Tensor, earlier: Tensor, flow: FlowOf) -> Motion:
    """How a frame (3, H, W) has come of an earlier one of the same size."""
    frame, earlier = frame.cpu(), earlier.cpu()
    back, forth = flow(frame, earlier), flow(earlier, frame)
    earlier = lit_alike(earlier, frame, back, reliability_of(back, hidden_by(back, forth)))
    back, forth = _fused(back, frame, earlier), _fused(forth, earlier, frame)
    gap, busy = _gap(back, frame, earlier), contrast(frame)
    fits = gap < UNEXPLAINED + busy / 4
    sure = reliability_of(back, hidden_by(back, forth), fits)
    # A fine pattern never fits to the pixel.
    other = gap > DIFFERENT + 3 * gap.median() + busy / 2
    return mended(Motion(back, sure * ~other), frame, earlier)


def _fused(flow: Tensor, frame: Tensor, earlier: Tensor) -> Tensor:
    pictures = (np.ascontiguousarray(p.movedim(0, -1).numpy()) for p in (frame, earlier))
    return torch.from_numpy(fused(flow.numpy(), *pictures))


def lit_alike(earlier: Tensor, frame: Tensor, back: Tensor, sure: Tensor) -> Tensor:
    """An earlier photo in the light of a later one, channel by channel: after a flash or a fade
    they are as like as before."""
    known = sure > 0.5
    if int(known.sum()) < FEWEST_LIT:
        return earlier
    there = moved(earlier, back, smooth=True)[:, known]
    spread, mean = torch.std_mean(there, 1)
    wanted, light = torch.std_mean(frame[:, known], 1)
    gain = (wanted / spread.clamp(min=1e-3)).clamp(0.1, 10)
    return (earlier - mean[:, None, None]) * gain[:, None, None] + light[:, None, None]


def mended(found: Motion, frame: Tensor, earlier: Tensor) -> Motion:
    """A motion that goes along with what moves around, where that explains the frame as well.

    In a clear sky a flow is whatever comes, and leads nowhere and back: what is painted there
    would begin anew with each frame.

    Args:
        frame, earlier: the photos, shape (3, H, W).
    """
    sure = found.reliability.numpy()
    if sure.mean() < FEWEST_SURE:
        return found
    back, reliability, open_ = found.back.clone(), found.reliability.clone(), sure < 0.5
    for side in AROUND:
        around = averaged(found.back.numpy(), sure, side)
        one = torch.from_numpy(_is_one(found.back.numpy(), around, sure, side) & open_)
        explains = _explains(torch.from_numpy(around), frame, earlier) & one
        back[:, explains] = torch.from_numpy(around)[:, explains]
        reliability[explains] = MENDED
        open_ &= ~explains.numpy()
    return Motion(back, reliability)


def averaged(flow: NDArray[Any], weight: NDArray[Any], side: int) -> NDArray[Any]:
    """The weighted mean of a flow (2, H, W) in squares of so many px; far from any, of all."""
    mean = (flow * weight).sum((1, 2)) / weight.sum()
    known = cv2().blur(weight, (side, side), borderType=cv2().BORDER_CONSTANT)
    parts = [
        (cv2().blur(plane * weight, (side, side), borderType=cv2().BORDER_CONSTANT) + 1e-3 * usual)
        / (known + 1e-3)
        for plane, usual in zip(flow, mean, strict=True)
    ]
    return np.stack(parts).astype(np.float32)


def _is_one(
    flow: NDArray[Any], usual: NDArray[Any], weight: NDArray[Any], side: int
) -> NDArray[np.bool_]:
    """Where a flow (2, H, W) is about its mean in squares of so many px, and not two motions.

    Behind a thing that moves over a plain ground anything explains what comes into sight; by the
    mean of both motions the ground would be drawn along as a smear.
    """
    square = averaged(np.square(flow), weight, side) - np.square(usual)
    spread: NDArray[np.bool_] = square.sum(0) < APART + HIDDEN * np.square(usual).sum(0)
    return spread


def _explains(back: Tensor, frame: Tensor, earlier: Tensor) -> Tensor:
    """Where a flow makes the frame of the earlier one, shape (H, W)."""
    return (_gap(back, frame, earlier) < UNEXPLAINED) & lands_inside(back)


def contrast(photo: Tensor) -> Tensor:
    """Standard deviation of the gray values around each pixel, shape (H, W)."""
    return torch.from_numpy(_around(photo.mean(0).numpy(), NEAR)[1])


def _gap(back: Tensor, frame: Tensor, earlier: Tensor) -> Tensor:
    """How far what a flow makes of the earlier photo is from the frame, shape (H, W)."""
    gap = (moved(earlier, back, smooth=True) - frame).abs().mean(0).numpy()
    return torch.from_numpy(cv2().blur(gap, (NEAR, NEAR), borderType=cv2().BORDER_REFLECT))


def hidden_by(back: Tensor, forth: Tensor) -> Tensor:
    """What was hidden or outside in the earlier frame: a flow does not lead there and back.

    Source: Sundaram et al. 2010, as Ruder et al. 2016 (arXiv 1604.08610) have it in equation 3.

    Args:
        back, forth: px, shape (2, H, W).

    Returns:
        Shape (H, W), bool.
    """
    there, long = moved(forth, back, smooth=True), back.square().sum(0)
    astray = (there + back).square().sum(0)
    most = HIDDEN * (there.square().sum(0) + long) + HIDDEN_LEAST
    return (astray > most) | ~lands_inside(back)


def reliability_of(back: Tensor, hidden: Tensor, fits: Tensor | None = None) -> Tensor:
    """How far a flow can be relied on: not where things were hidden, nor where motion changes.

    Source: Ruder et al. 2016, equations 4 and 5.

    Args:
        back: px, shape (2, H, W).
        hidden: of ``hidden_by``.
        fits: where the photos agree along the flow, bool: there a change of motion is no doubt.

    Returns:
        Shape (H, W) in [0, 1].
    """
    border = _gradient(back) > BORDER * back.square().sum(0) + BORDER_LEAST
    if fits is not None:
        border &= ~fits
    sure = (~hidden & ~border).float()
    soft = cv2().GaussianBlur(sure.numpy(), (0, 0), SOFTENED)
    # Softening must not lend to what is hidden.
    return torch.minimum(torch.from_numpy(soft), sure)


def _gradient(flow: Tensor) -> Tensor:
    """Sum of squares of how a flow changes across and down, shape (H, W)."""
    padded = F.pad(flow[None], (1, 1, 1, 1), "replicate")[0]
    across = (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]) / 2
    down = (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]) / 2
    return (across.square() + down.square()).sum(0)


def gone_since(found: Motion) -> Tensor:
    """What of the earlier frame nothing comes from that can be relied on, shape (H, W), bool."""
    x, y = (part.round().long() for part in _places(found.back))
    height, width = x.shape
    sure = (found.reliability > 0.5) & lands_inside(found.back)
    gone = np.ones((height, width), np.uint8)
    gone[y[sure].clamp(0, height - 1).numpy(), x[sure].clamp(0, width - 1).numpy()] = 0
    # Where things come nearer, pixels between those that were met are not gone.
    return torch.from_numpy(cv2().morphologyEx(gone, cv2().MORPH_OPEN, np.ones((3, 3))) > 0)


def lands_inside(back: Tensor) -> Tensor:
    """Whether a flow (2, H, W) leads to somewhere within the picture, shape (H, W)."""
    return (beyond(back) <= 0.5).all(0)


def beyond(back: Tensor) -> Tensor:
    """How far above or below, and beside, the middles of the outermost pixels a flow leads, px.

    Args:
        back: shape (2, H, W).

    Returns:
        Shape (2, H, W), down and across; below 0 within.
    """
    height, width = back.shape[1:]
    x, y = _places(back)
    return torch.stack([torch.maximum(-y, y - (height - 1)), torch.maximum(-x, x - (width - 1))])


def _places(back: Tensor) -> tuple[Tensor, Tensor]:
    height, width = back.shape[1:]
    x = torch.arange(width, dtype=back.dtype, device=back.device) + back[0]
    y = torch.arange(height, dtype=back.dtype, device=back.device)[:, None] + back[1]
    return x, y


def moved(planes: Tensor, back: Tensor, *, smooth: bool = False) -> Tensor:
    """Planes (C, H, W) of an earlier frame, moved to where they are now.

    Args:
        back: where each pixel was, px, shape (2, H, W).
        smooth: linearly, as masks and flows want it; else by Lanczos' kernel, since a painting
            that goes linearly from frame to frame loses its strokes.
    """
    how = cv2().INTER_LINEAR if smooth else cv2().INTER_LANCZOS4
    x, y = (part.float().cpu().numpy() for part in _places(back))
    source = [plane.numpy() for plane in planes.float().cpu()]
    parts = [_remapped(plane, x, y, how) for plane in source]
    if not smooth:
        parts = [_within(part, plane, x, y) for part, plane in zip(parts, source, strict=True)]
    return torch.from_numpy(np.stack(parts)).to(planes)


def repainted(canvas: Tensor, back: Tensor) -> Tensor:
    """A painting (3, H, W) of an earlier frame, moved to where its things are now, with as much
    grain as it had.

    Whatever lies between pixels is softer, and from frame to frame it would be softer still, fine
    chroma first, which a style's pull hardly brings back.
    """
    found = moved(canvas, back).clamp(0, 1)
    had = moved(_around_squared(_grain(canvas)), back, smooth=True)
    grain = _grain(found)
    lost = (had + GRAINLESS) / (_around_squared(grain) + GRAINLESS)
    return (found + (lost.sqrt().clamp(1, MOST_GRAIN) - 1) * grain).clamp(0, 1)


def _grain(picture: Tensor) -> Tensor:
    """What is finer than ``GRAIN`` px, shape (3, H, W)."""
    soft = [cv2().GaussianBlur(plane, (0, 0), GRAIN) for plane in picture.numpy()]
    return picture - torch.from_numpy(np.stack(soft))


def _around_squared(grain: Tensor) -> Tensor:
    return box_mean(grain.square(), NEAR)


def _remapped(plane: NDArray[Any], x: NDArray[Any], y: NDArray[Any], how: int) -> NDArray[Any]:
    return np.asarray(cv2().remap(plane, x, y, how, borderMode=cv2().BORDER_REPLICATE))


def _within(
    part: NDArray[Any], plane: NDArray[Any], x: NDArray[Any], y: NDArray[Any]
) -> NDArray[Any]:
    """A moved plane without the ringing that grows at edges from frame to frame: nothing is
    lighter or darker than what is there."""
    around, nearest = np.ones((3, 3), np.uint8), cv2().INTER_NEAREST
    least, most = (cv2().erode(plane, around), cv2().dilate(plane, around))
    return part.clip(_remapped(least, x, y, nearest), _remapped(most, x, y, nearest))
