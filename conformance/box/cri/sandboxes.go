package cri

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"tidegate.dev/conformance/box/addresses"
)

type sandbox struct {
	id      string
	config  *cri.PodSandboxConfig
	ip      string
	host    bool // uses the node's network
	ready   bool
	created int64
}

func (s *sandbox) state() cri.PodSandboxState {
	if s.ready {
		return cri.PodSandboxState_SANDBOX_READY
	}
	return cri.PodSandboxState_SANDBOX_NOTREADY
}

// RunPodSandbox makes a Pod's network and the files that its containers share.
func (r *Service) RunPodSandbox(_ context.Context, config *cri.PodSandboxConfig, _ string) (string, error) {
	s := &sandbox{id: newID(), config: config, created: time.Now().UnixNano(), ready: true}
	if config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetNetwork() == cri.NamespaceMode_NODE {
		s.host, s.ip = true, addresses.Node
	} else if err := r.connect(s); err != nil {
		return "", err
	}
	dir := filepath.Join(r.root, s.id)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.MkdirAll(config.LogDirectory, 0o755),
		os.WriteFile(filepath.Join(dir, "resolv.conf"), resolvConf(config.GetDnsConfig()), 0o644)); err != nil {
		return "", err
	}
	r.mu.Lock()
	r.sandboxes[s.id] = s
	r.mu.Unlock()
	return s.id, nil
}

// connect gives a sandbox an address and a network namespace, or neither.
func (r *Service) connect(s *sandbox) (err error) {
	r.mu.Lock()
	s.ip, err = r.addresses.take()
	r.mu.Unlock()
	if err != nil {
		return err
	}
	if err := s.makeNetwork(); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.addresses.giveBack(s.ip)
		return errors.Join(err, s.removeNetwork())
	}
	return nil
}

// StopPodSandbox kills what still runs in the sandbox and frees its network.
func (r *Service) StopPodSandbox(ctx context.Context, id string) error {
	r.mu.Lock()
	s := r.sandboxes[id]
	var inside []string
	for _, c := range r.containers {
		if c.sandbox == s {
			inside = append(inside, c.id)
		}
	}
	r.mu.Unlock()
	if s == nil {
		return nil
	}
	for _, c := range inside {
		if err := r.StopContainer(ctx, c, 0); err != nil {
			return err
		}
	}
	r.mu.Lock()
	first := s.ready
	s.ready = false
	r.mu.Unlock()
	if !first || s.host {
		return nil
	}
	err := s.removeNetwork()
	r.mu.Lock()
	r.addresses.giveBack(s.ip)
	r.mu.Unlock()
	return err
}

// RemovePodSandbox forgets the sandbox and its containers.
func (r *Service) RemovePodSandbox(ctx context.Context, id string) error {
	if err := r.StopPodSandbox(ctx, id); err != nil {
		return err
	}
	r.mu.Lock()
	for k, c := range r.containers {
		if c.sandbox.id == id {
			delete(r.containers, k)
		}
	}
	delete(r.sandboxes, id)
	r.mu.Unlock()
	return os.RemoveAll(filepath.Join(r.root, id))
}

// PodSandboxStatus describes one sandbox; its address only while it is ready.
func (r *Service) PodSandboxStatus(_ context.Context, id string, _ bool) (*cri.PodSandboxStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sandboxes[id]
	if s == nil {
		return nil, fmt.Errorf("no sandbox %s", id)
	}
	network := &cri.PodSandboxNetworkStatus{}
	if s.ready {
		network.Ip = s.ip
	}
	namespaces := &cri.Namespace{Options: s.config.GetLinux().GetSecurityContext().GetNamespaceOptions()}
	return &cri.PodSandboxStatusResponse{Status: &cri.PodSandboxStatus{
		Id: id, Metadata: s.config.Metadata, State: s.state(), CreatedAt: s.created, Network: network,
		Labels: s.config.Labels, Annotations: s.config.Annotations,
		Linux: &cri.LinuxPodSandboxStatus{Namespaces: namespaces},
	}}, nil
}

// ListPodSandbox lists the sandboxes that a filter lets through.
func (r *Service) ListPodSandbox(_ context.Context, f *cri.PodSandboxFilter) ([]*cri.PodSandbox, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*cri.PodSandbox
	for _, s := range r.sandboxes {
		if (f.GetId() != "" && f.GetId() != s.id) || (f.GetState() != nil && f.GetState().State != s.state()) ||
			!matches(f.GetLabelSelector(), s.config.Labels) {
			continue
		}
		list = append(list, &cri.PodSandbox{Id: s.id, Metadata: s.config.Metadata, State: s.state(),
			CreatedAt: s.created, Labels: s.config.Labels, Annotations: s.config.Annotations})
	}
	return list, nil
}
