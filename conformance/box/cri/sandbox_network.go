package cri

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"tidegate.dev/conformance/box/addresses"
	"tidegate.dev/conformance/box/network"
)

func (s *sandbox) namespace() string { return "box-" + s.id[:12] }
func (s *sandbox) device() string    { return "v" + s.id[:12] }

// makeNetwork makes the sandbox's namespace and a routed pair of devices into it. With a bridge for all Pods
// instead, the answers of a Pod on the same node would miss the address translation of kube-proxy. The node's end
// has an address only to answer for it as the Pod's router (scope link); what the node itself sends to Pods comes
// from its own address.
func (s *sandbox) makeNetwork() error {
	namespace, device := s.namespace(), s.device()
	if err := network.IP("", "netns add "+namespace,
		"link add "+device+" type veth peer name eth0 netns "+namespace,
		"link set "+device+" up", "addr add "+addresses.PodRouter+"/32 dev "+device+" scope link",
		"route replace "+s.ip+"/32 dev "+device+" src "+addresses.Node); err != nil {
		return err
	}
	if err := network.IP(namespace, "link set lo up", "addr add "+s.ip+"/32 dev eth0", "link set eth0 up",
		"route add "+addresses.PodRouter+" dev eth0 scope link",
		"route add default via "+addresses.PodRouter); err != nil {
		return err
	}
	// the first as containerd does
	args := []string{"netns", "exec", namespace, "sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0"}
	for k, v := range s.config.GetLinux().GetSysctls() {
		args = append(args, k+"="+v)
	}
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("sysctl: %w: %s", err, out)
	}
	return nil
}

// removeNetwork takes the devices away by name: they go with the namespace too, but only when its last socket is
// gone.
func (s *sandbox) removeNetwork() error {
	return network.IP("", "link del "+s.device(), "netns del "+s.namespace())
}

// resolvConf gives the text of /etc/resolv.conf.
func resolvConf(dns *cri.DNSConfig) []byte {
	var b bytes.Buffer
	for _, server := range dns.GetServers() {
		fmt.Fprintf(&b, "nameserver %s\n", server)
	}
	if len(dns.GetSearches()) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(dns.GetSearches(), " "))
	}
	if len(dns.GetOptions()) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(dns.GetOptions(), " "))
	}
	return b.Bytes()
}
