"""Bare skin and hair of someone whose face was found.

Both are looked for within the person alone, and by color: skin is what is colored as the face,
whatever light falls on it; hair is what is colored as what lies above the brow, and nearer to that,
by ways through the photo, than to face, clothes and ground.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from layered_nst.picture.guided import guided_filter, resample
from layered_nst.picture.lab import rgb_to_lab
from layered_nst.regions.components import closed
from layered_nst.regions.edges import Mask, antialias
from layered_nst.regions.face_views import FaceView, likeness, spread_from
from layered_nst.regions.ways import ways

# Lengths are in sides of the detector's box, from the brows to the chin.
SKIN_REACH, HAIR_REACH = 9.0, 2.6
"""How far from the middle of the box each is looked for."""
SKIN_LEAST, SKIN_LIKE, SKIN_NEARLY = (10.0, 3.0, 3.0), 2.5, 4.0
"""Standard deviations of L, a and b that are added to those of the face's skin, and within how many
of all that a color is skin: a neck lies in the shadow of its chin, but has the face's hue. What
skin encloses may be less like it."""
CRUMB, GARMENT = 0.01, 1.0
"""Areas, in those of the face, of the smallest piece that counts and of the largest that may lie
apart from face and neck: a coat of the skin's color is larger than a hand or a forearm."""
LOOKED_AT = 48
"""Side of the box in px, at most, at which skin is looked for."""
SKIN_WINDOW, HAIR_WINDOW, EPS = 0.04, 0.06, 2e-4
"""Windows and regularization of the guided filters that draw the outlines."""
WALKED = 40
"""Side of the box in px, at most, at which ways through the photo are measured."""
CROWN, BROW, NOT_SKIN = (1.0, 1.3), -0.25, 2.0
"""Hair begins between these ellipses, above this line, where a color is so far from the skin's."""
HAIR_LEAST, HAIR_SHARE, HAIR_LIKE = (8.0, 3.0, 3.0), 0.8, 3.0
"""As for skin; the share of what was found that tells how hair varies."""
TEMPLES, CHEEK, HAIR_SURELY = 1.4, -0.05, 2.0
"""Within this ellipse, above this line, what is so much like the hair found above is hair too."""
CHIN, OTHER, SHOULDERS, ENDS = 0.9, 4.0, 1.1, 1.6
"""From here down what is so far from the hair's color, or so far to the sides, is clothes, and from
there down, or as far to the sides, everything is."""
GAP = 0.07
"""Radius of the largest disk that does not fit between hair and face."""
ROUNDS = 3
"""How often its color is taken from what was found: below, hair is darker than at the crown."""
FEWEST = 8
"""Places, at ``WALKED``, without which there is no hair."""
TOUCHING = np.ones((3, 3), dtype=bool)


def skin(view: FaceView, face: Tensor) -> Tensor:
    """A face with the bare skin of who has it: neck, arms, hands, as far as colors tell.

    Args:
        view: the photo around it, ``SKIN_REACH`` far.
        face: the mask of the face, shape (h, w).

    Returns:
        Shape (h, w), in [0, 1]; the face alone if nobody was found who has it.
    """
    if view.person is None:
        return face
    planes = torch.cat([view.rgb, torch.stack([view.outline(), view.person, face])])
    small = resample(planes, view.grid(LOOKED_AT))
    outline, person, of_face = small[3:]
    unlike = likeness(rgb_to_lab(small[:3]), outline, SKIN_LEAST)
    like = ((unlike <= SKIN_LIKE) & (person >= 0.5)).cpu().numpy()
    within = (of_face >= 0.5).cpu().numpy()
    found = _of_one(like, within)
    found |= _enclosed(found | within, unlike.cpu().numpy())
    bare = torch.minimum(_drawn(view, found, SKIN_WINDOW), view.person)
    return torch.maximum(bare, face)


def _of_one(like: Mask, face: Mask) -> Mask:
    """Skin without crumbs and garments: pieces apart from the face, too small or too large."""
    numbers, _ = ndimage.label(like | face, structure=TOUCHING)
    areas = np.bincount(numbers.ravel()) / max(1, face.sum())
    kept = (areas > CRUMB) & (areas < GARMENT)
    kept[np.unique(numbers[face])] = True
    kept[0] = False
    pieces: Mask = like & kept[numbers]
    return pieces


def _enclosed(skin: Mask, unlike: NDArray[np.float64]) -> Mask:
    """What lies within skin and is nearly of its color: shade and sheen."""
    numbers, _ = ndimage.label(ndimage.binary_fill_holes(skin, TOUCHING) & ~skin)
    middle = ndimage.median(unlike, numbers, np.arange(numbers.max() + 1))
    within: Mask = (numbers > 0) & (middle <= SKIN_NEARLY)[numbers]
    return within


def hair(view: FaceView, face: Tensor) -> Tensor:
    """The hair around a face, and what is worn in its place.

    Args:
        view: the photo around it, ``HAIR_REACH`` far.
        face: the mask of the face, shape (h, w).

    Returns:
        Shape (h, w), in [0, 1]; nothing of who is bald, or if nobody was found who has the face.
    """
    if view.person is None:
        return torch.zeros_like(face)
    found = _hair_found(view, face, view.person)
    drawn = _drawn(view, found, HAIR_WINDOW)
    head = closed(torch.maximum(drawn, face).cpu().numpy(), GAP * view.frame.side)
    between = torch.from_numpy(head).to(face) * (view.frame.grid(view.rgb)[1] < CHIN)
    grown = torch.maximum(drawn, between) if found.any() else drawn
    return torch.minimum(torch.minimum(grown, view.person), 1 - face)


def _hair_found(view: FaceView, face: Tensor, person: Tensor) -> Mask:
    """Where hair is, at the scale on which ways are measured."""
    outline, (across, down) = view.outline(), view.frame.grid(view.rgb)
    lab = rgb_to_lab(view.rgb)
    planes = [outline, across, down, person, face, likeness(lab, outline, SKIN_LEAST)]
    stacked = torch.cat([lab, torch.stack([p.expand(face.shape) for p in planes])])
    small = view.small(stacked, WALKED)
    colors, (away, beside, below, own, of_face, like_skin) = small[:3], small[3:]
    inside = (own >= 0.5) & (of_face < 0.5)
    crown = (away > CROWN[0]) & (away < CROWN[1]) & (below < BROW)
    temples = (away > CROWN[0]) & (away < TEMPLES) & (below < CHEEK)
    shoulders = (below > CHIN) & (np.abs(beside) > SHOULDERS)
    beyond = shoulders | (below > ENDS) | (np.abs(beside) > ENDS)
    starts: Mask = inside & crown & (like_skin > NOT_SKIN)
    found = starts
    for _ in range(ROUNDS):
        if found.sum() < FEWEST:
            return np.zeros_like(found)
        unlike = _unlike(colors, found)
        likely = inside & ~beyond & (unlike < HAIR_LIKE) & (unlike < like_skin)
        clothes = inside & (beyond | ((below > CHIN) & (unlike > OTHER)))
        # Parted by the face, it goes on at the other side.
        starts = starts | (likely & temples & (unlike < HAIR_SURELY))
        near = ways(colors, (found | starts) & likely)
        found = _joined(likely & (near < ways(colors, clothes | (of_face >= 0.5))), starts)
    return found


def _unlike(colors: NDArray[np.float64], found: Mask) -> NDArray[np.float64]:
    """How far each color is from that of hair, in standard deviations."""
    lab = torch.from_numpy(colors)
    known = lab[:, torch.from_numpy(found)]
    return np.asarray(spread_from(lab, known, HAIR_LEAST, HAIR_SHARE).numpy())


def _joined(mask: Mask, starts: Mask) -> Mask:
    """The pieces of a mask in which one of the starts lies."""
    kept: Mask = ndimage.binary_propagation(starts & mask, mask=mask)
    return kept


def _drawn(view: FaceView, found: Mask, window: float) -> Tensor:
    """A rough mask of any size, at the view's, with its outline on the photo's edges."""
    scale = found.shape[0] / view.rgb.shape[1]
    fitted = guided_filter(
        resample(view.rgb, found.shape),
        torch.from_numpy(found).to(view.rgb)[None],
        radius=max(1, round(window * view.frame.side * scale)),
        eps=EPS,
        full=view.rgb,
    )
    return antialias(fitted[0] - 0.5)
