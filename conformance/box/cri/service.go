// Package cri is the node's container runtime: the interface by which the kubelet uses one (CRI), as plain Go
// methods in the kubelet's own process. A sandbox is a network namespace; a container is a process in it whose
// root is an overlay of the machine's own.
package cri

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"sync"

	"k8s.io/cri-streaming/pkg/streaming"

	"tidegate.dev/conformance/box/addresses"
	"tidegate.dev/conformance/box/images"
)

// Service is the runtime. It is the kubelet's RuntimeService; ImageService is the other half.
type Service struct {
	root   string // holds one folder for each sandbox
	images images.Images
	stream streaming.Server

	mu         sync.Mutex // guards all below, and the fields that change of sandboxes and containers
	sandboxes  map[string]*sandbox
	containers map[string]*container
	addresses  podAddresses
}

// New gives a runtime that keeps its files in the folder, with nothing running.
func New(root string, all images.Images) (*Service, error) {
	r := &Service{
		root: root, images: all,
		sandboxes: map[string]*sandbox{}, containers: map[string]*container{},
		addresses: newPodAddresses(netip.MustParsePrefix(addresses.Pods)),
	}
	if err := exec.Command("ip", "-all", "netns", "delete").Run(); err != nil { // of a process before this one
		return nil, fmt.Errorf("old network namespaces: %w", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a free port for the streams of exec
	if err != nil {
		return nil, err
	}
	cfg := streaming.DefaultConfig
	cfg.Addr = l.Addr().String()
	l.Close()
	if r.stream, err = streaming.NewServer(cfg, streams{r}); err != nil {
		return nil, err
	}
	go r.stream.Start(true)
	return r, nil
}

func newID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return fmt.Sprintf("%x", b)
}

func matches(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}
