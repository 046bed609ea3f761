"""BackendTLSPolicy: TLS from the Gateway to a Service, its CA certificates, and its status on each Gateway concerned.

An invalid policy holds all the same: its backends answer 500, never in plain text. Ancestors are the Gateways to which some
route is attached that refers to the Service; they are found by tally, whatever the number of routes.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.api.backend_tls_policy import BackendTLSPolicy, BackendTLSPolicyValidation
from controller.api.references import LocalPolicyTargetReference
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Condition, Problem, combined, met
from controller.translate.objects import called, of_group
from controller.translate.policies import attached, conflict_of, service_missing, told_to
from controller.translate.statuses import AncestorStatus, Emission, Ignored, PolicyStatus
from controller.translate.tls import Authorities
from gateway.ir.backend import BackendTls, SubjectAltName


@dataclass(frozen=True, slots=True)
class Validation:
    """What becomes of the CA references of a policy: the bundles that are good, and the problems of the others."""

    bundles: tuple[str, ...] = ()
    unresolved: Problem | None = None
    refused: Problem | None = None


def _validation(view: View, namespace: str, validation: BackendTLSPolicyValidation) -> Validation:
    bundles: list[str] = []
    problems: list[Problem] = []
    for index, reference in enumerate(validation.ca_certificate_refs):
        place = f"spec.validation.caCertificateRefs[{index}]"
        if (reference.group, reference.kind) != ("", "ConfigMap"):
            message = f"CA certificates are in a ConfigMap of the core group, not in a {of_group(reference.kind, reference.group)}"
            problems.append(Problem("InvalidKind", message).at(place))
            continue
        authorities: Authorities = view.result("authorities", (namespace, reference.name))
        if authorities.fault:
            problems.append(Problem("InvalidCACertificateRef", authorities.fault).at(place))
        else:
            bundles.append(f"{namespace}/{reference.name}")
    unresolved = combined(problems)
    refused = None
    if unresolved is not None and not bundles:
        refused = Problem("NoValidCACertificate", f"no reference to CA certificates is valid: {unresolved.message}")
    return Validation(tuple(dict.fromkeys(bundles)), unresolved, refused)


def backend_tls(view: View, service: Key, section: str) -> tuple[BackendTls | None, str | None]:
    """How a Service port is spoken to over TLS, None for plain text, or the error that its requests are answered with."""
    winner = attached(view, "BackendTLSPolicy", service).winner(section)
    policy: BackendTLSPolicy | None = view.get(*winner) if winner is not None else None
    if policy is None:
        return None, None
    wanted = policy.spec.validation
    validation = _validation(view, policy.namespace, wanted)
    if validation.refused is not None:
        return None, f"{called(*policy.key)}: {validation.refused}"
    for key in validation.bundles:
        view.result("trust bundle", tuple(key.split("/")))
    names = tuple(SubjectAltName(name.type, name.hostname or name.uri or "") for name in wanted.subject_alt_names)
    return BackendTls(wanted.hostname, validation.bundles, names), None


def translate_backend_tls_policy(key: Key, view: View) -> Emission | None:
    """Unit "backend TLS policy": the status of a BackendTLSPolicy. A target that concerns no Gateway is its own ancestor."""
    policy: BackendTLSPolicy | None = view.get(*key)
    if policy is None:
        return None
    validation = _validation(view, policy.namespace, policy.spec.validation)
    told, untold = told_to(view, policy, [(target, _target_problem(view, policy, target)) for target in policy.spec.target_refs])
    ancestors = tuple(AncestorStatus(reference, _conditions(policy, problem, validation)) for reference, problem in told)
    return Emission(statuses=(PolicyStatus(key, policy.metadata.generation, ancestors),), ignored=(*untold, *_ignored(policy)))


def _conditions(policy: BackendTLSPolicy, problem: Problem | None, validation: Validation) -> tuple[Condition, ...]:
    generation = policy.metadata.generation
    return (met("Accepted", generation, problem or validation.refused), met("ResolvedRefs", generation, validation.unresolved))


def _target_problem(view: View, policy: BackendTLSPolicy, target: LocalPolicyTargetReference) -> Problem | None:
    if (target.group, target.kind) != ("", "Service"):
        return Problem("Invalid", f"a BackendTLSPolicy targets a Service of the core group, not a {of_group(target.kind, target.group)}")
    return service_missing(view, policy.namespace, target) or conflict_of(view, policy, target)


def _ignored(policy: BackendTLSPolicy) -> tuple[Ignored, ...]:
    names = ", ".join(policy.spec.options)
    return ((policy.key, f"spec.options: {names} is not known; remove it"),) if names else ()
