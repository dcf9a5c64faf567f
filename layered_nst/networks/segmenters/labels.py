"""Class names: what segmenters call things, and what people call them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from layered_nst.errors import RegionError
from layered_nst.words import closest

SCENES = (
    "person",
    "animal",
    "vehicle",
    "object",
    "plant",
    "grass",
    "building",
    "sky",
    "water",
    "ground",
    "mountain",
    "backdrop",
)
"""Classes of the bundled segmenter, in label order."""

VOC = (
    "__background__",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
"""Pascal VOC classes of torchvision's DeepLabV3 models, in label order."""

SAME = {
    "people": "person",
    "human": "person",
    "portrait": "person",
    "pet": "animal",
    "product": "object",
    "thing": "object",
    "item": "object",
    "plane": "aeroplane",
    "airplane": "aeroplane",
    "aircraft": "aeroplane",
    "bike": "bicycle",
    "ship": "boat",
    "motorcycle": "motorbike",
    "automobile": "car",
    "dining table": "table",
    "diningtable": "table",
    "couch": "sofa",
    "tvmonitor": "screen",
    "tv": "screen",
    "television": "screen",
    "monitor": "screen",
    "vegetation": "plant",
    "greenery": "plant",
    "foliage": "plant",
    "pottedplant": "potted plant",
    "lawn": "grass",
    "meadow": "grass",
    "architecture": "building",
    "heaven": "sky",
    "street": "road",
    "pavement": "sidewalk",
    "terrain": "ground",
    "soil": "earth",
    "rocks": "rock",
    "background": "backdrop",
    "sea": "ocean",
}
"""Words that mean the same; the right side is the one used in ``KINDS``."""

PRODUCT = ("product", "products")
"""Words for the subject, where a segmenter finds one; elsewhere they mean its objects."""

FINDS_SUBJECTS = ("scenes", "careful")
"""Segmenters of the catalogue that find a photo's subject beside its classes."""

KINDS = {
    "person": (
        "man",
        "woman",
        "child",
        "face",
        "skin",
        "hair",
        "head",
        "hand",
        "eye",
        "mouth",
        "clothes",
    ),
    "animal": ("bird", "cat", "cow", "dog", "horse", "sheep", "fish", "insect"),
    "vehicle": (
        "aeroplane",
        "bicycle",
        "boat",
        "bus",
        "car",
        "motorbike",
        "train",
        "truck",
        "tram",
        "van",
    ),
    "object": (
        "bottle",
        "furniture",
        "screen",
        "sign",
        "food",
        "potted plant",
        "bag",
        "shoe",
        "lamp",
        "vase",
        "cup",
        "toy",
        "tool",
        "instrument",
        "package",
        "packaging",
        "statue",
    ),
    "furniture": ("chair", "sofa", "table", "bed", "desk", "shelf"),
    "plant": ("tree", "bush", "flower", "leaf", "forest", "potted plant", "hedge"),
    "building": ("house", "wall", "tower", "temple", "church", "bridge", "facade", "skyscraper"),
    "sky": ("cloud", "sun", "moon"),
    "water": ("ocean", "river", "lake", "pool", "waterfall", "wave"),
    "ground": ("road", "floor", "sand", "snow", "sidewalk", "path", "beach", "earth"),
    "mountain": ("rock", "hill", "cliff", "stone"),
}
"""Kinds and what they take in. A class stands for all below it, and is found by all above it."""


PARTS = frozenset(
    (
        "face",
        "skin",
        "hair",
        "head",
        "hand",
        "eye",
        "mouth",
        "clothes",
        "cloud",
        "sun",
        "moon",
        "flower",
        "wall",
        "waterfall",
        "wave",
        "stone",
    )
)
"""Words for a part of what a class takes in: nobody who says face means the whole person."""

FOUND_OTHERWISE = {
    "face": "face: all to find faces, or ",
    "eye": "face: all with part: eyes to find eyes, or ",
    "mouth": "face: all with part: mouth to find mouths, or ",
    "skin": "face: all with part: skin to find bare skin, or ",
    "hair": "face: all with part: hair to find hair, or ",
}
"""Words of ``PARTS`` that another selector finds, as a sentence says it."""

ASSORTED = ("object", "furniture")
"""Classes of unlike things: nobody who says bottle means every object."""


def resolve_class(name: str, classes: Sequence[str]) -> tuple[int, ...]:
    """Indices of the classes that a person means by ``name``.

    A class of that name (or its synonym, or plural) is meant alone; else the classes that are
    kinds of it (``vehicle`` is car, bus, train … where a segmenter knows those); else the
    narrowest class that takes it in (``tree`` is plant). Not so a word for a part of that class, or
    for one thing among unlike ones: ``face`` would take whole persons, ``cup`` every object.

    Args:
        name: any spelling: case, hyphens and underscores don't count.
        classes: the segmenter's classes.

    Raises:
        RegionError: the segmenter has no such class, or cannot tell it from others; says which it
            has, and what was likely meant.
    """
    known = [canonical(c) for c in classes]
    found = _spelled(name, classes) or _find(canonical(name), known)
    if not found:
        raise RegionError(_cannot(name, classes))
    if _takes_too_much(canonical(name), known, found) and not _spelled(name, classes):
        raise RegionError(_cannot_tell(name, classes[found[0]]))
    return found


def means_subject(words: Sequence[str], classes: Sequence[str]) -> bool:
    """Whether a class selector says product: what a photo was taken of, not every object in it.

    A team's own class of that name is meant first.
    """
    return all(_plain(word) in PRODUCT and not _spelled(word, classes) for word in words)


def canonical(name: str) -> str:
    """One spelling of a class name, synonyms and plurals folded."""
    word = _plain(name)
    for form in (word, *_singulars(word)):
        if form in SAME:
            return SAME[form]
        if form in _WORDS:
            return form
    return word


def nameable(classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For each class, the other words that lead to exactly that class, in alphabetical order."""
    known = [canonical(c) for c in classes]
    words: dict[str, list[str]] = {c: [] for c in classes}
    for word in sorted(_WORDS | set(SAME)):
        found = _spelled(word, classes) or _find(canonical(word), known)
        one_of_several = _takes_too_much(canonical(word), known, found)
        if len(found) == 1 and word != classes[found[0]] and not one_of_several:
            words[classes[found[0]]].append(word)
    return {c: tuple(w) for c, w in words.items()}


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def _spelled(name: str, classes: Sequence[str]) -> tuple[int, ...]:
    """Classes of that very name or its singular, before any synonym: teams name theirs freely."""
    plain = [_plain(c) for c in classes]
    word = _plain(name)
    for form in (word, *_singulars(word)):
        if form in plain:
            return tuple(i for i, c in enumerate(plain) if c == form)
    return ()


def _singulars(word: str) -> Iterator[str]:
    for ending, single in (("ies", "y"), ("ves", "f"), ("es", ""), ("s", "")):
        if word.endswith(ending):
            yield word.removesuffix(ending) + single


def _find(word: str, known: Sequence[str]) -> tuple[int, ...]:
    for words in ([word], list(_below(word)), *([w] for w in _above(word))):
        found = tuple(i for i, c in enumerate(known) if c in words)
        if found:
            return found
    return ()


def _takes_too_much(word: str, known: Sequence[str], found: Sequence[int]) -> bool:
    """Whether the class found for a word takes in more than its user could mean."""
    kinds = [known[i] for i in found]
    if word in kinds or any(kind in _below(word) for kind in kinds):
        return False
    return word in PARTS or any(kind in ASSORTED for kind in kinds)


def _cannot_tell(name: str, wider: str) -> str:
    if canonical(wider) in ASSORTED:
        others, all_of_it = f"other {wider}s", f"every {wider}"
    else:
        others, all_of_it = f"the rest of {wider}", f"all of {wider}"
    found = FOUND_OTHERWISE.get(canonical(name), "")
    return (
        f"class {name!r}: this segmenter cannot tell {name} from {others}; write {found}{wider} to "
        f"take {all_of_it}"
    )


def _below(word: str) -> Iterator[str]:
    for kind in KINDS.get(word, ()):
        yield kind
        yield from _below(kind)


def _above(word: str) -> Iterator[str]:
    """Kinds that take the word in, narrowest first."""
    parents = [kind for kind, members in KINDS.items() if word in members]
    yield from reversed(parents)
    for parent in parents:
        yield from _above(parent)


def _cannot(name: str, classes: Sequence[str]) -> str:
    known = [canonical(c) for c in classes]
    words = [w for w in sorted(_WORDS | set(SAME)) if _find(canonical(w), known)]
    near = closest(name, [*words, *classes], cutoff=0.7)
    if near:
        hint = f"; did you mean {near}?"
    elif tuple(classes) != SCENES and _find(canonical(name), SCENES):
        hint = "; the bundled segmenter scenes knows it"
    else:
        hint = ""
    listed = ", ".join(c for c in classes if c != "__background__")
    return f"class {name!r}: this segmenter knows only {listed}{hint}"


_WORDS = (
    frozenset(KINDS) | {w for members in KINDS.values() for w in members} | {"backdrop", "grass"}
)
