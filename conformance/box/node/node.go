// Package node is the box's one node: the real kubelet, with the container runtime of package cri in the same
// process.
package node

import (
	"context"
	"flag"
	"os"
	"path/filepath"

	cadvisorapi "github.com/google/cadvisor/info/v1"
	"go.opentelemetry.io/otel/trace/noop"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	kubeletapp "k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/kubelet"
	cadvisortest "k8s.io/kubernetes/pkg/kubelet/cadvisor/testing"
	"k8s.io/kubernetes/pkg/kubelet/cm"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	kubeletutil "k8s.io/kubernetes/pkg/kubelet/util"
	"k8s.io/kubernetes/pkg/util/oom"
	"k8s.io/kubernetes/pkg/volume"
	"k8s.io/kubernetes/pkg/volume/configmap"
	"k8s.io/kubernetes/pkg/volume/downwardapi"
	"k8s.io/kubernetes/pkg/volume/emptydir"
	"k8s.io/kubernetes/pkg/volume/hostpath"
	"k8s.io/kubernetes/pkg/volume/projected"
	"k8s.io/kubernetes/pkg/volume/secret"
	"k8s.io/kubernetes/pkg/volume/util/hostutil"
	"k8s.io/kubernetes/pkg/volume/util/subpath"
	"k8s.io/mount-utils"

	"tidegate.dev/conformance/box/addresses"
	"tidegate.dev/conformance/box/cri"
	"tidegate.dev/conformance/box/images"
)

// hardware tells the scheduler of far more than there is: no resource limit is enforced.
type hardware struct{ cadvisortest.Fake }

func (*hardware) MachineInfo() (*cadvisorapi.MachineInfo, error) {
	return &cadvisorapi.MachineInfo{NumCores: 100, MemoryCapacity: 64 << 30,
		MachineID: "box", SystemUUID: "box", BootID: "box"}, nil
}

// Run serves the node of the box in the folder for ever; it returns only if it cannot begin.
func Run(dir, imagesFile string) error {
	klogFlags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(klogFlags)
	if err := klogFlags.Set("v", "2"); err != nil {
		return err
	}
	mapped, err := images.Read(imagesFile)
	if err != nil {
		return err
	}
	runtime, err := cri.New(filepath.Join(dir, "run", "containers"), mapped)
	if err != nil {
		return err
	}
	ctx := context.Background()
	server, err := settings(dir)
	if err != nil {
		return err
	}
	for _, d := range []string{server.RootDirectory, server.CertDirectory, server.PodLogsDir} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	dependencies, err := dependenciesOf(ctx, dir, server)
	if err != nil {
		return err
	}
	dependencies.RemoteRuntimeService, dependencies.RemoteImageService = runtime, cri.ImageService{Images: mapped}
	if err := kubeletapp.RunKubelet(ctx, server, dependencies); err != nil {
		return err
	}
	select {} // the kubelet runs on
}

// dependenciesOf gives the kubelet all but the runtime.
func dependenciesOf(ctx context.Context, dir string, server *options.KubeletServer) (*kubelet.Dependencies, error) {
	rest, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "pki", "node.kubeconfig"))
	if err != nil {
		return nil, err
	}
	rest.QPS, rest.Burst = 200, 400
	api, err := kubernetes.NewForConfig(rest)
	if err != nil {
		return nil, err
	}
	tls, err := kubeletapp.InitializeTLS(ctx, &server.KubeletFlags, &server.KubeletConfiguration)
	if err != nil {
		return nil, err
	}
	mounter := mount.New("")
	return &kubelet.Dependencies{
		KubeClient: api, HeartbeatClient: api, EventClient: api.CoreV1(),
		CAdvisorInterface: &hardware{cadvisortest.Fake{NodeName: addresses.NodeName}},
		ContainerManager:  cm.NewStubContainerManager(),
		OOMAdjuster:       oom.NewFakeOOMAdjuster(),
		OSInterface:       kubecontainer.RealOS{},
		VolumePlugins:     volumePlugins(),
		TLSOptions:        tls,
		Mounter:           mounter, Subpather: subpath.New(mounter), HostUtil: hostutil.NewHostUtil(),
		PodStartupLatencyTracker:  kubeletutil.NewPodStartupLatencyTracker(),
		NodeStartupLatencyTracker: kubeletutil.NewNodeStartupLatencyTracker(),
		TracerProvider:            noop.NewTracerProvider(),
	}, nil
}

func volumePlugins() []volume.VolumePlugin {
	var all []volume.VolumePlugin
	for _, plugins := range [][]volume.VolumePlugin{
		emptydir.ProbeVolumePlugins(), secret.ProbeVolumePlugins(), configmap.ProbeVolumePlugins(),
		downwardapi.ProbeVolumePlugins(), projected.ProbeVolumePlugins(),
		hostpath.ProbeVolumePlugins(volume.VolumeConfig{}),
	} {
		all = append(all, plugins...)
	}
	return all
}
