"""Which Gateways are ours, and the status of a GatewayClass."""

from __future__ import annotations

from dataclasses import dataclass

from controller.api.gateway_class import GatewayClass
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem, met
from controller.translate.options import Options
from controller.translate.parameters import NOT_DEPLOYED, parameters_fault
from controller.translate.statuses import Emission, GatewayClassStatus

CONTROLLER_NAME = "tidegate.dev/gateway-controller"
MESH_CONTROLLER_NAME = "tidegate.dev/mesh-controller"
"""Under which routes on Services are judged (XMesh.spec.controllerName)."""
OURS = frozenset((CONTROLLER_NAME, MESH_CONTROLLER_NAME))

SUPPORTED_FEATURES = (
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "GRPCRoute",
    "GRPCRouteNamedRouteRule",
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayBackendClientCertificate",
    "GatewayFrontendClientCertificateValidation",
    "GatewayFrontendClientCertificateValidationInsecureFallback",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayPort8080",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteCORS",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteRetry",
    "HTTPRouteRetryBackendTimeout",
    "HTTPRouteRetryConnectionError",
    "HTTPRouteSchemeRedirect",
    "ListenerSet",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
    "TLSRouteModeMixed",
    "TLSRouteModeTerminate",
    "UDPRoute",
)
"""Names of pkg/features of the Gateway API, ascending: what is true wherever Tidegate runs."""

CLUSTER_FEATURES = tuple(sorted((*SUPPORTED_FEATURES, "GatewayInfrastructure", "GatewayStaticAddresses")))
"""With what there is only in a cluster."""


@dataclass(frozen=True, slots=True)
class ClassVerdict:
    """Whether Gateways of a class are ours (`foreign` says why not), and what is wrong with the class."""

    foreign: str = ""
    problem: Problem | None = None


def judge_class(options: Options, name: str, view: View) -> ClassVerdict:
    """Unit "class": the verdict on a class by its name."""
    gateway_class: GatewayClass | None = view.get("GatewayClass", "", name)
    if gateway_class is None:
        if name in options.class_names:
            return ClassVerdict()
        without = f", and the classes served without one are {', '.join(options.class_names)}" if options.class_names else ""
        return ClassVerdict(f"there is no GatewayClass {name}{without}")
    if gateway_class.spec.controller_name != CONTROLLER_NAME:
        return ClassVerdict(f"GatewayClass {name} belongs to the controller {gateway_class.spec.controller_name}, not to {CONTROLLER_NAME}")
    parameters = gateway_class.spec.parameters_ref
    if parameters is not None and (fault := parameters_fault(options, view, parameters, parameters.namespace)):
        return ClassVerdict(problem=Problem("InvalidParameters", f"spec.parametersRef: {fault}"))
    return ClassVerdict()


def translate_gateway_class(options: Options, key: Key, view: View) -> Emission | None:
    """Unit "gateway class": the status of a class that is ours."""
    gateway_class: GatewayClass | None = view.get(*key)
    verdict: ClassVerdict = view.result("class", key[2])
    if gateway_class is None or verdict.foreign:
        return None
    generation = gateway_class.metadata.generation
    supported = CLUSTER_FEATURES if options.cluster else SUPPORTED_FEATURES
    features = () if verdict.problem is not None else supported
    status = GatewayClassStatus(key, generation, (met("Accepted", generation, verdict.problem),), features)
    unused = not options.cluster and verdict.problem is None and gateway_class.spec.parameters_ref is not None
    return Emission(statuses=(status,), ignored=((key, f"spec.parametersRef: {NOT_DEPLOYED}"),) if unused else ())
