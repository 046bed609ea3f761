"""What is asked of the API server, as calls: objects are the plain values of their JSON.

The namespace "" stands for objects of the whole cluster, and in lists and watches for every namespace. Each call raises ApiError
(errors.py); none is repeated here, since only the caller knows whether that is right.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import orjson

from controller.sources.kube.access import Access
from controller.sources.kube.errors import Gone, NotFound, Unreachable
from controller.sources.kube.resources import RESOURCES, Resource
from controller.sources.kube.timing import Timing
from controller.sources.kube.transport import APPLY_PATCH, MERGE_PATCH, Request, Transport

FIELD_MANAGER: Final = "tidegate"

Value = dict[str, Any]
"""An object as its JSON."""

Values = list[Value]
"""Several, for the class below, in which `list` is a call."""

_LISTS_BEGUN_ANEW = 3
_ACCOUNT = "system:serviceaccount:"
_POD = "authentication.kubernetes.io/pod-"
_LONGEST_ERROR = 512
"""Characters of what the API server says of a token."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose token it is: a ServiceAccount and, for a token bound to a Pod, that Pod ("" otherwise)."""

    namespace: str
    service_account: str
    pod_name: str
    pod_uid: str


class Client:
    """An API server; use it with `async with`."""

    def __init__(self, access: Access, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self._transport = Transport(access, self.timing)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def get(self, resource: Resource, namespace: str, name: str) -> Value:
        """The object. Raises NotFound."""
        return await self._object(Request("get", resource, namespace, name))

    async def list(self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = "") -> tuple[Values, str]:
        """All objects, and the resourceVersion at which a watch of them begins.

        `labels` and `fields` are selectors. A list whose page token expires is begun anew, three times at most; then raises Gone.
        """
        for attempt in range(_LISTS_BEGUN_ANEW):
            items: Values = []
            version = ""
            try:
                async with aclosing(self.pages(resource, namespace, labels=labels, fields=fields)) as pages:
                    async for page, found in pages:
                        items += page
                        version = found
            except Gone:
                if attempt + 1 == _LISTS_BEGUN_ANEW:
                    raise
            else:
                break
        return items, version

    async def pages(
        self, resource: Resource, namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncGenerator[tuple[Values, str], None]:
        """The pages of a list, all of one resourceVersion. Raises Gone when a page token has expired."""
        query = _selectors(labels, fields) | {"limit": str(self.timing.page)}
        while True:
            answer = await self._object(Request("list", resource, namespace, query=query))
            metadata = answer.get("metadata")
            metadata = metadata if isinstance(metadata, dict) else {}
            items = answer.get("items") or []
            if not isinstance(items, list) or not all(map(_is_object, items)) or not metadata.get("resourceVersion"):
                raise Unreachable(0, "", "the answer is no list", None, str(Request("list", resource, namespace)))
            yield items, str(metadata["resourceVersion"])
            token = metadata.get("continue")
            if not token:
                return
            query["continue"] = str(token)

    async def watch(
        self, resource: Resource, namespace: str = "", *, version: str, seconds: int, labels: str = "", fields: str = ""
    ) -> AsyncGenerator[tuple[str, Value], None]:
        """Types and objects of the events after a resourceVersion, BOOKMARK among them, until the server ends it after `seconds`.

        An event of type ERROR is raised as what it says, Gone mostly.
        """
        query = _selectors(labels, fields) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
        }
        request = Request("watch", resource, namespace, query=query)
        async with aclosing(self._transport.lines(request)) as lines:
            async for line in lines:
                try:
                    event = orjson.loads(line)
                    kind, found = event["type"], event["object"]
                except (orjson.JSONDecodeError, TypeError, KeyError) as error:
                    raise Unreachable(0, "", "an event is cut short or no event", None, str(request)) from error
                if kind == "ERROR" and isinstance(found, dict):
                    code = found.get("code")
                    raise request.refused(code if isinstance(code, int) else 500, found)
                if kind != "BOOKMARK" and not _is_object(found):
                    raise Unreachable(0, "", "an event holds no object", None, str(request))
                yield kind, found

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Value:
        """The object as created. Raises Conflict when it is there already."""
        return await self._object(Request("create", resource, namespace, query={"fieldManager": FIELD_MANAGER}, body=body))

    async def apply(self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any]) -> Value:
        """Server-side apply: the fields of `body` become ours by force, those that we no longer give go; others' stay."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._object(Request("patch", resource, namespace, name, query=query, body=body, content_type=APPLY_PATCH))

    async def patch(self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], subresource: str = "") -> Value:
        """JSON merge patch (RFC 7396). Raises Conflict where `body.metadata.resourceVersion` is not the object's."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._object(Request("patch", resource, namespace, name, subresource, query, body, MERGE_PATCH))

    async def replace(self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any]) -> Value:
        """The object as replaced. Raises Conflict where `body.metadata.resourceVersion` is not the object's."""
        return await self._object(Request("update", resource, namespace, name, query={"fieldManager": FIELD_MANAGER}, body=body))

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str = "", propagation: str = "Background") -> None:
        """Deletes an object, with `uid` only if it is that one: raises Conflict if another has its name. None there is success."""
        body: Value = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            await self._transport.send(Request("delete", resource, namespace, name, body=body))
        except NotFound:
            return

    async def review_token(self, token: str, audience: str) -> Account | str:
        """Whose token this is, if it is a ServiceAccount's, valid, and meant for `audience`; otherwise why it is none (TokenReview)."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        review = await self._object(Request("create", RESOURCES["TokenReview"], body=body))
        return _account(review.get("status"), audience)

    async def served(self, group: str, version: str) -> frozenset[str] | None:
        """The plurals that a version of a group holds, None when it is not served."""
        request = Request("get", Resource(group, version, "", "APIResourceList", False))
        try:
            answer = await self._object(request)
        except NotFound:
            return None
        found = answer.get("resources")
        if not isinstance(found, list):
            raise Unreachable(0, "", "the answer is no list of resources", None, str(request))
        return frozenset(str(each.get("name")) for each in found if isinstance(each, dict))

    async def _object(self, request: Request) -> Value:
        answer = await self._transport.send(request)
        if not isinstance(answer, dict):
            raise Unreachable(0, "", "the answer is no object", None, str(request))
        return answer


def _is_object(value: Any) -> bool:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    return isinstance(metadata, dict) and isinstance(metadata.get("name"), str)


def _selectors(labels: str, fields: str) -> dict[str, str]:
    given = {"labelSelector": labels, "fieldSelector": fields}
    return {name: value for name, value in given.items() if value}


def _account(status: Any, audience: str) -> Account | str:
    """A server that knows no audiences names none, and its word is then none about ours (TokenReviewStatus.audiences)."""
    if not isinstance(status, dict) or status.get("authenticated") is not True:
        error = status.get("error") if isinstance(status, dict) else None
        said = " ".join(error.split())[:_LONGEST_ERROR] if isinstance(error, str) else ""
        return f"the API server says {said!r}" if said else "the API server does not vouch for it, and does not say why"
    audiences = status.get("audiences") or ()
    if audience not in audiences:
        return f"it is for {', '.join(map(repr, audiences)) or 'no audience that the API server names'}, and not for {audience!r}"
    user = status.get("user")
    name = user.get("username") if isinstance(user, dict) else None
    if not isinstance(user, dict) or not isinstance(name, str) or not name.startswith(_ACCOUNT) or name.count(":") != 3:
        return f"it is that of {name!r}, which is no ServiceAccount" if name else "it is nobody's"
    _, _, namespace, account = name.split(":")
    extra = user.get("extra")
    extra = extra if isinstance(extra, dict) else {}
    pod, uid = (next(iter(extra.get(_POD + part) or ()), "") for part in ("name", "uid"))
    return Account(namespace, account, str(pod), str(uid))
