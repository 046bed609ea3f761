package node

import (
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/cmd/kubelet/app/options"

	"tidegate.dev/conformance/box/addresses"
)

// settings gives the kubelet's flags and configuration.
func settings(dir string) (*options.KubeletServer, error) {
	pki := filepath.Join(dir, "pki")
	flags := options.NewKubeletFlags()
	flags.RootDirectory = filepath.Join(dir, "run", "kubelet")
	flags.CertDirectory = filepath.Join(dir, "run", "kubelet-pki")
	flags.HostnameOverride = addresses.NodeName
	flags.NodeIP = addresses.Node
	flags.MinimumGCAge = metav1.Duration{Duration: 10 * time.Second}
	flags.MaxContainerCount = 200
	flags.MaxPerPodContainerCount = 1

	cfg, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, err
	}
	cfg.Address, cfg.Port, cfg.ReadOnlyPort = "0.0.0.0", 10250, 0
	cfg.TLSCertFile, cfg.TLSPrivateKeyFile = filepath.Join(pki, "node.crt"), filepath.Join(pki, "node.key")
	cfg.PodLogsDir = filepath.Join(dir, "logs", "pods")
	cfg.MaxPods = 250
	cfg.ClusterDNS, cfg.ClusterDomain, cfg.ResolverConfig = []string{addresses.DNS}, "cluster.local", ""
	cfg.RegistryPullQPS, cfg.EventRecordQPS = 0, 0
	cfg.KubeAPIQPS, cfg.KubeAPIBurst = 200, 400
	cfg.SerializeImagePulls = false
	cfg.SyncFrequency.Duration = 10 * time.Second
	// no cgroups, no eviction, no attach controller, no iptables rules by the kubelet
	cfg.CgroupsPerQOS, cfg.EnforceNodeAllocatable, cfg.CgroupRoot, cfg.FailCgroupV1 = false, nil, "", false
	cfg.EvictionHard, cfg.LocalStorageCapacityIsolation = map[string]string{}, false
	cfg.EnableControllerAttachDetach, cfg.MakeIPTablesUtilChains = false, false
	return &options.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *cfg}, nil
}
