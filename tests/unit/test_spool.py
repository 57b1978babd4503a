"""The spool: whatever a process had recorded counts once, wherever it was killed; a full disk harms nothing."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from shared.cells import Observation
from shared.errors import TransientError
from shared.formats.compact import Chunk, decode
from shared.identity import identify
from shared.journal import NO_LIMIT_US
from shared.journal_file import PART_BYTES, Disk, Segment, read_segment
from shared.publisher import Publisher, try_flush
from shared.series import Kind, Series
from shared.spool import Spool, SpoolFolder
from shared.timeline import to_us
from tests.fakes import START, Countdown, Crash

AT_US = to_us(START)


class FakeDisk(Disk):
    """A disk without the waits, whose calls count down to a crash, and fail while ``full`` says so."""

    def __init__(self, countdown: Countdown | None = None, full: Callable[[int], bool] = lambda _: False) -> None:
        self._countdown = countdown or Countdown()
        self._full = full

    def create(self, path: Path) -> int:
        with_crash = self._begin()
        file = super().create(path)
        self._end(with_crash)
        return file

    def write(self, file: int, data: bytes, offset: int) -> None:
        with_crash = self._begin()
        super().write(file, data, offset)
        self._end(with_crash)

    def sync(self, file: int) -> None:
        assert file >= 0
        self._end(self._begin())

    def rename(self, source: Path, target: Path) -> None:
        with_crash = self._begin()
        super().rename(source, target)
        self._end(with_crash)

    def remove(self, path: Path) -> None:
        with_crash = self._countdown.before_call()
        super().remove(path)
        self._end(with_crash)

    def _begin(self) -> bool:
        if self._full(self._countdown.calls):
            self._countdown.before_call()
            raise OSError(errno.ENOSPC, "no space left on device")
        return self._countdown.before_call()

    def _end(self, with_crash: bool) -> None:
        if with_crash:
            raise Crash


class Bus:
    """Counts observations as ingest does: each message once, by its identity. Fails every third time."""

    def __init__(self, countdown: Countdown | None = None) -> None:
        self.attempts: list[bytes] = []
        self.taken: dict[str, Chunk] = {}
        self.down = False
        self._countdown = countdown or Countdown()

    def __call__(self, data: bytes, _: Mapping[str, str]) -> None:
        """Publish one message; every third is taken and yet an error."""
        self.attempts.append(data)
        if self.down:
            raise TransientError("unavailable")
        with_crash = self._countdown.before_call()
        chunk = decode(data)
        where = identify(data, chunk.writer, chunk.boot, chunk.seq)
        self.taken[where.wid + where.key] = chunk
        if with_crash:
            raise Crash
        if len(self.attempts) % 3 == 0:
            raise TransientError("unavailable")

    def counted(self) -> Counter[int]:
        """How often each numbered observation counts."""
        found: Counter[int] = Counter()
        for chunk in self.taken.values():
            for section in chunk.sections:
                for row, series in enumerate(section.cells.series):
                    found[int(series.labels[0][1])] += int(section.cells.count[row])
        return found


def numbered(number: int, at_us: int = AT_US) -> Observation:
    """An observation that is told apart from all others."""
    return Observation(Series("m", (("n", str(number)),)), Kind.COUNTER, at_us, 1.0)


def observations() -> Iterator[Observation]:
    """Numbered ones, a second apart."""
    number = 0
    while True:
        yield numbered(number, AT_US + number * 1_000_000)
        number += 1


def live(folder: SpoolFolder, bus: Bus, recorded: list[int], boot: str = "b") -> None:
    """A process's life: three cuts that each leave something for the next one, and a bus that is down for one."""
    spool = folder.open("w", boot)
    try:
        publisher = Publisher("w", boot, bus, journal=spool)
        source = observations()
        for turn in range(3):
            for _ in range(5):
                one = next(source)
                publisher.observe(one)
                recorded.append(int(one.series.labels[0][1]))
            publisher.cut(AT_US + (turn * 5 + 3) * 1_000_000)
            bus.down = turn == 1
            try_send(publisher)
        publisher.observe(next(source))
        recorded.append(15)
    finally:
        bus.down = False
        spool.release(empty=False)  # as the kernel does: whatever is open is closed, whatever is locked let go


def try_send(publisher: Publisher) -> None:
    """Send what is cut, as far as the bus takes it."""
    try:
        publisher.send()
    except TransientError:
        return


def recover(folder: SpoolFolder, bus: Bus) -> int:
    """Take the place of all that have died; how many."""
    taken = 0
    while (found := folder.adopt()) is not None:
        owner, spool, left = found
        try:
            publisher = Publisher(owner.writer, owner.boot, bus, journal=spool, left=left)
            while not try_flush(publisher):
                pass
            spool.release(empty=True)
        finally:
            spool.release(empty=False)
        taken += 1
    return taken


def killed(path: Path, crash_at: int | None, *, after: bool) -> tuple[Countdown, Bus, list[int]]:
    """Live, and be killed at one call of the disk or the bus."""
    countdown = Countdown(crash_at, after=after)
    bus = Bus(countdown)
    recorded: list[int] = []
    try:
        live(SpoolFolder(path, disk=FakeDisk(countdown)), bus, recorded)
    except Crash:
        assert crash_at is not None
    return countdown, bus, recorded


def calls_of_a_life(path: Path) -> int:
    """How many calls there are to be killed at."""
    calls = killed(path / "counted", None, after=False)[0].calls
    assert calls > 30
    return calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_process_killed_anywhere_loses_nothing(tmp_path: Path, after: bool) -> None:
    """Killed before or after any call of the disk or the bus, all that was recorded counts exactly once."""
    for crash_at in range(calls_of_a_life(tmp_path)):
        path = tmp_path / str(crash_at)
        _, bus, recorded = killed(path, crash_at, after=after)
        recover(SpoolFolder(path, disk=FakeDisk()), bus)
        assert bus.counted() == Counter(recorded), crash_at
        assert list(path.glob("*.new")) == list(path.iterdir()), crash_at


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_recovery_killed_anywhere_loses_nothing(tmp_path: Path, after: bool) -> None:
    """Whoever takes a dead process's place may be killed at any call too, and the next one ends what it began."""
    for crash_at in range(5, calls_of_a_life(tmp_path), 7):
        for again_at in range(30):
            path = tmp_path / f"{crash_at}-{again_at}"
            _, bus, recorded = killed(path, crash_at, after=after)
            countdown = Countdown(again_at, after=after)
            try:
                recover(SpoolFolder(path, disk=FakeDisk(countdown)), bus)
            except Crash:
                recover(SpoolFolder(path, disk=FakeDisk()), bus)
            assert bus.counted() == Counter(recorded), (crash_at, again_at)


def test_all_messages_of_a_life_and_its_recovery_are_one_writers(tmp_path: Path) -> None:
    """The dead process's numbers go on where it stopped: each number has one message, with the same bytes each time."""
    for crash_at in range(calls_of_a_life(tmp_path)):
        path = tmp_path / str(crash_at)
        _, bus, _ = killed(path, crash_at, after=True)
        recover(SpoolFolder(path, disk=FakeDisk()), bus)
        distinct = [decode(data) for data in dict.fromkeys(bus.attempts)]
        assert [(one.writer, one.boot, one.seq) for one in distinct] == [("w", "b", n) for n in range(len(distinct))]


def full_from(at: int, *, single: bool) -> Callable[[int], bool]:
    """A disk that is full from a call on, or for that one."""
    return (lambda call: call == at) if single else (lambda call: call >= at)


def test_a_full_disk_costs_the_spool_alone(tmp_path: Path) -> None:
    """From whichever call on the disk is full, and if only for it, all is sent once, and what was at risk counted."""
    for single in (False, True):
        for at in range(3, calls_of_a_life(tmp_path / str(single))):
            path = tmp_path / f"{at}-{single}"
            disk = FakeDisk(full=full_from(at, single=single))
            bus = Bus()
            spool = SpoolFolder(path, disk=disk).open("w", "b")
            publisher = Publisher("w", "b", bus, journal=spool)
            for one in range(30):
                publisher.observe(numbered(one))
                if one % 4 == 0:
                    try_flush(publisher)
            while not try_flush(publisher):
                pass
            spool.release(empty=False)
            assert single or spool.unspooled or at > 25
            recover(SpoolFolder(path, disk=FakeDisk()), bus)
            assert bus.counted() == Counter(range(30)), (at, single)
            assert publisher.dropped == 0


def test_no_room_from_the_start(tmp_path: Path) -> None:
    """A spool that cannot even be made says so with OSError and leaves nothing behind."""
    for at in range(3):
        with pytest.raises(OSError, match="no space"):
            SpoolFolder(tmp_path, disk=FakeDisk(full=full_from(at, single=False))).open("w", "b")
        assert list(tmp_path.iterdir()) == []


def test_the_bound_keeps_what_is_old(tmp_path: Path) -> None:
    """The folder never holds more than its bound; what is above it is counted, and sent all the same."""
    bound = 3 * PART_BYTES
    folder = SpoolFolder(tmp_path, bound, FakeDisk())
    bus = Bus()
    spool = folder.open("w", "b")
    publisher = Publisher("w", "b", bus, journal=spool)
    most = 0
    for number in range(9_000):
        publisher.observe(numbered(number))
        most = max(most, sum(path.stat().st_size for path in tmp_path.iterdir())) if number % 500 == 0 else most
    assert PART_BYTES < most <= bound
    assert spool.unspooled > 3_000
    while not try_flush(publisher):
        pass
    publisher.observe(numbered(9_000))
    assert spool.unspooled < 9_000
    spool.release(empty=False)
    recover(SpoolFolder(tmp_path), bus)
    assert bus.counted() == Counter(range(9_001))


def test_the_living_are_left_alone(tmp_path: Path) -> None:
    """Nobody takes the place of a living process, nor that of a dead one which another has taken already."""
    spool = SpoolFolder(tmp_path).open("w", "b")
    Publisher("w", "b", Bus(), journal=spool).observe(numbered(1))
    assert SpoolFolder(tmp_path).adopt() is None
    spool.release(empty=False)
    first = SpoolFolder(tmp_path).adopt()
    assert first is not None
    assert first[2].observations == (numbered(1),)
    assert SpoolFolder(tmp_path).adopt() is None
    first[1].release(empty=True)
    assert SpoolFolder(tmp_path).adopt() is None
    assert list(tmp_path.iterdir()) == []


def test_a_writer_and_boot_has_one_place(tmp_path: Path) -> None:
    """A second process of the same writer and boot gets none, so that it cannot mix its numbers with the first's."""
    spool = SpoolFolder(tmp_path).open("w", "b")
    with pytest.raises(FileExistsError):
        SpoolFolder(tmp_path).open("w", "b")
    spool.release(empty=True)


def test_messages_left_by_the_dead_are_sent_as_they_were(tmp_path: Path) -> None:
    """What was tried before the kill is tried after it with the same bytes, before what the journal still holds."""
    bus = Bus()
    bus.down = True
    spool = SpoolFolder(tmp_path).open("w", "b")
    publisher = Publisher("w", "b", bus, journal=spool)
    publisher.observe(numbered(0))
    assert not try_flush(publisher)
    publisher.observe(numbered(1))
    spool.release(empty=False)
    bus.down = False
    assert recover(SpoolFolder(tmp_path), bus) == 1
    assert bus.attempts[0] == bus.attempts[1]
    assert [chunk.seq for chunk in bus.taken.values()] == [0, 1]


def left_behind(path: Path) -> Bus:
    """Two messages and a journal of a dead process, with its bus."""
    bus = Bus()
    bus.down = True
    spool = SpoolFolder(path).open("w", "b")
    publisher = Publisher("w", "b", bus, journal=spool)
    for number in range(2):
        publisher.observe(numbered(number))
        assert not try_flush(publisher)
    publisher.observe(numbered(2))
    spool.release(empty=False)
    bus.down = False
    return bus


@pytest.mark.parametrize(
    ("kind", "arrive", "unreadable"), [("chunk", {1, 2}, 1), ("journal", {0, 1}, 0), ("owner", {0, 1}, 1)]
)
@pytest.mark.parametrize("damage", [b"", b"\0" * 40, b"\xff" * 4000, b'{"a": 1}' * 10])
def test_a_damaged_file_costs_itself_alone(
    tmp_path: Path, kind: str, arrive: set[int], unreadable: int, damage: bytes
) -> None:
    """Whatever stands in one of the files, the others arrive, nothing twice, and the folder is empty again."""
    bus = left_behind(tmp_path)
    folder = SpoolFolder(tmp_path)
    for path in [min(tmp_path.glob("*.chunk"))] if kind == "chunk" else tmp_path.glob(f"*.{kind}"):
        path.write_bytes(damage)
    recover(folder, bus)
    assert bus.counted() == Counter(arrive)
    assert folder.unreadable == unreadable
    assert list(tmp_path.iterdir()) == []


def test_a_commit_damaged_in_any_bit_is_no_commit(tmp_path: Path) -> None:
    """A commit whose checksum fails is not believed: the messages go as they are, the journals are let be."""
    bus = left_behind(tmp_path)
    (owner,) = tmp_path.glob("*.owner")
    raw = bytearray(owner.read_bytes())
    raw[20] ^= 1
    owner.write_bytes(raw)
    recover(SpoolFolder(tmp_path), bus)
    assert bus.counted() == Counter({0, 1})


def segment(path: Path) -> Segment:
    """A journal without bounds."""
    return Segment(path, Disk(), lambda _: True)


def test_a_journal_reads_as_written(tmp_path: Path) -> None:
    """Whatever can be observed is read back as it was, in order, over more than one part."""
    hostile = Series('\x00\n"m', tuple((f"{n:02}é", "\x01" * 500) for n in range(16)))
    written = [
        Observation(series, kind, at_us, value)
        for number in range(900)
        for series in (Series("m"), hostile, Series("m", (("n", str(number)),)))
        for kind, at_us, value in ((Kind.GAUGE, 1, -1e200), (Kind.DISTRIBUTION, AT_US, 5e-324))
    ]
    path = tmp_path / "one"
    journal = segment(path)
    assert all(journal.append(one) for one in written)
    journal.close()
    assert path.stat().st_size > PART_BYTES
    assert read_segment(path.read_bytes()) == written


def test_a_journal_cut_off_anywhere_keeps_what_is_before(tmp_path: Path) -> None:
    """A write that ended at any byte, or was garbled there, takes nothing with it that came before."""
    path = tmp_path / "one"
    journal = segment(path)
    for number in range(3):
        journal.append(numbered(number))
    journal.close()
    data = path.read_bytes()
    end = len(data.rstrip(b"\0")) + 8
    for cut in range(end):
        torn = data[:cut] + bytes(len(data) - cut)
        garbled = data[:cut] + b"\xa5" + data[cut + 1 :]
        whole = read_segment(torn)
        assert whole == [numbered(number) for number in range(len(whole))]
        assert all(one in map(numbered, range(3)) for one in read_segment(garbled)), cut
    assert read_segment(data) == [numbered(number) for number in range(3)]


def test_recording_in_the_midst_of_recording(tmp_path: Path) -> None:
    """A signal handler that records while a record is being written overwrites nothing."""
    path = tmp_path / "one"
    journal = segment(path)
    write = journal._write
    nested = iter([numbered(7)])

    def interrupted(body: bytes) -> None:
        for one in nested:
            journal.append(one)
        write(body)

    journal._write = interrupted  # type: ignore[method-assign]
    assert journal.append(numbered(1))
    assert journal.append(numbered(1))
    journal.close()
    assert Counter(read_segment(path.read_bytes())) == Counter([numbered(7), numbered(1), numbered(1)])


def test_a_released_spool_takes_nothing(tmp_path: Path) -> None:
    """After its release a spool counts what comes as lost to SIGKILL, fails for nobody, and is released once."""
    spool: Spool = SpoolFolder(tmp_path).open("w", "b")
    spool.release(empty=True)
    spool.release(empty=True)
    spool.append(numbered(1))
    assert spool.unspooled == 1
    assert numbered(1).at_us < NO_LIMIT_US
