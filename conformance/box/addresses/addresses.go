// Package addresses names the addresses of a box. They are of the benchmarking range (RFC 2544) and exist
// only in the box's network namespace, so every box has the same ones. EndpointSlices may hold neither
// loopback nor link-local addresses, so those are no choice.
package addresses

const (
	NodeName = "node1"
	Node     = "198.18.0.1"
	Pods     = "198.18.1.0/24"
	// Cluster holds the node and all Pods.
	Cluster  = "198.18.0.0/16"
	Services = "198.19.0.0/17"
	// API is the address of the Service default/kubernetes: the first of Services.
	API = "198.19.0.1"
	// DNS is the address of kube-system/kube-dns, here and in boot/dns.yaml.
	DNS           = "198.19.0.10"
	LoadBalancers = "198.19.128.0/17"
	// PodRouter is what a Pod's default route leads to: the node's end of its pair of devices.
	PodRouter = "169.254.1.1"
)
