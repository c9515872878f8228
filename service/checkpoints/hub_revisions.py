"""Hub repositories and revisions: the checkpoints they name, and the commits of those.

`zoo/{preset}` is a preset; its revisions are `main` (seed 0), `seed-<n>` and commits. A name
that ends with `.seed-<n>` sets the seed itself, for tools that take no revision.
`checkpoints/{first digits of an id}` is an issued checkpoint, on `main` and by its commit.

A commit is the first 24 digits of a checkpoint's id and its seed, so any replica can plan the
checkpoint of a commit. If another version gave the commit, that plan has another id; then the
store may have the plan that the other version made of the same spec. Otherwise the commit is
unknown; it never names other bytes.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass

from seedpoint.models import presets
from seedpoint.service.checkpoints.checkpoint import Checkpoint
from seedpoint.service.checkpoints.registry import Checkpoints
from seedpoint.service.errors import RepositoryNotFound, RevisionNotFound
from seedpoint.service.storage.checkpoint_store import CheckpointStore

MAIN = "main"
LEAST_DIGITS = 8  # Shortest prefix of a checkpoint's id that names a repository.

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SEED = re.compile(r"seed-(0|[1-9][0-9]{0,19})")
_DIGITS = re.compile(rf"[0-9a-f]{{{LEAST_DIGITS},64}}")
_ID_DIGITS = 24  # Digits of the id that begin a commit; the other 16 are the 64-bit seed.


@dataclass(frozen=True, slots=True)
class Revision:
    """Checkpoint that a repository holds at a revision."""

    repo: str
    name: str
    checkpoint: Checkpoint

    @property
    def commit(self) -> str:
        return commit(self.checkpoint)

    @property
    def is_commit(self) -> bool:
        """True if the revision was requested by its commit, which is immutable."""
        return self.name == self.commit


def commit(checkpoint: Checkpoint) -> str:
    """Return 40 hexadecimal digits that change with any byte of a file, as the id does."""
    return checkpoint.id[:_ID_DIGITS] + format(checkpoint.plan.seed, f"0{40 - _ID_DIGITS}x")


@dataclass(frozen=True, slots=True)
class Revisions:
    """Finder of revisions among presets and issued checkpoints."""

    checkpoints: Checkpoints
    store: CheckpointStore

    async def find(self, repo: str, revision: str) -> Revision:
        """Return the checkpoint of `repo` at `revision`.

        Raises: RepositoryNotFound, RevisionNotFound, and the errors of issuing and opening one.
        """
        namespace, _, name = repo.partition("/")
        if namespace == "zoo":
            checkpoint = await self._preset(name, revision)
        elif namespace == "checkpoints":
            checkpoint = await self._issued(name, revision)
        else:
            raise RepositoryNotFound(
                f"no repository {repo[:80]!r}; "
                "repositories are zoo/{preset} and checkpoints/{id}"
            )
        found = Revision(repo, revision, checkpoint)
        if _COMMIT.fullmatch(revision) and not found.is_commit:
            raise _no_revision(repo, revision, "no stored checkpoint has this commit")
        return found

    async def _preset(self, name: str, revision: str) -> Checkpoint:
        name, named = split(name)
        try:
            presets.get(name)
        except presets.UnknownPreset as error:
            raise RepositoryNotFound(str(error)) from None
        seed = _seed_of(revision, named or 0)
        if seed is None or named not in (None, seed):
            hint = "revisions are main, seed-<n> and their commits"
            raise _no_revision(f"zoo/{name}", revision, hint)
        spec = presets.spec(name, seed=seed)
        checkpoint, _ = await self.checkpoints.issue(json.dumps(spec).encode())
        if _COMMIT.fullmatch(revision) and revision != commit(checkpoint):
            return await self._by_another_version(checkpoint, revision)
        return checkpoint

    async def _by_another_version(self, today: Checkpoint, wanted: str) -> Checkpoint:
        """Return the stored checkpoint of `today`'s spec with the commit `wanted`; else `today`."""
        for id_ in await asyncio.to_thread(self.store.beginning, wanted[:_ID_DIGITS]):
            stored = await self.checkpoints.get(id_)
            if commit(stored) == wanted and stored.plan.spec == today.plan.spec:
                return stored
        return today

    async def _issued(self, name: str, revision: str) -> Checkpoint:
        if not _DIGITS.fullmatch(name):
            repo = f"checkpoints/{name[:80]}"
            raise RepositoryNotFound(
                f"no repository {repo!r}; the name must be the first {LEAST_DIGITS} or "
                "more hexadecimal digits of a checkpoint id"
            )
        found = await asyncio.to_thread(self.store.beginning, name)
        if len(found) != 1:
            many = f"{len(found)} ids begin with these digits; give more"
            reason = many if found else "no issued id begins with these digits"
            raise RepositoryNotFound(f"no repository 'checkpoints/{name}': {reason}")
        checkpoint = await self.checkpoints.get(found[0])
        if _seed_of(revision, checkpoint.plan.seed) != checkpoint.plan.seed:
            raise _no_revision(f"checkpoints/{name}", revision, "revisions are main and its commit")
        return checkpoint


def split(name: str) -> tuple[str, int | None]:
    """Split a repository's name into the preset's name and the seed, None if it has none."""
    before, dot, last = name.rpartition(".")
    match = _SEED.fullmatch(last) if dot else None
    seed = match and int(match[1])
    return (name, None) if seed is None or seed >= 1 << 64 else (before, seed)


def _seed_of(revision: str, main: int) -> int | None:
    """Return the seed of a revision, `main` for MAIN; None if it is not a valid revision."""
    if revision == MAIN:
        return main
    if _COMMIT.fullmatch(revision):
        return int(revision[_ID_DIGITS:], 16)
    match = _SEED.fullmatch(revision)
    return int(match[1]) if match and int(match[1]) < 1 << 64 else None


def _no_revision(repo: str, revision: str, hint: str) -> RevisionNotFound:
    return RevisionNotFound(f"no revision {revision[:80]!r} of {repo}; {hint}")
