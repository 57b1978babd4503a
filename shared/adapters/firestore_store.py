"""The store on Firestore: the generated client's channel with raw protobufs, no transactions, no retries of commits.

The client opens the channel, with its credentials and address; the calls go past its wrappers, which cost as much
as the rest of a message's way. A channel on which a call runs out of time is left to the calls that are on it, and the
next call opens another: its connection may have gone silent, as a frozen instance finds it, and would stay so.
A commit is sent once: repeating one whose answer was lost could find its own precondition broken, so the caller
decides. Reads are tried twice. Every call ends within its time-out, against the client's own 55-60 s.

Relied on, and shown by the contract suite on the emulator: a query returns a read time even when it finds nothing;
documents come in the order of their ids' UTF-8, which is the order of code points; a write that changes nothing
keeps the update time (documented for production: https://cloud.google.com/firestore/docs/reference/rest/v1/WriteResult
"If the write did not actually change the document, this will be the previous update_time").
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import grpc
from google.api_core.gapic_v1 import routing_header
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore_v1 import types
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport

from .. import limits
from ..errors import MonitoringError, PermanentError, PreconditionFailed, TransientError
from ..store import Absent, Delete, Document, Listing, Precondition, Write
from .channels import emulator_channel, google_transport
from .firestore_values import decode_document, encode_document, from_timestamp, to_timestamp
from .merging import leaves
from .per_process import PerProcess

_TRANSIENT_CODES = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.PERMISSION_DENIED,  # an operator mends access, and until then nothing may be dropped
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)
_PRECONDITION_CODES = frozenset(
    {grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND}
)
_EMULATOR_METADATA = (("authorization", "Bearer owner"),)
_SERVICE = "/google.firestore.v1.Firestore/"

_routed_by: Any = routing_header.to_grpc_metadata  # which has no types

_CommitRequest: Any = types.CommitRequest.pb()
_CommitResponse: Any = types.CommitResponse.pb()
_BatchGetRequest: Any = types.BatchGetDocumentsRequest.pb()
_BatchGetResponse: Any = types.BatchGetDocumentsResponse.pb()
_RunQueryRequest: Any = types.RunQueryRequest.pb()
_RunQueryResponse: Any = types.RunQueryResponse.pb()
_Write: Any = types.Write.pb()
_DocumentMask: Any = types.DocumentMask.pb()
_Precondition: Any = types.Precondition.pb()
_Query: Any = types.StructuredQuery.pb()
_Filter: Any = types.StructuredQuery.Filter.pb()


@dataclass(frozen=True, slots=True)
class _Calls:
    """The three calls on an open channel, with raw messages; calling one raises ``grpc.RpcError``."""

    channel: Any
    commit: Any
    batch_get: Any
    run_query: Any

    @classmethod
    def on(cls, channel: Any) -> _Calls:
        def stream(method: str, request: Any, response: Any) -> Any:
            return channel.unary_stream(_SERVICE + method, request.SerializeToString, response.FromString)

        return cls(
            channel,
            channel.unary_unary(f"{_SERVICE}Commit", _CommitRequest.SerializeToString, _CommitResponse.FromString),
            stream("BatchGetDocuments", _BatchGetRequest, _BatchGetResponse),
            stream("RunQuery", _RunQueryRequest, _RunQueryResponse),
        )


class FirestoreStore:
    """A ``Store`` in one Firestore database. The client is built by the first call, once in each process.

    ``emulator_host`` is ``host:port`` of an emulator; without it, Google's service and the default credentials.
    A commit, and each attempt at a read, ends within its time-out.
    """

    def __init__(
        self,
        project: str,
        database: str = "(default)",
        emulator_host: str | None = None,
        *,
        commit_timeout_seconds: float = 10.0,
        read_timeout_seconds: float = 20.0,
    ) -> None:
        self._database = f"projects/{project}/databases/{database}"
        self._root = f"{self._database}/documents/"
        self._emulator_host = emulator_host
        resource = (("google-cloud-resource-prefix", self._database),)
        self._metadata = resource + (_EMULATOR_METADATA if emulator_host else ())
        self._of_database = (*self._metadata, _routed_by((("database", self._database),)))
        self._commit_timeout_seconds = commit_timeout_seconds
        self._read_timeout_seconds = read_timeout_seconds
        self._calls = PerProcess(self._connect)

    def get(self, paths: Sequence[str]) -> dict[str, Document]:
        """See ``Store.get``."""
        limits.check_paths(paths)
        if not paths:
            return {}
        names = [self._root + path for path in dict.fromkeys(paths)]
        request = _BatchGetRequest(database=self._database, documents=names)
        answers = self._read("batch_get", request, self._of_database)
        found = [answer.found for answer in answers if answer.HasField("found")]
        documents = [self._document(raw) for raw in found]
        return {document.path: document for document in documents}

    def list(self, collection: str, start: str = "", end: str | None = None, limit: int | None = None) -> Listing:
        """See ``Store.list``."""
        limits.check_range(collection, start, end, limit)
        if end == "":
            end = start = "0"  # nothing is below an empty id, and the query needs one that is sound
        parent, _, name = (self._root + collection).rpartition("/")
        query = self._query(collection, name, start, end, limit)
        metadata = (*self._metadata, _routed_by((("parent", parent),)))
        answers = self._read("run_query", _RunQueryRequest(parent=parent, structured_query=query), metadata)
        documents = tuple(self._document(answer.document) for answer in answers if answer.HasField("document"))
        return Listing(documents, max(from_timestamp(answer.read_time) for answer in answers))

    def commit(self, writes: Sequence[Write]) -> datetime:
        """See ``Store.commit``."""
        limits.check_commit(writes)
        request = self.commit_request(writes)
        limits.check_commit_bytes(request.ByteSize())
        conditional = any(write.precondition is not None for write in writes)
        with self._calling(conditional) as calls:
            answer = calls.commit(request, timeout=self._commit_timeout_seconds, metadata=self._of_database)
        return from_timestamp(answer.commit_time)

    def commit_request(self, writes: Sequence[Write]) -> Any:
        """The raw request that commits checked writes."""
        return _CommitRequest(database=self._database, writes=[self._write(write) for write in writes])

    def close(self) -> None:
        """Close the calling process's channel, if any; the next call opens another. Not while a call runs."""
        calls = self._calls.drop()
        if calls is not None:
            calls.channel.close()

    def _connect(self) -> _Calls:
        if self._emulator_host is not None:
            return _Calls.on(emulator_channel(self._emulator_host))
        transport: Any = FirestoreClient(transport=google_transport(FirestoreGrpcTransport)).transport
        return _Calls.on(transport.grpc_channel)

    @contextlib.contextmanager
    def _calling(self, conditional: bool) -> Iterator[_Calls]:
        """The calls to make one of, and the project's errors for the channel's.

        ``conditional`` says whether a precondition is asked for.
        """
        try:
            calls = self._calls.get()
            yield calls
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                self._calls.discard(calls)
            raise translate(error, conditional) from error
        except GoogleAuthError as error:
            raise TransientError("store_unavailable", str(error)) from error

    def _read(self, method: str, request: Any, metadata: Any) -> Sequence[Any]:
        """All raw answers of a streaming read, tried once more when the first attempt failed for a passing reason."""
        try:
            return self._read_once(method, request, metadata)
        except TransientError:
            return self._read_once(method, request, metadata)

    def _read_once(self, method: str, request: Any, metadata: Any) -> Sequence[Any]:
        with self._calling(conditional=False) as calls:
            return list(getattr(calls, method)(request, timeout=self._read_timeout_seconds, metadata=metadata))

    def _document(self, raw: Any) -> Document:
        return decode_document(raw.name.removeprefix(self._root), raw)

    def _query(self, collection: str, name: str, start: str, end: str | None, limit: int | None) -> Any:
        query = _Query(order_by=[{"field": {"field_path": "__name__"}, "direction": "ASCENDING"}])
        query.from_.add(collection_id=name)
        bounds = (("GREATER_THAN_OR_EQUAL", start), ("LESS_THAN", end))
        filters = [self._bound(operator, f"{collection}/{id_}") for operator, id_ in bounds if id_]
        if filters:
            query.where.composite_filter.op = "AND"
            query.where.composite_filter.filters.extend(filters)
        if limit is not None:
            query.limit.value = limit
        return query

    def _bound(self, operator: str, path: str) -> Any:
        reference = {"reference_value": self._root + path}
        return _Filter(field_filter={"field": {"field_path": "__name__"}, "op": operator, "value": reference})

    def _write(self, write: Write) -> Any:
        name = self._root + write.path
        if isinstance(write, Delete):
            raw = _Write(delete=name)
        else:
            raw = _Write(update=encode_document(name, write.fields))
            if write.merge:  # present even when it is empty: without a mask the document is replaced
                paths = [".".join(map(limits.quoted_name, path)) for path, _ in leaves(write.fields)]
                raw.update_mask.CopyFrom(_DocumentMask(field_paths=paths))
        if write.precondition is not None:
            raw.current_document.CopyFrom(_precondition(write.precondition))
        return raw


def _precondition(precondition: Precondition) -> Any:
    if isinstance(precondition, Absent):
        return _Precondition(exists=False)
    return _Precondition(update_time=to_timestamp(precondition.update_time))


def translate(error: grpc.RpcError, conditional: bool) -> MonitoringError:
    """The error that a failed call means to the caller, by its status code."""
    code, detail = error.code(), f"{error.code().name}: {error.details()}"
    if code in _TRANSIENT_CODES:
        return TransientError("store_unavailable", detail)
    if conditional and code in _PRECONDITION_CODES:
        return PreconditionFailed(detail)
    if code == grpc.StatusCode.INVALID_ARGUMENT and _names_document_size(detail):
        return PermanentError("document_too_large", detail)
    return PermanentError("store_refused", detail)


def _names_document_size(message: str) -> bool:
    """Whether the service says that a merge made a document too large; it has no code of its own for that.

    Production: "... its size (N bytes) exceeds the maximum allowed size ..."; emulator: "maximum entity size is ...".
    """
    return "maximum allowed size" in message or "maximum entity size" in message
