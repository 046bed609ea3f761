// Package container makes a container of a process: its root, its user and what it may do. The node starts
// "box pod-init" in new namespaces for each one, and that process becomes the container's program.
package container

import (
	"fmt"
	"strings"
)

// SpecVariable is the environment variable in which pod-init is handed its Spec, as JSON.
const SpecVariable = "BOX_SPEC"

// DefaultPath is where programs are looked for if nothing else is said.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// DefaultCapabilities are what containerd gives a container that asks for nothing.
var DefaultCapabilities = []string{"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID",
	"SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"}

// Spec is all that pod-init has to know.
type Spec struct {
	NetNS    string // path of its network namespace; empty for the node's own
	Hostname string
	Work     string // folder for the overlay, made and given a tmpfs by pod-init in its own mount namespace
	Cwd      string
	Argv     []string
	Env      []string // NAME=VALUE, later ones win
	Mounts   []Mount

	UID, GID     int
	Privileged   bool
	NoNewPrivs   bool
	ReadOnlyRoot bool
	Capabilities []string // all that it has, if not Privileged
	Ambient      []string // those that it asked for, which another user than root keeps too
}

// Mount binds a file or folder of the machine into a container.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}

// Capabilities gives the names that a container has when it asks to add and to drop some, with and without
// the prefix CAP_, and those of them that it asked for.
func Capabilities(add, drop []string) (all, ambient []string) {
	dropped := map[string]bool{}
	for _, name := range drop {
		dropped[strings.TrimPrefix(name, "CAP_")] = true
	}
	for _, name := range DefaultCapabilities {
		if !dropped[name] && !dropped["ALL"] {
			all = append(all, name)
		}
	}
	for _, name := range add {
		ambient = append(ambient, strings.TrimPrefix(name, "CAP_"))
	}
	return append(all, ambient...), ambient
}

// command gives what pod-init becomes: the program itself, or setpriv(1), which changes user and capabilities
// and then becomes the program.
func (s *Spec) command(program string) []string {
	argv := append([]string{program}, s.Argv[1:]...)
	if s.Privileged && s.UID == 0 && s.GID == 0 {
		return argv
	}
	return append(s.setpriv(), argv...)
}

func (s *Spec) setpriv() []string {
	argv := []string{"setpriv", fmt.Sprintf("--reuid=%d", s.UID), fmt.Sprintf("--regid=%d", s.GID), "--clear-groups"}
	if !s.Privileged {
		argv = append(argv, "--bounding-set="+only(s.Capabilities), "--inh-caps="+only(s.Ambient))
	}
	if s.NoNewPrivs {
		argv = append(argv, "--no-new-privs")
	}
	if s.UID != 0 && len(s.Ambient) > 0 {
		argv = append(argv, "--ambient-caps="+only(s.Ambient))
	}
	return append(argv, "--")
}

// only gives a set of capabilities as setpriv(1) reads it.
func only(names []string) string {
	set := "-all"
	for _, name := range names {
		set += ",+" + strings.ToLower(name)
	}
	return set
}
