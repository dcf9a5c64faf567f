"""Faces: the network is the original one, photos are searched well, masks fit."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from layered_nst.errors import ModelError, RecipeError, RegionError
from layered_nst.files.tensors import read_metadata, read_tensors, write_tensors
from layered_nst.networks.catalogue import BUNDLE
from layered_nst.networks.faces import Face, detect_faces, detector, load_detector
from layered_nst.picture import read_picture
from layered_nst.recipe import load_recipe
from layered_nst.regions.faces import face_mask
from layered_nst.scene.provenance import read_inputs
from layered_nst.scene.resolving import resolve
from layered_nst.scene.scene import Scene

PHOTOS = Path(__file__).parents[1] / "assets" / "photos"


@pytest.fixture(scope="module")
def astronaut() -> Tensor:
    return read_picture(PHOTOS / "astronaut.jpg").rgb


@pytest.fixture(scope="module")
def half(astronaut: Tensor) -> Tensor:
    """The same in 256 px: a face of some 50 px, found in a quarter of the time."""
    return F.avg_pool2d(astronaut[None], 2)[0]


@pytest.fixture(scope="module")
def faces(astronaut: Tensor) -> tuple[Face, ...]:
    return found(astronaut)


def found(rgb: Tensor) -> tuple[Face, ...]:
    return detect_faces(load_detector(), rgb)


def middle(face: Face) -> tuple[float, float]:
    left, top, right, bottom = face.box
    return (left + right) / 2, (top + bottom) / 2


def test_the_network_gives_the_numbers_of_the_original(astronaut: Tensor) -> None:
    """Those of MediaPipe's file run by TensorFlow Lite on the same 128 px of this photo."""
    shown = F.avg_pool2d(astronaut[None, :, :256, 128:384], 2)
    # The original was shown 8 bits.
    scores, values = load_detector()((shown * 255).round() / 127.5 - 1)
    best = int(scores.argmax())
    assert best == 674
    assert float(scores[0, best]) == pytest.approx(2.495, abs=0.05)
    box = [-7.86, 5.68, 51.53, 51.53]
    eyes = [-18.89, -5.85, 2.69, -5.03]
    assert values[0, best, :8].tolist() == pytest.approx(box + eyes, abs=0.15)
    assert float(scores.mean()) == pytest.approx(-12.942, abs=0.03)
    assert float(values.std()) == pytest.approx(25.598, abs=0.03)


def test_a_face_is_found_with_its_eyes_above_its_mouth(faces: tuple[Face, ...]) -> None:
    (face,) = faces
    assert face.score > 0.85
    right, left, nose, mouth = face.points[:4]
    assert right[0] < nose[0] < left[0], "the right eye is on the left of the picture"
    assert max(right[1], left[1]) < nose[1] < mouth[1]
    assert middle(face) == pytest.approx((0.45, 0.23), abs=0.03)


@pytest.mark.parametrize("photo", ["coffee", pytest.param("fig", marks=pytest.mark.slow), "cat"])
def test_where_there_is_no_face_none_is_found(photo: str) -> None:
    assert found(read_picture(PHOTOS / f"{photo}.jpg").rgb) == ()


@pytest.mark.parametrize("degrees", [-40, 25])
def test_turned_faces_are_found_and_their_eyes_tell_the_turn(half: Tensor, degrees: float) -> None:
    angle = math.radians(degrees)
    turn = torch.tensor(
        [[[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]]]
    )
    grid = F.affine_grid(turn, [1, 3, 256, 256], align_corners=False)
    (face,) = found(F.grid_sample(half[None], grid, align_corners=False)[0])
    (right, left) = face.points[:2]
    seen = math.degrees(math.atan2(left[1] - right[1], left[0] - right[0]))
    assert seen == pytest.approx(-degrees, abs=10)


def test_a_face_of_12_px_is_found_in_a_large_photo(astronaut: Tensor) -> None:
    small = F.interpolate(astronaut[None], (60, 60), mode="area")[0]
    photo = torch.full((3, 400, 600), 0.6)
    photo[:, 100:160, 300:360] = small
    (face,) = found(photo)
    assert middle(face) == pytest.approx((327 / 600, 114 / 400), abs=0.01)
    assert 8 < (face.box[2] - face.box[0]) * 600 < 14


def test_thirty_faces_are_found_each_once(astronaut: Tensor) -> None:
    one = F.interpolate(astronaut[None, :, :256, 96:352], (64, 64), mode="area")[0]
    faces = found(one.repeat(1, 5, 6))
    assert len(faces) == 30
    places = {(int(x * 6), int(y * 5)) for x, y in map(middle, faces)}
    assert len(places) == 30


def two_faces(half: Tensor) -> Tensor:
    """One on the left, and one half as large on the right."""
    photo = torch.full((3, 256, 400), 0.5)
    photo[:, :, :256] = half
    photo[:, 50:178, 265:393] = F.avg_pool2d(half[None], 2)[0]
    return photo


def test_faces_come_largest_first(half: Tensor) -> None:
    large, small = found(two_faces(half))
    assert large.box[2] - large.box[0] > 1.5 * (small.box[2] - small.box[0])
    assert middle(large)[0] < 0.5 < middle(small)[0]


@pytest.mark.parametrize("size", [(1, 1), (7, 400), (64, 64)])
def test_small_and_flat_pictures_have_no_face(size: tuple[int, int]) -> None:
    assert found(torch.full((3, *size), 0.7)) == ()
    assert found(torch.zeros(3, *size)) == ()


def test_gray_and_dark_photos_keep_their_face(half: Tensor) -> None:
    gray = half.mean(0).expand(3, -1, -1)
    assert len(found(gray)) == len(found(half * 0.3)) == 1


def test_a_mask_is_the_face_and_neither_the_hair_nor_the_ground(
    astronaut: Tensor, faces: tuple[Face, ...]
) -> None:
    mask = face_mask(faces, astronaut)

    inside = (224, 115), (200, 130), (250, 130), (223, 155), (225, 80)
    assert min(at(mask, *spot) for spot in inside) > 0.95
    hair, wall, suit = (at(mask, *spot) for spot in ((170, 75), (330, 120), (220, 230)))
    assert max(hair, wall, suit) < 0.05
    assert 0.02 < float(mask.mean()) < 0.06


def test_a_face_is_one_piece_without_holes_though_it_wears_dark_glasses(
    half: Tensor, faces: tuple[Face, ...]
) -> None:
    ((x, y), (right, _)) = faces[0].points[:2]
    height, width = half.shape[1:]
    worn = half.clone()
    for at in (x, right):
        row, column = int(y * height), int(at * width)
        worn[:, row - 5 : row + 6, column - 7 : column + 8] = 0.02
    mask = face_mask(faces[:1], worn).numpy()
    assert ndimage.label(mask >= 0.5, structure=np.ones((3, 3)))[1] == 1
    assert np.array_equal(ndimage.binary_fill_holes(mask >= 0.5), mask >= 0.5)
    assert mask[int(y * height), int(right * width)] == 1


@pytest.mark.parametrize("at", [(0.4, 0), (-0.4, 0), (-0.3, -0.45)])
def test_a_temple_in_another_light_is_of_the_face(
    at: tuple[float, float], astronaut: Tensor, faces: tuple[Face, ...]
) -> None:
    face, (height, width) = faces[0], astronaut.shape[1:]
    side = (face.box[2] - face.box[0]) * width
    (x, y), reach, lit = middle(face), round(0.07 * side), astronaut.clone()
    row, column = int(y * height + at[1] * side), int(x * width + at[0] * side)
    spot = slice(row - reach, row + reach), slice(column - reach, column + reach)
    lit[:, *spot] = torch.tensor([0.35, 0.8, 1.0])[:, None, None]
    temple = face_mask(faces, astronaut)[spot] == 1
    assert temple.float().mean() > 0.9, "it was of the face before the light fell on it"
    assert float(face_mask(faces, lit)[spot][temple].mean()) > 0.9


def test_a_pale_wall_beside_a_cheek_is_not_of_the_face(
    astronaut: Tensor, faces: tuple[Face, ...]
) -> None:
    """Its color is that of the skin; it is seen between her hair and the ring of her suit."""
    mask = face_mask(faces, astronaut)
    assert float(mask[136:150, 172:176].max()) == 0, "left of her cheek"
    assert float(mask[155:170, 262:268].max()) == 0, "right of her jaw"
    assert float(mask[120:150, 195:240].min()) > 0.99, "her cheeks"


def test_parts_of_a_face_lie_within_it(astronaut: Tensor, faces: tuple[Face, ...]) -> None:
    whole, eyes, mouth = (face_mask(faces, astronaut, part) for part in ("face", "eyes", "mouth"))
    assert float((eyes - whole).max()) <= 0
    assert float((mouth - whole).max()) <= 0
    assert float((eyes * mouth).max()) == 0
    for number, mask in ((0, eyes), (1, eyes), (3, mouth)):
        x, y = faces[0].points[number]
        assert float(mask[int(y * 512), int(x * 512)]) > 0.9
    assert 0.05 < float(eyes.sum() / whole.sum()) < 0.2


def test_a_mask_is_the_same_part_of_a_smaller_copy(
    astronaut: Tensor, faces: tuple[Face, ...]
) -> None:
    small = F.interpolate(astronaut[None], (200, 200), mode="area")[0]
    large_mask = F.interpolate(face_mask(faces, astronaut)[None, None], (200, 200), mode="area")
    apart = (face_mask(faces, small) - large_mask[0, 0]).abs().mean()
    assert float(apart / large_mask.mean()) < 0.12


def test_a_face_beyond_the_edge_has_the_mask_that_is_seen(astronaut: Tensor) -> None:
    points = tuple((x, -0.1) for x in (0.1, 0.2, 0.15, 0.15, 0.05, 0.25))
    face = Face(0.9, (0.0, -0.2, 0.3, 0.1), points)
    mask = face_mask([face], astronaut)
    assert float(mask[:50].max()) == 1
    assert float(mask[150:].max()) == 0
    assert float(face_mask([Face(0.9, (1.5, 1.5, 1.8, 1.8), points)], astronaut).max()) == 0


@pytest.fixture(scope="module")
def portrait() -> tuple[Tensor, Tensor, Face]:
    """A drawn person, the mask of them, and their face: hair, a bare arm, a coat of skin color."""
    photo = torch.empty(3, 300, 240)
    rows, columns = torch.meshgrid(torch.arange(300.0), torch.arange(240.0), indexing="ij")
    photo[:] = torch.tensor([0.3, 0.5, 0.4])[:, None, None]
    shape = {
        "coat": (rows > 150) & (columns > 40) & (columns < 200),
        "shirt": (rows > 140) & (columns > 95) & (columns < 145),
        "arm": (rows > 200) & (rows < 260) & (columns > 24) & (columns < 36),
        "hair": torch.hypot(rows - 70, columns - 120) < 46,
        "locks": (rows > 70) & (rows < 125) & ((columns - 120).abs() < 46),
        "neck": (rows > 100) & (rows < 150) & ((columns - 120).abs() < 16),
        "face": torch.hypot((rows - 85) / 38, (columns - 120) / 28) < 1,
    }
    skin, dark = torch.tensor([0.85, 0.62, 0.5]), torch.tensor([0.2, 0.12, 0.08])
    colors = {"coat": skin * 0.9, "arm": skin * 0.85, "neck": skin * 0.82, "face": skin}
    colors |= {"hair": dark, "locks": dark * 0.7}
    white = torch.full((3,), 0.9)
    for name, where in shape.items():
        photo[:, where] = colors.get(name, white)[:, None]
    noise = torch.randn(photo.shape, generator=torch.Generator().manual_seed(1))
    box = (92 / 240, 65 / 300, 148 / 240, 121 / 300)
    points = [(108, 82), (132, 82), (120, 95), (120, 108), (92, 85), (148, 85)]
    face = Face(0.9, box, tuple((x / 240, y / 300) for x, y in points))
    person = torch.stack(list(shape.values())).any(0).float()
    return (photo + 0.01 * noise).clamp(0, 1), person, face


def at(mask: Tensor, x: int, y: int) -> float:
    return float(mask[y - 2 : y + 3, x - 2 : x + 3].mean())


def test_skin_goes_down_the_neck_and_on_to_an_arm_but_not_to_a_coat_of_its_color(
    portrait: tuple[Tensor, Tensor, Face],
) -> None:
    photo, person, face = portrait
    mask = face_mask([face], photo, "skin", [person])
    assert min(at(mask, 120, 85), at(mask, 120, 135), at(mask, 30, 230)) > 0.9
    hair, shirt, coat, ground = (
        at(mask, *spot) for spot in ((120, 35), (120, 200), (60, 250), (10, 20))
    )
    assert max(hair, shirt, coat, ground) < 0.1


@pytest.mark.parametrize(
    ("color", "is_skin"), [((0.56, 0.41, 0.33), True), ((0.1, 0.2, 0.6), False)]
)
def test_a_shade_that_skin_encloses_is_skin_and_a_pendant_is_not(
    portrait: tuple[Tensor, Tensor, Face], color: tuple[float, float, float], is_skin: bool
) -> None:
    photo, person, face = portrait
    photo = photo.clone()
    photo[:, 128:143, 113:128] = torch.tensor(color)[:, None, None]
    mask = face_mask([face], photo, "skin", [person])
    assert (at(mask, 120, 135) > 0.9) == is_skin
    assert at(mask, 109, 135) > 0.9


def test_hair_hangs_beside_the_face_and_ends_where_clothes_begin(
    portrait: tuple[Tensor, Tensor, Face],
) -> None:
    photo, person, face = portrait
    mask = face_mask([face], photo, "hair", [person])
    assert min(at(mask, 120, 30), at(mask, 80, 110), at(mask, 160, 110)) > 0.9
    brow, neck, coat, ground = (
        at(mask, *spot) for spot in ((120, 75), (120, 140), (80, 170), (20, 40))
    )
    assert max(brow, neck, coat, ground) < 0.1
    assert float((mask + face_mask([face], photo, "face", [person])).max()) <= 1


def test_clothes_as_dark_as_the_hair_are_no_hair(portrait: tuple[Tensor, Tensor, Face]) -> None:
    photo, person, face = portrait
    dark = photo.clone()
    coat = (person > 0) & (torch.arange(300)[:, None] > 150)
    dark[:, coat] = photo[:, 110, 80][:, None] * 1.1
    mask = face_mask([face], dark, "hair", [person])
    assert min(at(mask, 120, 30), at(mask, 80, 110)) > 0.9
    assert float(mask[170:].mean()) < 0.02


def test_who_is_bald_has_no_hair(portrait: tuple[Tensor, Tensor, Face]) -> None:
    photo, person, face = portrait
    bald = photo.clone()
    hair = (person > 0) & (torch.arange(300)[:, None] < 128)
    bald[:, hair] = photo[:, 85, 120][:, None]
    assert float(face_mask([face], bald, "hair", [person]).max()) == 0


def test_without_a_person_skin_is_the_face_and_there_is_no_hair(
    portrait: tuple[Tensor, Tensor, Face],
) -> None:
    photo, person, face = portrait
    for people in ([], [torch.zeros_like(person)]):
        assert torch.equal(face_mask([face], photo, "skin", people), face_mask([face], photo))
        assert float(face_mask([face], photo, "hair", people).max()) == 0


def test_a_face_ends_where_the_first_person_that_has_it_ends(
    portrait: tuple[Tensor, Tensor, Face],
) -> None:
    photo, person, face = portrait
    half = person * (torch.arange(240) < 135)
    elsewhere = person * (torch.arange(300)[:, None] > 160)
    mask = face_mask([face], photo, "face", [elsewhere, half, person])
    assert float(mask[:, 136:].max()) == 0, "the first does not have it, the second ends there"
    assert torch.equal(mask, torch.minimum(face_mask([face], photo), half))


def test_skin_of_a_photo_is_more_than_its_face_and_hair_lies_beside_it(half: Tensor) -> None:
    regions = [
        {"name": "rest", "select": "rest", "style": str(PHOTOS / "fig.jpg")},
        {"name": "skin", "select": {"face": "all", "part": "skin"}, "protect": True},
        {"name": "hair", "select": {"face": "all", "part": "hair"}, "protect": True},
        {"name": "face", "select": {"face": "all"}, "protect": True},
    ]
    recipe = load_recipe({"recipe": 1, "size": 256, "regions": regions})
    scene = resolve(recipe, half.permute(1, 2, 0).numpy())
    shares = scene.masks.coverage
    assert shares["face"] > 0.02
    assert 0.02 < shares["hair"] < 0.12
    assert at(scene.mask("hair"), 85, 37) > 0.9
    assert at(scene.mask("hair"), 165, 60) < 0.1, "the wall"
    assert read_inputs(scene, ["light"], "float32").models.keys() >= {"segmenter", "face detector"}


def scene_of(photo: Tensor, select: dict[str, object], **keys: object) -> Scene:
    regions = [
        {"name": "rest", "select": "rest", "style": str(PHOTOS / "fig.jpg")},
        {"name": "face", "select": select, "protect": True, **keys},
    ]
    recipe = load_recipe({"recipe": 1, "size": 256, "regions": regions})
    return resolve(recipe, photo.permute(1, 2, 0).numpy())


COFFEE = F.interpolate(read_picture(PHOTOS / "coffee.jpg").rgb[None], (160, 240), mode="area")[0]


def test_a_recipe_selects_faces_and_their_parts(half: Tensor) -> None:
    whole = scene_of(half, {"face": "all"})
    assert whole.mask("face").shape == (256, 256)
    assert 0.02 < whole.masks.coverage["face"] < 0.06
    eyes = scene_of(half, {"face": "largest", "part": "eyes"})
    assert 0 < eyes.masks.coverage["face"] < 0.2 * whole.masks.coverage["face"]
    # The detector is among the models that the picture was made from.
    assert "face detector" in read_inputs(whole, ["light"], "float32").models


def test_a_recipe_takes_as_many_of_the_largest_faces_as_it_says(half: Tensor) -> None:
    photo = two_faces(half)
    shares = [
        scene_of(photo, {"face": count}).masks.coverage["face"]
        for count in ("largest", 1, 2, "all")
    ]
    assert shares[0] == shares[1]
    assert shares[2] == shares[3] > 1.1 * shares[0]


def test_a_photo_without_a_face_says_so() -> None:
    scene = scene_of(COFFEE, {"face": "all"})
    assert "region 'face' is empty: no face was found in the photo" in scene.notes
    with pytest.raises(RegionError, match="no face was found in the photo"):
        scene_of(COFFEE, {"face": "all"}, if_empty="error")
    scene = scene_of(COFFEE, {"face": "all", "part": "hair"})
    assert "region 'face' is empty: no face with hair was found in the photo" in scene.notes


@pytest.mark.parametrize("wrong", [{"face": 0}, {"face": "some"}, {"face": "all", "part": "nose"}])
def test_wrong_values_say_what_is_allowed(wrong: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=r"regions\.face\.select\.(face|part): .*allowed: "):
        scene_of(COFFEE, wrong)


def test_a_face_in_the_middle_of_the_edge_has_its_eyes(astronaut: Tensor) -> None:
    points = ((-0.03, 0.4), (0.03, 0.4), (0.0, 0.45), (0.0, 0.5), (-0.1, 0.45), (0.1, 0.45))
    mask = face_mask([Face(0.9, (-0.1, 0.35, 0.1, 0.55), points)], astronaut, "eyes")
    assert float(mask[:, :60].max()) == 1
    assert float(mask[:, 100:].max()) == 0


def test_damaged_weights_are_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled, path = BUNDLE / "blazeface.safetensors", tmp_path / "blazeface.safetensors"
    state = read_tensors(bundled)
    state["stem.bias"][0] += 1
    write_tensors(path, state, read_metadata(bundled))
    detector._load.cache_clear()
    monkeypatch.setattr(detector, "weights_path", lambda _: path)
    with pytest.raises(ModelError, match=r"blazeface\.safetensors: is no face detector, or damag"):
        load_detector()
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"blazeface\.safetensors: cannot be read"):
        load_detector()
    detector._load.cache_clear()
