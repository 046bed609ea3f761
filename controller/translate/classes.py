"""Which Gateways are ours, and the status of a GatewayClass."""

from __future__ import annotations

from dataclasses import dataclass

from controller.api.gateway_class import GatewayClass
from controller.graph import View
from controller.store import Key
from controller.translate.conditions import Problem, met
from controller.translate.options import Options
from controller.translate.statuses import Emission, GatewayClassStatus

CONTROLLER_NAME = "tidegate.dev/gateway-controller"

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
"""Names of pkg/features of the Gateway API, ascending."""


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
        served = ", ".join(options.class_names) or "none"
        return ClassVerdict(f"there is no GatewayClass {name}, and the classes served without one are {served}")
    if gateway_class.spec.controller_name != CONTROLLER_NAME:
        return ClassVerdict(f"GatewayClass {name} belongs to the controller {gateway_class.spec.controller_name}, not to {CONTROLLER_NAME}")
    parameters = gateway_class.spec.parameters_ref
    if parameters is not None:
        message = f"spec.parametersRef: kind {parameters.kind} is not known; remove the field"
        return ClassVerdict(problem=Problem("InvalidParameters", message))
    return ClassVerdict()


def translate_gateway_class(key: Key, view: View) -> Emission | None:
    """Unit "gateway class": the status of a class that is ours."""
    gateway_class: GatewayClass | None = view.get(*key)
    verdict: ClassVerdict = view.result("class", key[2])
    if gateway_class is None or verdict.foreign:
        return None
    generation = gateway_class.metadata.generation
    features = () if verdict.problem is not None else SUPPORTED_FEATURES
    return Emission(statuses=(GatewayClassStatus(key, generation, (met("Accepted", generation, verdict.problem),), features),))
