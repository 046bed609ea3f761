"""Builds what a batch asks for beside the live tables, then puts all of it in place in one callback.

What cannot be built is left out and named: a Listener or Certificate keeps its previous version, a Backend or HttpRule
answers 500 and says why, rules of other kinds end what comes to them. `steps` does the work in small pieces, so that the
loop serves requests in between; `commit` only assigns; `release` lets go of what was replaced, in small pieces again,
since to free 10,000 rules takes a while too.

Endpoints of many live backends at once would be too much for one callback: they get the new ones beside the old before the commit, and
lose the old ones after it, so that neither rule of a request, the old or the new, misses what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterable, Iterator
from copy import copy
from functools import partial
from typing import TypeVar

import msgspec

from gateway import guarding
from gateway.draft import IN_PLACE, Draft
from gateway.ir.backend import Backend as BackendResource
from gateway.ir.backend import BackendOptions, Endpoint, EndpointSet
from gateway.ir.batch import AnyResource, Batch
from gateway.ir.filters import Unresolved
from gateway.ir.listener import Certificate, Gateway, Listener, TrustBundle
from gateway.ir.rule import HttpRule
from gateway.ir.value import Identity
from gateway.ir.workload import IDENTITY, ROOTS, Workload
from gateway.live import Live
from gateway.meshing import MeshPreparation, check_identity, peers_of
from gateway.net.backend_context import ALPN, BackendTlsSettings, backend_context
from gateway.net.contexts import HTTP, ServerContexts, server_contexts
from gateway.net.key_material import TlsConfigurationError
from gateway.net.mesh_tls import Proof
from gateway.proxy.capture_port import check_capture
from gateway.proxy.core import secret_of
from gateway.proxy.observer import Observer
from gateway.proxy.port import LiveListener, is_of_mesh, terminates
from gateway.proxy.request_limits import RequestLimits
from gateway.proxy.rule import Rule
from gateway.relay.preparation import KINDS, StreamPreparation
from gateway.routing.table import RouteTable, RouteTableEditor
from gateway.upstream.backend import Backend, SettingsFor, check_options
from gateway.upstream.endpoint_faults import without_faulty

Kind = TypeVar("Kind", bound=AnyResource)


class Preparation:
    """The next state of `live` after one batch. Used once: all of `steps`, then `commit`, then `release`."""

    def __init__(self, live: Live, batch: Batch) -> None:
        self._live = live
        self._batch = batch
        self._changed: set[Identity] = set()
        self._changed_keys: dict[str, list[str]] = {}
        self._resources = Draft(live.resources)
        self.rejections = dict(live.rejections)
        self._bundles = Draft(live.bundles)
        self._certificates = Draft(live.certificates)
        self._gateways = Draft(live.gateways)
        self._rules = Draft(live.rules)
        self._described = Draft(live.described)
        self.listeners: dict[str, LiveListener] = dict(live.listeners)
        self._backends = live.backends
        self._streams = StreamPreparation(live.streams, self.listeners, self._backend, self.rejections)
        self._mesh = MeshPreparation(live.core.mesh, self.rejections)
        self._policies = guarding.PolicyPreparation(live, self.rejections)
        self._editors: dict[str, RouteTableEditor[Rule]] = {}
        self._new_listeners: set[str] = set()
        self._assignments: list[Callable[[], None]] = []
        self._made: set[str] = set()
        """Backends that nobody knows yet, so that they need not wait for the commit."""
        self._moving: list[tuple[Backend, EndpointSet | None]] = []
        """Backends that lose endpoints after the commit, each with the set that it is to have."""
        self._closing: list[Backend] = []
        """Backends that have no resource any more."""
        self.arranged = True
        """Whether the ports can stay as they are: no listener changed."""
        self.replaced: list[LiveListener] = []
        """Listeners that are gone or whose demands on clients changed: their connections must not serve on."""
        self._garbage: list[object] = []
        """The last hold on what was replaced."""

    def _note_changes(self) -> Iterator[None]:
        """What differs from what is there; in a snapshot, what is not set is gone."""
        present, batch = self._live.resources, self._batch
        wanted: dict[Identity, AnyResource | None] = dict.fromkeys(present) if batch.snapshot else {}
        wanted.update(dict.fromkeys(batch.remove))
        for resource in batch.set:
            wanted[resource.identity] = resource
            yield
        for identity, after in wanted.items():
            if present.get(identity) != after:
                self._resources.put(identity, after)
                self._changed.add(identity)
                self._changed_keys.setdefault(identity[0], []).append(identity[1])
                self.rejections.pop(identity, None)
            yield

    def _each(self, kind: type[Kind]) -> Iterator[tuple[str, Kind | None]]:
        """Changed resources of a kind, None for one that is gone; in the order of the batch."""
        for key in self._changed_keys.get(kind.__name__, ()):
            yield key, self._wanted(kind, key)

    def _wanted(self, kind: type[Kind], key: str) -> Kind | None:
        resource = self._resources.get((kind.__name__, key))
        return resource if isinstance(resource, kind) else None

    def steps(self) -> Generator[None, None, None]:
        """Yields after each resource. Raises nothing that a resource can cause."""
        yield from self._note_changes()
        yield from self._prepare_trust()
        yield from self._prepare_mesh()
        yield from self._prepare_backends()
        yield from self._prepare_listeners()
        yield from self._prepare_policies()
        yield from self._prepare_rules()
        for kind in KINDS:
            for key, rule in self._each(kind):
                self._streams.change((kind.__name__, key), rule)
                yield
        yield from self._streams.merge()
        yield from self._resources.merge()
        yield from self._rules.merge()
        yield from self._described.merge()
        for backend, endpoint_set in self._moving:
            if endpoint_set is not None:
                backend.place(_beside(endpoint_set, backend))
            yield
        yield from self._mesh.merge()
        yield from self._mesh.compare(self._backends)

    # trust and TLS

    def _prepare_trust(self) -> Iterator[None]:
        for key, bundle in self._each(TrustBundle):
            self._bundles.put(key, bundle)
        for key, gateway in self._each(Gateway):
            self._gateways.put(key, gateway)
            if gateway is not None and gateway.session_key is not None:
                self._key_sessions(secret_of(gateway.session_key.pem))
        for key, certificate in self._each(Certificate):
            if certificate is not None:
                try:
                    server_contexts([certificate])
                    check_identity(certificate)
                except TlsConfigurationError as refusal:
                    self.rejections["Certificate", key] = str(refusal)
                    continue  # the previous pair, if there is one, goes on serving
            self._certificates.put(key, certificate)
            yield

    def _key_sessions(self, secret: bytes) -> None:
        """Sessions that are there already are sealed anew; rules that are asleep find the secret when they wake."""
        core = self._live.core
        if core.session_secret == secret:
            return
        core.session_secret = secret
        for key, rule in self._live.rules.items():
            identity = (HttpRule.__name__, key)
            if rule.awake and rule.sessions is not None and identity not in self._changed:
                self._changed.add(identity)
                self._changed_keys.setdefault(HttpRule.__name__, []).append(key)
        awake = (backend for backend in self._live.described.values() if not backend.asleep)
        self._assignments += [backend.seal_sessions for backend in awake if backend.sessions is not None]

    def _trust_changed(self, bundles: Iterable[str], certificates: Iterable[str]) -> bool:
        return any(("TrustBundle", key) in self._changed for key in bundles) or any(
            ("Certificate", key) in self._changed for key in certificates
        )

    def _prepare_mesh(self) -> Iterator[None]:
        for key, workload in self._each(Workload):
            self._mesh.change(key, workload)
            yield
        if self._trust_changed((ROOTS,), (IDENTITY,)):
            self._mesh.prove(self._certificates.get(IDENTITY), self._bundles.get(ROOTS))

    # backends

    def _prepare_backends(self) -> Iterator[None]:
        described = dict.fromkeys(key for key, _ in self._each(BackendResource))
        if self._changed_keys.keys() & {"TrustBundle", "Certificate"}:
            presented = {gateway.client_certificate for gateway in self._live.gateways.values() if gateway.client_certificate is not None}
            for key, live in self._live.described.items():
                tls = live.resource.tls if live.resource is not None else None
                if tls is not None and self._trust_changed(tls.trust_bundles, presented):
                    described[key] = None
        for key in described:
            self._describe(key)
            yield
        many = len(self._changed_keys.get(EndpointSet.__name__, ())) > IN_PLACE
        for key, endpoint_set in self._each(EndpointSet):
            if endpoint_set is not None:
                endpoint_set, fault = without_faulty(endpoint_set)
                if fault is not None:
                    self.rejections["EndpointSet", key] = fault
            backend = self._backend(key)
            if key in self._made:
                backend.place(endpoint_set)
            elif many:
                self._moving.append((backend, endpoint_set))
            else:
                self._assignments.append(partial(backend.place, endpoint_set))
            self._keep(key, backend)
            yield

    def _keep(self, key: str, backend: Backend) -> None:
        """A backend that is told something, as long as it has a resource."""
        if self._resources.get((BackendResource.__name__, key)) or self._resources.get((EndpointSet.__name__, key)):
            self._described.put(key, backend)
        elif self._described.get(key) is not None:
            self._described.put(key, None)
            self._closing.append(backend)

    def _backend(self, key: str) -> Backend:
        backend = self._backends.get(key)
        if backend is None:
            backend = self._backends[key] = Backend(key, self._live.core)
            self._made.add(key)
        return backend

    def _describe(self, key: str) -> None:
        resource = self._wanted(BackendResource, key)
        settings_for = None
        if resource is not None:
            try:
                check_options(resource.options, self._live.core.session_secret)
            except ValueError as refusal:
                self.rejections["Backend", key] = str(refusal)
                resource = msgspec.structs.replace(resource, error=str(refusal), options=BackendOptions())
        if resource is not None and resource.tls is not None and resource.error is None:
            settings_for = self._settings_for(resource)
            try:
                settings_for(None, False)
            except TlsConfigurationError as refusal:
                self.rejections["Backend", key] = str(refusal)
                resource = msgspec.structs.replace(resource, error=str(refusal))
        backend = self._backend(key)
        if key in self._made:
            backend.describe(resource, settings_for)
        else:
            self._assignments.append(partial(backend.describe, resource, settings_for))
        self._keep(key, backend)

    def _settings_for(self, resource: BackendResource) -> SettingsFor:
        """TLS settings with the trust of this batch; a change of trust or certificates describes the backend anew."""
        tls = resource.tls
        assert tls is not None
        bundles = {key: self._bundles.get(key) for key in tls.trust_bundles}
        certificates = self._certificates

        def settings(client_certificate: str | None, relayed: bool) -> BackendTlsSettings:
            texts = [bundle.certificates for bundle in bundles.values() if bundle is not None]
            if len(texts) < len(bundles):
                missing = next(key for key, bundle in bundles.items() if bundle is None)
                raise TlsConfigurationError(f"trust bundle {missing} is not known to the proxy")
            certificate = certificates.get(client_certificate) if client_certificate is not None else None
            if client_certificate is not None and certificate is None:
                raise TlsConfigurationError(f"client certificate {client_certificate} is not usable")
            return backend_context(tls, texts, certificate, () if relayed else ALPN.get(resource.protocol, ()))

        return settings

    # listeners

    def _prepare_listeners(self) -> Iterator[None]:
        wanted = dict.fromkeys(key for key, _ in self._each(Listener))
        if not wanted and not self._changed_keys.keys() & {"TrustBundle", "Certificate", "Gateway"}:
            return
        self.arranged = False
        refused = [resource for kind, key in self._live.rejections if (resource := self._wanted(Listener, key)) and kind == "Listener"]
        for each in (*(live.resource for live in self._live.listeners.values()), *refused):
            validation = each.client_validation
            if self._trust_changed(validation.trust_bundles if validation is not None else (), each.certificates):
                wanted[each.key] = None
        for key in wanted:
            self.rejections.pop(("Listener", key), None)
            resource = self._wanted(Listener, key)
            if resource is None:
                self._retire(self.listeners.pop(key, None))
                continue
            try:
                self._build_listener(resource)
            except ValueError as refusal:
                self.rejections["Listener", key] = str(refusal)
                self._confine(resource)
            yield
        yield from self._fill_new_listeners()
        for listener in self.listeners.values():
            gateway = self._gateways.get(listener.resource.gateway)
            certificate = gateway.client_certificate if gateway is not None else None
            if listener.client_certificate != certificate:
                self._assignments.append(partial(setattr, listener, "client_certificate", certificate))

    def _build_listener(self, resource: Listener) -> None:
        """Raises ValueError (TlsConfigurationError among them); the previous version then stays."""
        check_capture(resource)
        previous = self.listeners.get(resource.key)
        routes = previous.routes if previous is not None else RouteTable[Rule]()
        routes = routes.within(resource.hostname.encode(), _namespaces(resource))
        demands = self._demands(resource)
        contexts = self._contexts(resource, demands) if terminates(resource) or is_of_mesh(resource) else None
        listener = LiveListener(resource, routes, self._live.core, contexts, demands)
        if previous is not None:
            listener.streams = previous.streams
        listener.request_limits = RequestLimits.of(resource, self._live.core)
        listener.observer = Observer.of(resource, self._live.core)
        self.listeners[resource.key] = listener
        if previous is None:
            self._new_listeners.add(resource.key)
        elif not previous.replaced_by(listener):
            self._retire(previous)

    def _confine(self, refused: Listener) -> None:
        """The version that goes on serving takes routes from no other namespaces than the new one would: rules wait for its word alone."""
        previous = self.listeners.get(refused.key)
        if previous is not None and previous.resource.namespaces != refused.namespaces:
            listener = self.listeners[refused.key] = copy(previous)
            listener.resource = msgspec.structs.replace(previous.resource, namespaces=refused.namespaces)
            listener.routes = previous.routes.within(previous.routes.hostname, _namespaces(refused))

    def _fill_new_listeners(self) -> Iterator[None]:
        """The rules that are there already, stay as they are, and were bound to a listener that was not."""
        if not self._new_listeners:
            return
        for key, rule in self._live.rules.items():
            if (HttpRule.__name__, key) not in self._changed:
                self._place(rule, self._new_listeners)
            yield
        yield from self._streams.fill(self._new_listeners, self._changed)

    def _demands(self, resource: Listener) -> tuple[str, ...]:
        """LiveListener.demands. Raises TlsConfigurationError if no authority is known."""
        if is_of_mesh(resource):
            return ("AllowValidOnly", *sorted(self._proof().roots))
        validation = resource.client_validation
        if validation is None:
            return ()
        bundles = [bundle.certificates for key in validation.trust_bundles if (bundle := self._bundles.get(key)) is not None]
        if not bundles:
            raise TlsConfigurationError("none of the trust bundles for client certificates is known to the proxy")
        return (validation.mode, *bundles)

    def _proof(self) -> Proof:
        """What callers are shown, and judged by. Raises TlsConfigurationError."""
        proof = self._mesh.proof
        if proof is None:
            issued = f"Certificate {IDENTITY} and TrustBundle {ROOTS}, as the controller issues them"
            raise TlsConfigurationError(f"the proxy has no identity of its own yet: {issued}")
        return proof

    def _contexts(self, resource: Listener, demands: tuple[str, ...]) -> ServerContexts:
        if is_of_mesh(resource):
            return self._proof().accepting()
        certificates = [certificate for key in resource.certificates if (certificate := self._certificates.get(key)) is not None]
        if not certificates:
            raise TlsConfigurationError("none of its certificates is usable")
        validation = resource.client_validation
        alpn = HTTP if resource.protocol == "HTTPS" else ()
        if validation is None:
            return server_contexts(certificates, alpn=alpn)
        return server_contexts(certificates, "\n".join(demands[1:]), validation.mode, alpn)

    def _retire(self, listener: LiveListener | None) -> None:
        if listener is not None:
            self.replaced.append(listener)
            self._keep_until_released(listener)

    def _keep_until_released(self, listener: LiveListener) -> None:
        """Of a few changes the new table shares nearly everything with the old one, so that there is little to free."""
        if len(self._changed) > IN_PLACE:
            self._garbage += listener.routes.contents()

    # policies

    def _prepare_policies(self) -> Iterator[None]:
        for kind in guarding.KINDS:
            for key, policy in self._each(kind):
                self._policies.change((kind.__name__, key), policy)
                yield
        if any(key == self._live.workload for key, _ in self._each(Workload)):
            self._policies.select(self._wanted(Workload, self._live.workload))
        yield from self._policies.merge()
        for listener, guard in self._policies.unlike(self.listeners.values()):
            self._assignments.append(partial(listener.be_guarded, guard))

    # rules

    def _editor(self, listener: str) -> RouteTableEditor[Rule]:
        editor = self._editors.get(listener)
        if editor is None:
            editor = self._editors[listener] = self.listeners[listener].routes.edit()
        return editor

    def _prepare_rules(self) -> Iterator[None]:
        for key, resource in self._each(HttpRule):
            previous = self._live.rules.get(key)
            for binding in previous.resource.bindings if previous is not None else ():
                kept = resource is not None and any(binding.listener == other.listener for other in resource.bindings)
                if not kept and binding.listener in self.listeners:
                    self._editor(binding.listener).remove(key)
            if resource is not None:
                rule = self._compile(resource)
                self._rules.put(key, rule)
                if not self._place(rule, self.listeners):
                    self._judge(rule)
            else:
                self._rules.put(key, None)
            yield

    def _compile(self, resource: HttpRule) -> Rule:
        rule = Rule(resource, self._backend, self._live.core)
        try:
            rule.check()
        except ValueError as refusal:
            self.rejections["HttpRule", resource.key] = str(refusal)
            answer = msgspec.structs.replace(resource, filters=(Unresolved(str(refusal)),), backends=(), retry=None, persistence=None)
            rule = Rule(answer, self._backend, self._live.core)
        return rule

    def _place(self, rule: Rule, listeners: Container[str]) -> bool:
        """Puts a rule into the tables of those of its listeners that are there; whether any is."""
        resource, placed = rule.resource, False
        for binding in resource.bindings:
            if binding.listener not in listeners:
                continue
            placed = True
            editor = self._editor(binding.listener)
            try:
                editor.put(resource, binding.hostnames, rule)
            except ValueError as refusal:
                self.rejections["HttpRule", resource.key] = str(refusal)
                editor.remove(resource.key)
        return placed

    def _judge(self, rule: Rule) -> None:
        """Rejects a rule that no table would take, though none is there: whether it is good does not depend on its listeners."""
        try:
            RouteTable[Rule]().edit().put(rule.resource, ("",), rule)
        except ValueError as refusal:
            self.rejections["HttpRule", rule.resource.key] = str(refusal)

    # the swap

    def commit(self) -> None:
        """Everything at once; nothing here is slow or can fail."""
        live = self._live
        live.resources, live.rules = self._resources.commit(), self._rules.commit()
        live.bundles, live.certificates, live.gateways = self._bundles.commit(), self._certificates.commit(), self._gateways.commit()
        live.rejections, live.streams = self.rejections, self._streams.commit()
        self._policies.commit()
        differs = self._mesh.differs
        self._mesh.commit()
        if differs:
            live.core.peers = peers_of(live)
        for assign in self._assignments:
            assign()
        for key, editor in self._editors.items():
            listener = self.listeners.get(key)
            if listener is not None:
                self._keep_until_released(listener)
                listener.routes = editor.finish()
        live.listeners = self.listeners
        live.described = self._described.commit()
        self._garbage += self._resources.replaced()
        self._garbage += self._rules.replaced()
        self._garbage += self._streams.replaced()
        self._garbage += self._mesh.replaced()

    def release(self) -> Generator[None, None, None]:
        """Takes away endpoints that are gone, frees what was replaced and what the preparation itself took; yields after each piece."""
        for backend, endpoint_set in self._moving:
            backend.place(endpoint_set)
            yield
        for backend in self._closing:
            backend.close()
            yield
        garbage = self._garbage
        del self._batch, self._resources, self._rules, self._streams, self._described, self._editors, self._assignments
        del self._moving, self._closing
        while garbage:
            garbage.pop()
            yield


def _namespaces(resource: Listener) -> frozenset[str] | None:
    return None if resource.namespaces is None else frozenset(resource.namespaces)


def _beside(endpoint_set: EndpointSet, backend: Backend) -> EndpointSet:
    """The endpoints of the set, and those that the backend has now."""
    places = {(endpoint.address, endpoint.port) for endpoint in endpoint_set.endpoints}
    kept = [
        Endpoint(live.address, live.port, live.weight, ready=live.ready, terminating=live.terminating)
        for live in backend.placed
        if (live.address, live.port) not in places
    ]
    return msgspec.structs.replace(endpoint_set, endpoints=(*endpoint_set.endpoints, *kept))
