package cri

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	podinit "tidegate.dev/conformance/box/container"
)

type container struct {
	id                         string
	sandbox                    *sandbox
	config                     *cri.ContainerConfig
	spec                       podinit.Spec
	state                      cri.ContainerState
	created, started, finished int64
	exit                       int32
	process                    *os.Process
	done                       chan struct{} // closed at the end of the process
}

func (c *container) logPath() string {
	return filepath.Join(c.sandbox.config.LogDirectory, c.config.LogPath)
}

// CreateContainer decides all that a container is, but starts nothing.
func (r *Service) CreateContainer(_ context.Context, sandboxID string, config *cri.ContainerConfig, _ *cri.PodSandboxConfig) (string, error) {
	image, ok := r.images.Find(config.Image.Image)
	if !ok {
		return "", unmapped(config.Image.Image)
	}
	r.mu.Lock()
	s := r.sandboxes[sandboxID]
	r.mu.Unlock()
	if s == nil {
		return "", fmt.Errorf("no sandbox %s", sandboxID)
	}
	c := &container{id: newID(), sandbox: s, config: config, created: time.Now().UnixNano(), done: make(chan struct{})}
	dir := filepath.Join(r.root, s.id)
	var err error
	if c.spec, err = specOf(s, config, image, dir); err != nil {
		return "", fmt.Errorf("image %s: %w", config.Image.Image, err)
	}
	c.spec.Work = filepath.Join(dir, c.id)
	r.mu.Lock()
	r.containers[c.id] = c
	r.mu.Unlock()
	return c.id, nil
}

func (r *Service) get(id string) (*container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.containers[id]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("no container %s", id)
}

// RemoveContainer kills the container if it runs and forgets it.
func (r *Service) RemoveContainer(ctx context.Context, id string) error {
	if err := r.StopContainer(ctx, id, 0); err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.containers, id)
	r.mu.Unlock()
	return nil
}

// ListContainers lists the containers that a filter lets through.
func (r *Service) ListContainers(_ context.Context, f *cri.ContainerFilter) ([]*cri.Container, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []*cri.Container
	for _, c := range r.containers {
		if (f.GetId() != "" && f.GetId() != c.id) || (f.GetPodSandboxId() != "" && f.GetPodSandboxId() != c.sandbox.id) ||
			(f.GetState() != nil && f.GetState().State != c.state) || !matches(f.GetLabelSelector(), c.config.Labels) {
			continue
		}
		list = append(list, &cri.Container{Id: c.id, PodSandboxId: c.sandbox.id, Metadata: c.config.Metadata, State: c.state,
			Image: c.config.Image, ImageRef: c.config.Image.Image, ImageId: c.config.Image.Image,
			CreatedAt: c.created, Labels: c.config.Labels, Annotations: c.config.Annotations})
	}
	return list, nil
}

// ContainerStatus describes one container.
func (r *Service) ContainerStatus(_ context.Context, id string, _ bool) (*cri.ContainerStatusResponse, error) {
	c, err := r.get(id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	reason := ""
	if c.state == cri.ContainerState_CONTAINER_EXITED {
		if reason = "Completed"; c.exit != 0 {
			reason = "Error"
		}
	}
	return &cri.ContainerStatusResponse{Status: &cri.ContainerStatus{
		Id: id, Metadata: c.config.Metadata, State: c.state, Reason: reason, ExitCode: c.exit,
		CreatedAt: c.created, StartedAt: c.started, FinishedAt: c.finished,
		Image: c.config.Image, ImageRef: c.config.Image.Image, ImageId: c.config.Image.Image,
		Labels: c.config.Labels, Annotations: c.config.Annotations, Mounts: c.config.Mounts, LogPath: c.logPath(),
	}}, nil
}
