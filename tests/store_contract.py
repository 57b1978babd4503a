"""The store contract as tests: what each adapter must do, whoever keeps the documents.

A test module subclasses ``StoreContract`` with a fixture ``store`` that gives an empty store to each test.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from shared.adapters.merging import merged
from shared.errors import PermanentError, PreconditionFailed
from shared.store import Absent, Delete, Document, Put, Store, Unchanged
from tests.store_cases import ACCEPTED, COLLIDING_FIELDS, FIELDS, HOSTILE_NAMES, REFUSED, same

OF_ANY_STORE = settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def read(store: Store, path: str) -> Document:
    """The document at a path that must exist."""
    return store.get([path])[path]


class StoreContract:
    """Every adapter passes these."""

    def test_get_returns_what_exists(self, store: Store) -> None:
        """Absent documents are left out, and no paths give no documents."""
        store.commit([Put("a/1", {"x": 1})])
        assert set(store.get(["a/1", "a/2", "a/1"])) == {"a/1"}
        assert store.get([]) == {}

    @OF_ANY_STORE
    @given(fields=FIELDS)
    def test_fields_come_back_as_they_were_put(self, store: Store, fields: dict[str, Any]) -> None:
        """Every type and value comes back equal and of the same type, by get and by list."""
        store.commit([Put("a/1", fields)])
        assert same(read(store, "a/1").fields, fields)
        assert same(store.list("a").documents[0].fields, fields)

    @pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
    def test_hostile_names_merge_as_themselves(self, store: Store, name: str) -> None:
        """A field or map key with the field path's own signs in it is set, and nothing else."""
        store.commit([Put("a/1", {"a": {"b": 0}, "m": {"k": 0}})])
        store.commit([Put("a/1", {name: 1, "m": {name: {name: 2}}}, merge=True)])
        assert read(store, "a/1").fields == {"a": {"b": 0}, name: 1, "m": {"k": 0, name: {name: 2}}}

    @OF_ANY_STORE
    @given(before=COLLIDING_FIELDS, fields=COLLIDING_FIELDS)
    def test_merge_sets_leaves(self, store: Store, before: dict[str, Any], fields: dict[str, Any]) -> None:
        """A merge gives what the one definition of merging says, maps over scalars and empty maps included."""
        store.commit([Put("a/1", before)])
        store.commit([Put("a/1", fields, merge=True)])
        assert same(read(store, "a/1").fields, merged(before, fields))

    def test_merge_creates_what_is_absent(self, store: Store) -> None:
        """A merge creates the document, even one without fields."""
        store.commit([Put("a/1", {"m": {"k": [1]}}, merge=True), Put("a/2", {"m": {}}, merge=True)])
        assert [document.fields for document in store.list("a").documents] == [{"m": {"k": [1]}}, {}]

    def test_put_without_merge_replaces(self, store: Store) -> None:
        """A plain put leaves nothing of the document before it."""
        store.commit([Put("a/1", {"x": 1, "y": 2})])
        store.commit([Put("a/1", {"y": 3})])
        assert read(store, "a/1").fields == {"y": 3}

    def test_delete_removes(self, store: Store) -> None:
        """A deleted document is gone, and deleting it again is no error."""
        store.commit([Put("a/1", {"x": 1})])
        store.commit([Delete("a/1")])
        store.commit([Delete("a/1")])
        assert store.get(["a/1"]) == {}
        assert store.list("a").documents == ()

    @pytest.mark.parametrize("merge", [False, True], ids=["replace", "merge"])
    def test_update_time_is_the_last_commit_that_changed_something(self, store: Store, merge: bool) -> None:
        """A change sets the update time to its commit time, and a write that changes nothing keeps it."""
        created = store.commit([Put("a/1", {"x": {"y": b"1"}}, merge)])
        assert read(store, "a/1").update_time == created
        again = store.commit([Put("a/1", {"x": {"y": b"1"}}, merge)])
        assert read(store, "a/1").update_time == created < again
        changed = store.commit([Put("a/1", {"x": {"y": b"2"}}, merge)])
        assert read(store, "a/1").update_time == changed > again

    def test_int_and_float_differ(self, store: Store) -> None:
        """Replacing 1 by 1.0 is a change."""
        store.commit([Put("a/1", {"x": 1})])
        assert store.commit([Put("a/1", {"x": 1.0})]) == read(store, "a/1").update_time

    def test_absent_holds_only_once(self, store: Store) -> None:
        """The precondition Absent lets a document be created once, and again after its deletion."""
        store.commit([Put("a/1", {"x": 1}, precondition=Absent())])
        with pytest.raises(PreconditionFailed):
            store.commit([Put("a/1", {"x": 2}, precondition=Absent())])
        with pytest.raises(PreconditionFailed):
            store.commit([Put("a/1", {"x": 2}, merge=True, precondition=Absent())])
        assert read(store, "a/1").fields == {"x": 1}
        store.commit([Delete("a/1")])
        store.commit([Put("a/1", {"x": 2}, precondition=Absent())])

    @pytest.mark.parametrize(
        "write",
        [
            lambda unchanged: Put("a/1", {"x": 3}, precondition=unchanged),
            lambda unchanged: Put("a/1", {"x": 3}, merge=True, precondition=unchanged),
            lambda unchanged: Delete("a/1", unchanged),
        ],
        ids=["replace", "merge", "delete"],
    )
    def test_unchanged_holds_until_a_change(self, store: Store, write: Callable[[Unchanged], Put | Delete]) -> None:
        """A stale update time and an absent document fail, the current one passes."""
        stale = Unchanged(store.commit([Put("a/1", {"x": 1})]))
        current = Unchanged(store.commit([Put("a/1", {"x": 2})]))
        with pytest.raises(PreconditionFailed):
            store.commit([write(stale)])
        assert read(store, "a/1").fields == {"x": 2}
        store.commit([write(current)])
        assert {path: document.fields for path, document in store.get(["a/1"]).items()} in ({"a/1": {"x": 3}}, {})
        store.commit([Delete("a/1")])
        with pytest.raises(PreconditionFailed):
            store.commit([write(current)])

    def test_unchanged_survives_a_write_that_changes_nothing(self, store: Store) -> None:
        """What was read stays unchanged when an equal document is written over it."""
        first = store.commit([Put("a/1", {"x": 1})])
        store.commit([Put("a/1", {"x": 1})])
        store.commit([Put("a/1", {"x": 2}, precondition=Unchanged(first))])

    def test_a_failing_precondition_stops_the_whole_commit(self, store: Store) -> None:
        """One broken precondition among three writes leaves all three undone."""
        store.commit([Put("a/2", {"x": 1}), Put("a/3", {"x": 1})])
        before = store.list("a").documents
        with pytest.raises(PreconditionFailed):
            store.commit([Put("a/1", {}), Put("a/2", {"x": 2}, precondition=Absent()), Delete("a/3")])
        assert store.list("a").documents == before

    def test_list_is_in_order_of_code_points(self, store: Store) -> None:
        """Ids come in the order of their code points, also beyond the basic plane."""
        ids = ["\n", "-1", "10", "9", "A", "a", "a\x00", "a b", "aa", "b", "é", "\ue000", "\uffff", "😀"]
        store.commit([Put(f"a/{id_}", {}) for id_ in reversed(ids)])
        assert [document.id for document in store.list("a").documents] == sorted(ids)

    @pytest.mark.parametrize(
        ("start", "end", "expected"),
        [
            ("", None, ["a", "b", "b~1", "c"]),
            ("b", None, ["b", "b~1", "c"]),
            ("", "b", ["a"]),
            ("b", "b~1", ["b"]),
            ("b", "c", ["b", "b~1"]),
            ("b!", "b~2", ["b~1"]),
            ("d", None, []),
            ("c", "a", []),
            ("", "", []),
        ],
    )
    def test_list_takes_start_and_leaves_out_end(
        self, store: Store, start: str, end: str | None, expected: list[str]
    ) -> None:
        """A range holds the ids from its start up to but without its end."""
        store.commit([Put(f"a/{id_}", {"x": id_}) for id_ in ("a", "b", "b~1", "c")])
        listing = store.list("a", start, end)
        assert [document.id for document in listing.documents] == expected
        assert all(document.path == f"a/{document.fields['x']}" for document in listing.documents)

    @pytest.mark.parametrize(
        ("start", "end", "limit", "expected"),
        [
            ("", None, 1, ["a"]),
            ("", None, 3, ["a", "b", "b~1"]),
            ("", None, 4, ["a", "b", "b~1", "c"]),
            ("", None, 5, ["a", "b", "b~1", "c"]),
            ("a~", None, 2, ["b", "b~1"]),
            ("b", "c", 1, ["b"]),
            ("", "b", 2, ["a"]),
            ("d", None, 1, []),
        ],
    )
    def test_list_has_at_most_its_limit(
        self, store: Store, start: str, end: str | None, limit: int, expected: list[str]
    ) -> None:
        """A limited listing holds the first documents of its range, with a read time as any other."""
        committed_at = store.commit([Put(f"a/{id_}", {}) for id_ in ("a", "b", "b~1", "c")])
        listing = store.list("a", start, end, limit)
        assert [document.id for document in listing.documents] == expected
        assert listing.read_time >= committed_at

    @pytest.mark.parametrize("limit", [0, -1])
    def test_a_listing_of_nothing_is_a_mistake(self, store: Store, limit: int) -> None:
        """A limit below one is a ValueError, and no listing without one."""
        with pytest.raises(ValueError, match="at least one document"):
            store.list("a", limit=limit)

    def test_list_is_of_one_collection(self, store: Store) -> None:
        """Neither deeper collections nor others of the same name or a common prefix are listed."""
        paths = ["a/1", "a/1/b/1", "a/2/b/2", "aa/1", "b/1", "a/1/b/1/a/1"]
        store.commit([Put(path, {}) for path in paths])
        assert [document.path for document in store.list("a").documents] == ["a/1"]
        assert [document.path for document in store.list("a/2/b").documents] == ["a/2/b/2"]

    def test_read_time_passes_with_commits(self, store: Store) -> None:
        """A listing that finds nothing has a read time too, and it lies between the commits around it."""
        before = store.commit([Put("b/1", {})])
        empty = store.list("a")
        after = store.commit([Put("b/2", {})])
        assert empty.documents == ()
        assert before <= empty.read_time < after
        assert empty.read_time.utcoffset() == timedelta(0)

    @pytest.mark.parametrize(("writes", "reason"), REFUSED.values(), ids=REFUSED.keys())
    def test_broken_limits_are_refused(self, store: Store, writes: list[Put | Delete], reason: str) -> None:
        """A commit that breaks a limit is a permanent failure with the limit's name, and writes nothing."""
        with pytest.raises(PermanentError) as refused:
            store.commit([Put("ok/1", {}), *writes])
        assert refused.value.reason == reason
        assert store.list("ok").documents == ()

    @pytest.mark.parametrize("writes", ACCEPTED.values(), ids=ACCEPTED.keys())
    def test_limits_are_accepted_to_the_last(self, store: Store, writes: list[Put]) -> None:
        """What just keeps a limit is written: no check is stricter than what it says."""
        store.commit(writes)
        assert len(store.get([write.path for write in writes])) == len(writes)

    def test_merge_beyond_the_document_limit_is_refused(self, store: Store) -> None:
        """A small merge that would make a document larger than 1 MiB is refused by name."""
        store.commit([Put("a/1", {"x": b"x" * 600_000})])
        with pytest.raises(PermanentError) as refused:
            store.commit([Put("a/2", {}), Put("a/1", {"y": b"y" * 600_000}, merge=True)])
        assert refused.value.reason == "document_too_large"
        assert [document.id for document in store.list("a").documents] == ["1"]

    @pytest.mark.parametrize(
        ("collection", "start", "end"),
        [("a/1", "", None), ("", "", None), ("__a__", "", None), ("a", "x/y", None), ("a", "", "__x__")],
    )
    def test_unsound_ranges_are_refused(self, store: Store, collection: str, start: str, end: str | None) -> None:
        """A path of no collection and a bound that is no id are refused by name, as is a get of no document."""
        with pytest.raises(PermanentError, match="invalid_document_path"):
            store.list(collection, start, end)
        with pytest.raises(PermanentError, match="invalid_document_path"):
            store.get(["a/1", "a"])

    def test_an_empty_commit_is_a_mistake(self, store: Store) -> None:
        """A commit without writes is a ValueError."""
        with pytest.raises(ValueError, match="at least one write"):
            store.commit([])
