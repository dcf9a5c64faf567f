from __future__ import annotations

import pytest

from layered_nst.errors import RegionError
from layered_nst.networks.segmenters import nameable, resolve_class
from layered_nst.networks.segmenters.labels import KINDS, SAME, SCENES, VOC, canonical


def names(word: str, classes: tuple[str, ...]) -> set[str]:
    return {classes[i] for i in resolve_class(word, classes)}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("sky", "sky"),
        ("Sky", "sky"),
        ("product", "object"),
        ("tree", "plant"),
        ("trees", "plant"),
        ("car", "vehicle"),
        ("road", "ground"),
        ("Houses", "building"),
        ("people", "person"),
        ("background", "backdrop"),
        ("leaves", "plant"),
    ],
)
def test_scenes_understands_what_designers_say(word: str, expected: str):
    assert names(word, SCENES) == {expected}


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (
            "face",
            "cannot tell face from the rest of person; write face: all to find faces, "
            "or person to take all of person",
        ),
        (
            "skin",
            "cannot tell skin from the rest of person; write face: all with part: skin to find "
            "bare skin, or person to take all of person",
        ),
        ("hand", "cannot tell hand from the rest of person; write person to take all of person"),
        ("bottle", "cannot tell bottle from other objects; write object to take every object"),
        ("cups", "cannot tell cups from other objects; write object to take every object"),
        ("food", "cannot tell food from other objects; write object to take every object"),
        ("Dining-Table", "cannot tell Dining-Table from other objects; write object to take every"),
        ("clouds", "cannot tell clouds from the rest of sky; write sky to take all of sky"),
        ("flower", "cannot tell flower from the rest of plant; write plant to take all of plant"),
    ],
)
def test_a_word_that_would_take_more_than_it_says_is_refused(word: str, said: str):
    with pytest.raises(RegionError) as caught:
        resolve_class(word, SCENES)
    assert str(caught.value).startswith(f"class {word!r}: this segmenter {said}")


def test_a_segmenter_that_knows_the_thing_itself_takes_the_word():
    assert names("bottle", VOC) == {"bottle"}
    assert names("Dining Table", VOC) == {"diningtable"}
    assert names("face", ("face", "person")) == {"face"}
    assert names("clouds", ("cloud", "sky")) == {"cloud"}
    assert names("furniture", ("bed", "object")) == {"bed"}
    with pytest.raises(RegionError, match="or person to take all of person"):
        resolve_class("face", VOC)


def test_what_is_not_told_apart_is_not_offered():
    words = {word for listed in nameable(SCENES).values() for word in listed}
    assert not words & {"face", "bottle", "cup", "food", "cloud", "skin", "chair"}
    assert {"man", "car", "tree", "road", "product"} <= words


def test_a_wide_word_means_all_classes_it_takes_in():
    assert names("vehicle", VOC) == {
        "aeroplane",
        "bicycle",
        "boat",
        "bus",
        "car",
        "motorbike",
        "train",
    }
    assert names("furniture", VOC) == {"chair", "sofa", "diningtable"}
    assert names("product", VOC) == {
        "bottle",
        "chair",
        "sofa",
        "diningtable",
        "tvmonitor",
        "pottedplant",
    }


def test_spelling_of_voc_classes_does_not_matter():
    assert names("airplane", VOC) == {"aeroplane"}
    assert names("potted plant", VOC) == {"pottedplant"}
    assert names("background", VOC) == {"__background__"}


def test_a_class_of_a_teams_own_is_found_by_its_exact_name_first():
    classes = ("handbag body", "clasp", "Product", "object")
    assert names("Handbag-Body", classes) == {"handbag body"}
    assert names("clasps", classes) == {"clasp"}
    assert names("products", classes) == {"Product"}
    assert names("item", classes) == {"Product", "object"}


def test_a_typing_error_is_answered_with_the_likely_class_and_the_list():
    with pytest.raises(RegionError, match=r"'buildng'.*person.*backdrop; did you mean building\?"):
        resolve_class("buildng", SCENES)


def test_what_only_the_bundled_segmenter_knows_is_said():
    with pytest.raises(RegionError, match=r"knows only aeroplane.*bundled segmenter scenes"):
        resolve_class("sky", VOC)


def test_every_class_of_torchvision_is_spelled_as_torchvision_does():
    from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights

    assert list(VOC) == DeepLabV3_ResNet50_Weights.DEFAULT.meta["categories"]


def test_synonyms_lead_to_words_that_the_table_of_kinds_knows():
    known = set(KINDS) | {w for members in KINDS.values() for w in members} | {"grass", "backdrop"}
    assert set(SAME.values()) <= known


def test_nameable_lists_the_words_for_each_class():
    words = nameable(SCENES)
    assert set(words) == set(SCENES)
    assert "product" in words["object"]
    assert "car" in words["vehicle"]
    assert all(names(w, SCENES) == {c} for c, listed in words.items() for w in listed)


def test_canonical_folds_case_and_plural():
    assert canonical("  Skies ") == "sky"
    assert canonical("Own_Class") == "own class"
