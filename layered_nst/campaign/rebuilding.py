"""A ledger made anew: which pictures are there already, by what they say of how they were made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from layered_nst import api
from layered_nst.campaign.identity import Hashes, drawn_on, photo_key
from layered_nst.campaign.jobs import Job
from layered_nst.errors import LayeredNstError
from layered_nst.outputs.manifest import MANIFEST_KEY, mapping_in
from layered_nst.picture import is_ours, read_metadata
from layered_nst.recipe import Recipe, named_files
from layered_nst.scene.provenance import recipe_hash, versions


def adopted_from(jobs: Iterable[Job]) -> dict[str, Mapping[str, Any]]:
    """The jobs whose pictures are there as the campaign wants them now.

    Returns:
        By ``Job.mark``, what a worker would have left as a mark of it.
    """
    hashes = Hashes()
    found: dict[str, Mapping[str, Any]] = {}
    for job in jobs:
        if not job.problem and Path(job.output).is_file():
            try:
                mark = _mark_of(job, hashes)
            except LayeredNstError:
                continue  # it will be painted, or fail with that sentence
            if mark is not None:
                found[job.mark] = mark
    return found


def _mark_of(job: Job, hashes: Hashes) -> dict[str, Any] | None:
    picture = Path(job.output)
    if not is_ours(picture):
        return None
    manifest = mapping_in(read_metadata(picture).get(MANIFEST_KEY, "{}")) or {}
    photo = Path(job.photo)
    loaded = api.load(Path(job.recipe), photo, overrides=job.overrides)
    photo_hash, drawn = hashes(photo), drawn_on(loaded, photo, hashes)
    painted = photo
    if job.crop:
        from layered_nst.campaign.cropping import crop_path

        painted = crop_path(job, loaded, photo_hash)
        if not painted.is_file():
            return None
        loaded = api.load(Path(job.recipe), painted, overrides=job.overrides)
    if not _is_of(manifest, loaded, hashes(painted), hashes):
        return None
    return {
        "name": job.name,
        "spec": job.spec,
        "photo_key": photo_key(photo_hash, drawn),
        "sha256": hashes(picture),
        "size": picture.stat().st_size,
        "pixels": [manifest.get("width", 0), manifest.get("height", 0)],
        "sentence": "; ".join(manifest.get("notes", [])),
    }


def _is_of(manifest: Mapping[str, Any], loaded: Recipe, photo: str, hashes: Hashes) -> bool:
    """Whether a picture was made from these very inputs, by these versions."""
    files = {path: hashes(path) for path in named_files(loaded).values()}
    made_by = json.loads(json.dumps(manifest.get("versions", {})))
    return (
        bool(manifest.get("complete"))
        and manifest.get("recipe_sha256") == recipe_hash(loaded, files)
        and manifest.get("photo", {}).get("sha256") == photo
        and all(made_by.get(name) == versions()[name] for name in ("layered-nst", "torch"))
    )
