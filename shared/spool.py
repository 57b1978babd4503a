"""The spool: a folder in which a publisher's observations and messages outlive its process.

What a process holds there is exact at every instant, whichever instruction SIGKILL ends it at:

1. ``record`` copies each observation into the journal of the current generation.
2. A cut begins the next generation, encodes the ended one, and writes each message to a file of its own: a new file,
   fsync, rename.
3. One write of 28 bytes to the owner's file commits the cut: which generation is in messages, up to which time, and
   the next sequence number. It is synced before any of the messages is sent.
4. A message is removed once the bus has accepted it, a journal once a later generation is committed.

Whoever finds an owner's file that nobody holds locked (``flock``) takes the dead process's place under its name, boot
and numbers: messages below the next sequence number are sent byte for byte as they were, those at or above it were
never sent and are made again from the journal. So everything counts exactly once, however often this is cut short.

At most 64 MiB a folder: beyond it, and on a full or failing disk, what is new is held in memory only and counted as
``unspooled``, and what is old stays, for it is what a restart has promised to send. The folder is on a local disk of
one machine, and may be shared by its processes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from .cells import Observation, total_count
from .errors import PermanentError
from .formats.compact import decode
from .identity import identify
from .journal import NO_LIMIT_US, Encoded, Left
from .journal_file import Disk, Segment, read_segment
from .spool_owner import Commit, Owner, lock_file, read_owner

MAX_SPOOL_BYTES = 64 * 1024 * 1024
_BEFORE_ALL = -1


class SpoolFolder:
    """A spool's folder, made on first use. ``unreadable`` counts files of the dead that could not be read."""

    def __init__(self, path: Path, max_bytes: int = MAX_SPOOL_BYTES, disk: Disk | None = None) -> None:
        self.path = path
        self.disk = disk or Disk()
        self.unreadable = 0
        self.used_bytes = 0
        self._max_bytes = max_bytes

    def open(self, writer: str, boot: str) -> Spool:
        """The part of a living process. Raises OSError when it cannot be made."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.measure()
        name = identify(b"", writer, boot, 0).wid
        if (self.path / f"{name}.owner").exists():
            raise FileExistsError(f"{name}.owner")
        head = Owner(writer, boot, Commit()).to_bytes()
        if not self.room(len(head)):
            raise OSError("the spool is full")
        fresh = self.path / f"{name}.new"  # nobody takes over what is not named .owner yet
        spool = Spool(self, name, self.disk.create(fresh))
        try:
            spool.claim(head, fresh)
        except BaseException as error:
            spool.release(empty=False)
            if isinstance(error, OSError):
                self.disk.remove(fresh)
            raise
        return spool

    def adopt(self) -> tuple[Owner, Spool, Left] | None:
        """One dead process's identity, its place in the spool, and what it left; None when there is none."""
        for path in sorted(self.path.glob("*.owner")):
            file = lock_file(path)
            if file is None:
                continue
            owner = read_owner(file)
            if owner is None:
                self.unreadable += 1
                owner = Owner("", "", Commit(2**62, NO_LIMIT_US, 2**62))  # its messages are whole; send them
            spool = Spool(self, path.stem, file)
            try:
                return owner, spool, spool.read(owner.commit)
            except BaseException:
                spool.release(empty=False)
                raise
        return None

    def measure(self) -> None:
        """See how many bytes the folder holds by now."""
        used = 0
        with contextlib.suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # another process's, and gone again
                    used += entry.stat().st_size
        self.used_bytes = used

    def room(self, size: int) -> bool:
        """Claim so many bytes; False when the folder would hold too much."""
        if self.used_bytes + size > self._max_bytes:
            return False
        self.used_bytes += size
        return True

    def sync(self) -> None:
        """Make the folder's entries safe from a power cut. Raises OSError."""
        file = os.open(self.path, os.O_RDONLY)
        try:
            self.disk.sync(file)
        finally:
            os.close(file)


class Spool:
    """One process's part of the folder: the ``Journal`` of its publisher.

    ``unspooled`` counts observations that SIGKILL would lose, each time that they could not be kept: first in the
    journal, then in a message.
    """

    def __init__(self, folder: SpoolFolder, name: str, owner_file: int) -> None:
        self.unspooled = 0
        self._folder = folder
        self._disk = folder.disk
        self._name = name
        self._owner_file = owner_file
        self._generation = 0
        self._segment: Segment | None = None
        self._spare: Segment | None = None
        self._ended: Segment | None = None
        self._recording = False

    def append(self, observation: Observation) -> None:
        """As the port says."""
        segment = self._segment
        if segment is None or not segment.append(observation):
            self.unspooled += 1

    def rotate(self) -> None:
        """As the port says."""
        self._generation += 1
        self._ended, self._segment, self._spare = self._segment, self._spare, None

    def keep(self, messages: Sequence[Encoded], next_seq: int, until_us: int) -> None:
        """As the port says."""
        self._folder.measure()
        for message in messages:
            if not self._store(message):
                self.unspooled += message.observations
        ended = self._generation - 1
        through = ended if until_us == NO_LIMIT_US else ended - 1
        try:
            if messages:
                self._folder.sync()
            self._disk.write(self._owner_file, Commit(ended, until_us, next_seq).to_bytes(), 0)
            self._disk.sync(self._owner_file)
        except OSError:
            self.unspooled += sum(message.observations for message in messages)
            through = ended  # or a restart would make these messages again
        self._drop_journals(through)
        if self._ended is not None:
            self._ended.close()
        if self._recording:
            self.prepare()

    def forget(self, seq: int) -> None:
        """As the port says."""
        self._remove(self._message_path(seq))

    def claim(self, head: bytes, fresh: Path) -> None:
        """Make the owner's file, still under another name, that of a living process. Raises OSError."""
        fcntl.flock(self._owner_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._disk.write(self._owner_file, head, 0)
        self._disk.rename(fresh, self._folder.path / f"{self._name}.owner")
        self.prepare()

    def prepare(self) -> None:
        """Make the journals of this generation and the next, where there is room: a living process needs them."""
        self._recording = True
        if self._segment is None:
            self._segment = self._new_segment(self._generation)
        if self._spare is None:
            self._spare = self._new_segment(self._generation + 1)

    def read(self, commit: Commit) -> Left:
        """What its dead owner left; the next generation is one that it never began."""
        for path in self._paths("tmp"):
            self._remove(path)
        journals = [(_number(path), path) for path in self._paths("journal")]
        observations: list[Observation] = []
        for generation, path in journals:
            if generation >= commit.generation:
                after = commit.until_us if generation == commit.generation else _BEFORE_ALL
                observations += [one for one in read_segment(_read(path)) if one.at_us > after]
        self._generation = max([commit.generation, *(generation for generation, _ in journals)])
        found = [self._read_message(path, commit.next_seq) for path in self._paths("chunk")]
        messages = sorted(message for message in found if message is not None)
        return Left(commit.next_seq, tuple(messages), tuple(observations))

    def release(self, *, empty: bool) -> None:
        """Let go; with ``empty`` nothing is left to send, and the files go, the owner's last."""
        if self._owner_file < 0:
            return
        for segment in (self._segment, self._spare, self._ended):
            if segment is not None:
                segment.close()
        if empty:
            for kind in ("journal", "chunk", "tmp"):
                for path in self._paths(kind):
                    self._remove(path)
            self._remove(self._folder.path / f"{self._name}.owner")
        file, self._owner_file = self._owner_file, -1  # first: see Segment.close
        os.close(file)

    def _store(self, message: Encoded) -> bool:
        """Write a message durably; False when there is no room."""
        if not self._folder.room(len(message.data)):
            return False
        path = self._message_path(message.seq)
        fresh = path.with_suffix(".tmp")
        try:
            file = self._disk.create(fresh)
            try:
                self._disk.write(file, message.data, 0)
                self._disk.sync(file)
            finally:
                os.close(file)
            self._disk.rename(fresh, path)
        except OSError:
            self._remove(fresh)
            return False
        return True

    def _new_segment(self, generation: int) -> Segment | None:
        try:
            path = self._folder.path / f"{self._name}.{generation:08}.journal"
            return Segment(path, self._disk, self._folder.room)
        except OSError:
            return None

    def _drop_journals(self, through: int) -> None:
        for path in self._paths("journal"):
            if _number(path) <= through:
                self._remove(path)

    def _read_message(self, path: Path, next_seq: int) -> Encoded | None:
        """A message that may have been sent; one that cannot have been, or cannot be read, is removed."""
        seq = _number(path)
        if seq < next_seq:
            data = _read(path)
            try:
                return Encoded(seq, data, total_count(section.cells for section in decode(data).sections))
            except PermanentError:
                self._folder.unreadable += 1
        self._remove(path)
        return None

    def _paths(self, kind: str) -> list[Path]:
        """The process's files of a kind, ascending by number."""
        found = self._folder.path.glob(f"{self._name}.*.{kind}")
        return sorted(path for path in found if path.suffixes[0][1:].isdecimal())

    def _message_path(self, seq: int) -> Path:
        return self._folder.path / f"{self._name}.{seq:012}.chunk"

    def _remove(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            self._disk.remove(path)


def _number(path: Path) -> int:
    """The generation or sequence number in a file's name."""
    return int(path.suffixes[0][1:])


def _read(path: Path) -> bytes:
    """A file's bytes; none when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
