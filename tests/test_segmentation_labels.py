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
        ("dining-table", "object"),
        ("leaves", "plant"),
    ],
)
def test_scenes_understands_what_designers_say(word: str, expected: str):
    assert names(word, SCENES) == {expected}


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
