"""Random changes of all kinds of objects in a folder, invalid ones among them, none of which is meant to touch what is asked for.

Some change what the steady route stands on (its Gateway's other listeners, its Service's endpoints, its certificate, policies on all of
them), always to something as good; the others are objects beside it, good and bad, and files that nobody can read.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.certificates import Authority
from tests.endurance.objects import (
    OURS,
    Document,
    Files,
    document,
    endpoints,
    forwarding,
    gateway,
    listener,
    route,
    secret,
    service,
    text_of,
)

SLOTS = 200
"""Files that come, change and go."""
NAMES = 30
"""Names that objects of a kind have: they meet, and contradict each other."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What the steady route stands on. `taken` is a port that cannot be bound; `spare` are such that can."""

    plain: int
    secure: int
    taken: int
    spare: tuple[int, ...]
    backends: tuple[int, ...]
    authority: Authority


class Churn:
    """Owner of the files. `changes` counts the files that were written or removed."""

    def __init__(self, files: Files, ground: Ground, seed: int) -> None:
        self._files = files
        self._ground = ground
        self._random = random.Random(seed)
        issue = ground.authority.issue
        self._pairs = [issue(f"host-{number}.example") for number in range(4)]
        self._steady_pairs = [issue("steady.example") for _ in range(4)]
        self._markers = 0
        self.usable = list(ground.backends)
        """Of the backends those that the steady Service may name."""
        self.changes = 0
        self.kinds: dict[str, int] = {}

    def begin(self) -> None:
        """What must be there."""
        for change in (self._steady_gateway, self._steady_endpoints, self._steady_secret):
            change()
        steady = route("steady", "steady.example", forwarding("steady"), parent="web")
        self._files.put("a-route.yaml", steady, service("steady"))
        self.mark()

    def mark(self) -> bytes:
        """Changes the route of marker.example; what the Location of its answers has when everything before is in place."""
        self._markers += 1
        host = f"marker-{self._markers}.example"
        redirect = {"type": "RequestRedirect", "requestRedirect": {"hostname": host}}
        self._put("b-marker.yaml", route("marker", "marker.example", {"filters": [redirect]}))
        return host.encode()

    def change(self) -> None:
        """One file, at random."""
        (kind,) = self._random.choices((self._good, self._bad, self._unreadable, self._remove, self._steady), (40, 25, 8, 15, 12))
        kind()

    def settle(self) -> None:
        """Leaves only what can be read: an object whose file is broken is what it was before, which another process cannot know."""
        for number in range(SLOTS):
            if self._random.random() < 0.6:
                self._good_or_bad(self._slot(number), True)
            else:
                self._files.remove(self._slot(number))
                self.changes += 1

    def _good(self) -> None:
        self._good_or_bad(self._any_slot(), True)

    def _bad(self) -> None:
        self._good_or_bad(self._any_slot(), False)

    def _good_or_bad(self, slot: str, good: bool) -> None:
        make = self._random.choice(self._makers(good))
        self._put(slot, *make())
        name = f"{make.__name__.strip('_')}"
        self.kinds[name] = self.kinds.get(name, 0) + 1

    def _makers(self, good: bool) -> Sequence[Callable[[], Sequence[Document]]]:
        if good:
            return (self._route, self._route, self._service, self._secret, self._gateway, self._policies, self._grant, self._everything)
        return (
            self._bad_route, self._bad_route, self._bad_secret, self._bad_gateway, self._bad_policies, self._rival, self._dangling,
            self._bad_endpoints,
        )  # fmt: skip

    def _remove(self) -> None:
        self._files.remove(self._any_slot())
        self._count("removed file")

    def _unreadable(self) -> None:
        texts = (
            "kind: [", "\tkind: Service", "a: &a [*a]\n---\n" + "- " * 2_000, '{"kind": "HTTPRoute"', "kind: Gateway\nkind: Gateway\n",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: no}\n", "\x00\x01\x02", "--- ---\n...", "just words", "",
            "apiVersion: v1\nkind: Service\nmetadata: {name: Not_A_Name}\nspec: {ports: [{port: 80}]}\n",
            text_of([route("whole", "whole.example", forwarding("steady"))])[:-20],
        )  # fmt: skip
        self._files.put_text(self._any_slot(), self._random.choice(texts))
        self._count("unreadable file")

    def _steady(self) -> None:
        change = self._random.choice((self._steady_gateway, self._steady_endpoints, self._steady_secret, self._steady_policies))
        change()
        self.kinds["steady ground"] = self.kinds.get("steady ground", 0) + 1

    # What the steady route stands on

    def _steady_gateway(self) -> None:
        ground, draw = self._ground, self._random
        listeners = [listener("http", ground.plain), listener("https", ground.secure, "steady")]
        for number in draw.sample(range(6), draw.randrange(4)):
            host = f"host-{number}.example"
            listeners += draw.choice((
                [listener(f"http-{number}", ground.plain, hostname=host)],
                [listener(f"https-{number}", ground.secure, f"secret-{draw.randrange(NAMES)}", hostname=host)],
                [listener(f"spare-{number}", ground.spare[number], hostname=host)],
                [listener(f"taken-{number}", ground.taken, hostname=host)],
            ))  # fmt: skip
        self._put("a-gateway.yaml", gateway("web", *listeners))

    def _steady_endpoints(self) -> None:
        self.name_endpoints(self._random.sample(self.usable, self._random.randint(1, len(self.usable))))

    def name_endpoints(self, ports: Sequence[int]) -> None:
        """Those of the steady Service from now on."""
        self._put("a-endpoints.yaml", *endpoints("steady", ports))

    def _steady_secret(self) -> None:
        self._put("a-secret.yaml", secret("steady", self._random.choice(self._steady_pairs)))

    def _steady_policies(self) -> None:
        draw = self._random
        web = [{"name": "web"}] if draw.random() < 0.5 else [{"name": "web", "sectionName": draw.choice(("http", "https"))}]
        of_listeners = {
            "targetRefs": web,
            "timeouts": {"idle": f"{draw.randint(30, 90)}s", "header": f"{draw.randint(10, 30)}s"},
            "reasonHeader": draw.random() < 0.5,
            "accessLog": draw.random() < 0.5,
            "limits": {"connections": draw.randint(1_000, 2_000)},
            "rateLimits": [{"name": "many", "requests": draw.randint(500_000, 600_000), "period": "1s", "by": "ClientAddress"}],
        }
        balancing: Document = {"type": draw.choice(("RoundRobin", "LeastRequest", "RingHash", "Maglev"))}
        of_backends = {
            "targetRefs": [{"name": "steady"}],
            "balancing": balancing,
            "connectTimeout": f"{draw.randint(3, 9)}s",
            "ejection": {"consecutiveErrors": draw.randint(0, 9)},
            "panicThreshold": draw.randint(0, 100),
        }
        documents = [document(OURS, "ListenerPolicy", "steady", of_listeners), document(OURS, "BackendPolicy", "steady", of_backends)]
        self._put("a-policies.yaml", *draw.sample(documents, draw.randint(0, 2)))

    # Good objects beside it

    def _route(self) -> Sequence[Document]:
        draw = self._random
        rules = []
        for _ in range(draw.randint(1, 4)):
            path = draw.choice((
                {"type": "PathPrefix", "value": f"/{self._any()}"},
                {"type": "Exact", "value": f"/{self._any()}/exactly"},
                {"type": "RegularExpression", "value": f"/{self._any()}/[a-z]+(/.*)?"},
            ))  # fmt: skip
            headers = [{"name": "x-version", "value": self._any()}] if draw.random() < 0.3 else []
            change = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-set", "value": self._any()}]}}
            rules.append(forwarding(f"service-{self._any()}", matches=[{"path": path, "headers": headers}], filters=[change]))
        parent = draw.choice(("web", f"gateway-{self._any()}"))
        return [route(f"route-{self._any()}", f"route-{self._any()}.example", *rules, parent=parent)]

    def _service(self) -> Sequence[Document]:
        name = f"service-{self._any()}"
        return [service(name), *endpoints(name, [self._random.choice(self._ground.backends)], part=self._any())]

    def _secret(self) -> Sequence[Document]:
        return [secret(f"secret-{self._any()}", self._random.choice(self._pairs))]

    def _gateway(self) -> Sequence[Document]:
        draw, spare = self._random, self._ground.spare
        plain = listener("http", draw.choice(spare[:3]), hostname=f"gateway-{self._any()}.example")
        secure = listener("https", draw.choice(spare[3:]), f"secret-{self._any()}", hostname=f"host-{draw.randrange(4)}.example")
        return [gateway(f"gateway-{self._any()}", *draw.sample([plain, secure], draw.randint(1, 2)))]

    def _policies(self) -> Sequence[Document]:
        targets = [{"name": f"gateway-{self._any()}"}], [{"name": f"service-{self._any()}"}]
        budget = {"budget": {"percent": self._random.randint(0, 100)}}
        traffic = {"targetRefs": [{"group": "", "kind": "Service", "name": targets[1][0]["name"]}], "retryConstraint": budget}
        return [
            document(OURS, "ListenerPolicy", f"policy-{self._any()}", {"targetRefs": targets[0], "reasonHeader": True}),
            document(OURS, "BackendPolicy", f"policy-{self._any()}", {"targetRefs": targets[1], "connectTimeout": "1s"}),
            document("gateway.networking.x-k8s.io/v1alpha1", "XBackendTrafficPolicy", f"policy-{self._any()}", traffic),
        ]

    def _grant(self) -> Sequence[Document]:
        spec = {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "default"}],
                "to": [{"group": "", "kind": "Service"}]}  # fmt: skip
        grant = document("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", f"grant-{self._any()}", spec)
        grant["metadata"]["namespace"] = "other"
        there = service(f"service-{self._any()}")
        there["metadata"]["namespace"] = "other"
        across = {"backendRefs": [{"name": there["metadata"]["name"], "namespace": "other", "port": 80}]}
        return [grant, there, route(f"route-{self._any()}", f"route-{self._any()}.example", across)]

    def _everything(self) -> Sequence[Document]:
        """Many objects in one event, so that half of a file would show."""
        return [*self._service(), *self._secret(), *self._gateway(), *self._route(), *self._policies()]

    # Bad ones

    def _bad_route(self) -> Sequence[Document]:
        rule = self._random.choice((
            forwarding("steady", matches=[{"path": {"type": "RegularExpression", "value": "/(unclosed"}}]),
            forwarding("steady", matches=[{"path": {"type": "RegularExpression", "value": "(?=ahead)"}}]),
            forwarding("steady", matches=[{"path": {"type": "PathPrefix", "value": "no-slash"}}]),
            forwarding("no-such-service"),
            forwarding("steady", timeouts={"request": "1s", "backendRequest": "2s"}),
            forwarding("steady", filters=[{"type": "URLRewrite"}]),
            forwarding("steady", filters=[{"type": "NoSuchFilter"}]),
            {"backendRefs": [{"kind": "StatefulSet", "group": "apps", "name": "steady", "port": 80}]},
            {"backendRefs": [{"name": "steady", "port": 70_000}]},
            {"backendRefs": "steady"},
        ))  # fmt: skip
        host = self._random.choice((f"route-{self._any()}.example", "steady.example"))
        if host == "steady.example":  # at a path that nobody asks for
            rule = {"matches": [{"path": {"value": "/bad"}}]} | rule
        return [route(f"zz-route-{self._any()}", host, rule)]

    def _bad_secret(self) -> Sequence[Document]:
        mine, other = self._random.sample(self._pairs, 2)
        data = self._random.choice((
            {"tls.crt": mine.chain, "tls.key": other.private_key},
            {"tls.crt": mine.chain[:200], "tls.key": mine.private_key},
            {"tls.crt": "no certificate", "tls.key": "no key"},
            {"tls.crt": mine.chain},
        ))  # fmt: skip
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
        name = f"secret-{self._any()}"
        broken = {"tls.crt": "%%% no base64", "tls.key": ""}
        return [document("v1", "Secret", name, type="kubernetes.io/tls", data=self._random.choice((encoded, encoded, broken)))]

    def _bad_gateway(self) -> Sequence[Document]:
        ground, port = self._ground, self._random.choice(self._ground.spare)
        listeners = self._random.choice((
            [listener("https", port, "no-such-secret")],
            [listener("http", ground.taken)],
            [listener("http", port, hostname="*.*.example")],
            [listener("http", port), listener("http", port)],
            [listener("http", port), listener("https", port, "secret-1")],
            [{"name": "udp", "port": port, "protocol": "UDP"}],
            [listener("http", 0)],
            [],
        ))  # fmt: skip
        return [gateway(f"gateway-{self._any()}", *listeners)]

    def _bad_policies(self) -> Sequence[Document]:
        target = [{"name": "web"}]
        spec: Document = self._random.choice((
            {"targetRefs": target, "timeouts": {"header": "soon"}},
            {"targetRefs": target, "limits": {"connections": 0}},
            {"targetRefs": target, "unknown": 1},
            {"targetRefs": [{"name": "no-such-gateway"}]},
            {"targetRefs": []},
        ))  # fmt: skip
        ring = {"targetRefs": [{"name": "steady"}], "balancing": {"type": "Maglev", "tableSize": 100}}
        kind, spec = self._random.choice((("ListenerPolicy", spec), ("BackendPolicy", ring)))
        return [document(OURS, kind, f"zz-policy-{self._any()}", spec)]

    def _rival(self) -> Sequence[Document]:
        """Objects that would take the steady one's place, if they were not later by file or by name."""
        rival = route(self._random.choice(("steady", "zz-rival")), "steady.example", forwarding("no-such-service"))
        return [self._random.choice((rival, service("steady") | {"spec": {"ports": [{"port": 81}]}}, gateway("web")))]

    def _dangling(self) -> Sequence[Document]:
        validation = {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "no-such-map"}], "hostname": "a.example"}
        target = {"group": "", "kind": "Service", "name": f"service-{self._any()}"}
        spec = {"targetRefs": [target], "validation": validation}
        return [
            document("gateway.networking.k8s.io/v1", "BackendTLSPolicy", f"policy-{self._any()}", spec),
            route(f"route-{self._any()}", f"route-{self._any()}.example", forwarding("steady"), parent="no-such-gateway"),
        ]

    def _bad_endpoints(self) -> Sequence[Document]:
        (slice_,) = endpoints(f"service-{self._any()}", [1], part=self._any())
        address = self._random.choice(("127.0.0.1", "not an address", "999.1.1.1", "::1"))
        return [slice_ | {"endpoints": [{"addresses": [address]}]}]

    # Files

    def _any(self) -> str:
        return str(self._random.randrange(NAMES))

    def _any_slot(self) -> str:
        return self._slot(self._random.randrange(SLOTS))

    def _slot(self, number: int) -> str:
        return f"slot-{number:03}.yaml"

    def _put(self, name: str, *documents: Document) -> None:
        self._files.put(name, *documents)
        self.changes += 1

    def _count(self, kind: str) -> None:
        self.changes += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
