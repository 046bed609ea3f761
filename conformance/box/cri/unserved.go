package cri

import (
	"context"
	"errors"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What the kubelet's interface has besides, and a box does not need. An answer that is empty lets the kubelet go on
// without; an error goes to whoever asked.

var errNotServed = errors.New("not served by the box's container runtime")

func (*Service) Version(context.Context, string) (*cri.VersionResponse, error) {
	return &cri.VersionResponse{Version: "0.1.0", RuntimeName: "box", RuntimeVersion: "0.1.0", RuntimeApiVersion: "v1"}, nil
}
func (*Service) Status(context.Context, bool) (*cri.StatusResponse, error) {
	return &cri.StatusResponse{Status: &cri.RuntimeStatus{Conditions: []*cri.RuntimeCondition{
		{Type: "RuntimeReady", Status: true}, {Type: "NetworkReady", Status: true}}}}, nil
}
func (*Service) RuntimeConfig(context.Context) (*cri.RuntimeConfigResponse, error) {
	return &cri.RuntimeConfigResponse{Linux: &cri.LinuxRuntimeConfiguration{CgroupDriver: cri.CgroupDriver_CGROUPFS}}, nil
}
func (*Service) UpdateRuntimeConfig(context.Context, *cri.RuntimeConfig) error { return nil }
func (*Service) UpdatePodSandboxResources(context.Context, *cri.UpdatePodSandboxResourcesRequest) (*cri.UpdatePodSandboxResourcesResponse, error) {
	return &cri.UpdatePodSandboxResourcesResponse{}, nil
}
func (*Service) UpdateContainerResources(context.Context, string, *cri.ContainerResources) error {
	return nil
}
func (*Service) PortForward(context.Context, *cri.PortForwardRequest) (*cri.PortForwardResponse, error) {
	return nil, errNotServed
}
func (*Service) Attach(context.Context, *cri.AttachRequest) (*cri.AttachResponse, error) {
	return nil, errNotServed
}
func (*Service) CheckpointContainer(context.Context, *cri.CheckpointContainerRequest) error {
	return errNotServed
}
func (*Service) GetContainerEvents(context.Context, chan *cri.ContainerEventResponse, func(cri.RuntimeService_GetContainerEventsClient)) error {
	return errNotServed
}
func (*Service) ContainerStats(context.Context, string) (*cri.ContainerStats, error) {
	return nil, errNotServed
}
func (*Service) ListContainerStats(context.Context, *cri.ContainerStatsFilter) ([]*cri.ContainerStats, error) {
	return nil, nil
}
func (*Service) PodSandboxStats(context.Context, string) (*cri.PodSandboxStats, error) {
	return nil, errNotServed
}
func (*Service) ListPodSandboxStats(context.Context, *cri.PodSandboxStatsFilter) ([]*cri.PodSandboxStats, error) {
	return nil, nil
}
func (*Service) ListMetricDescriptors(context.Context) ([]*cri.MetricDescriptor, error) {
	return nil, nil
}
func (*Service) ListPodSandboxMetrics(context.Context) ([]*cri.PodSandboxMetrics, error) {
	return nil, nil
}
func (*Service) ReopenContainerLog(context.Context, string) error { return nil }
func (*Service) Close(context.Context) error                      { return nil }
