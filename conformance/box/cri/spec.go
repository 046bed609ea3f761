package cri

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"tidegate.dev/conformance/box/addresses"
	podinit "tidegate.dev/conformance/box/container"
	"tidegate.dev/conformance/box/images"
)

// specOf joins what the kubelet asks for and what the image says. The folder is the sandbox's.
func specOf(s *sandbox, config *cri.ContainerConfig, image images.Image, dir string) (podinit.Spec, error) {
	security := config.GetLinux().GetSecurityContext()
	spec := podinit.Spec{
		Hostname: s.config.Hostname, Cwd: config.WorkingDir, UID: int(image.UID),
		Privileged: security.GetPrivileged(), NoNewPrivs: security.GetNoNewPrivs(), ReadOnlyRoot: security.GetReadonlyRootfs(),
	}
	if s.host {
		spec.Hostname = addresses.NodeName
	} else {
		spec.NetNS = "/run/netns/" + s.namespace()
	}
	command := config.Command
	if len(command) == 0 {
		command = image.Entrypoint
	}
	if spec.Argv = slices.Concat(command, config.Args); len(spec.Argv) == 0 {
		return spec, errors.New("no command")
	}
	spec.Env = image.Environ()
	for _, e := range config.Envs {
		spec.Env = append(spec.Env, e.Key+"="+string(e.Value))
	}
	if security.GetRunAsUser() != nil {
		spec.UID = int(security.RunAsUser.Value)
	}
	if security.GetRunAsGroup() != nil {
		spec.GID = int(security.RunAsGroup.Value)
	}
	capabilities := security.GetCapabilities()
	spec.Capabilities, spec.Ambient = podinit.Capabilities(capabilities.GetAddCapabilities(), capabilities.GetDropCapabilities())
	var err error
	spec.Mounts, err = mountsOf(config, image, dir)
	return spec, err
}

// mountsOf lists the mounts in their order: what all have, the image's files, the container's volumes.
func mountsOf(config *cri.ContainerConfig, image images.Image, dir string) ([]podinit.Mount, error) {
	mounts := []podinit.Mount{{Source: filepath.Join(dir, "resolv.conf"), Target: "/etc/resolv.conf"}}
	for _, b := range image.Binds() {
		mounts = append(mounts, podinit.Mount{Source: b.Source, Target: b.Target, ReadOnly: true})
	}
	for _, m := range config.Mounts {
		mounts = append(mounts, podinit.Mount{Source: m.HostPath, Target: m.ContainerPath, ReadOnly: m.Readonly})
	}
	for i, m := range mounts { // a link would lead astray after the change of root
		source, err := filepath.EvalSymlinks(m.Source)
		if err != nil {
			return nil, fmt.Errorf("nothing to bind at %s: %w", m.Target, err)
		}
		mounts[i].Source = source
	}
	return mounts, nil
}
