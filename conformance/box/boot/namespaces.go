package boot

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"tidegate.dev/conformance/box/addresses"
	"tidegate.dev/conformance/box/network"
)

// prepare makes the box's mounts and network, in the namespaces that "box up" gave it.
func prepare(dir string) error {
	// no mount of the box may reach the machine
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	for _, m := range []struct{ kind, target string }{{"proc", "/proc"}, {"sysfs", "/sys"}} {
		if err := syscall.Mount(m.kind, m.target, m.kind, 0, ""); err != nil {
			return fmt.Errorf("%s: %w", m.kind, err)
		}
	}
	run := filepath.Join(dir, "run")
	if err := tmpfs(run); err != nil {
		return err
	}
	// What names of network namespaces, locks and links to logs are written there stays in the box.
	for _, folder := range []string{"/run", "/var/log"} {
		if err := overlay(folder, filepath.Join(run, "overlays", filepath.Base(folder))); err != nil {
			return err
		}
	}
	if err := tmpfs("/run/netns"); err != nil {
		return err
	}
	// A bridge without ports stands in for a dummy device. Without a default route connect() to a
	// ClusterIP fails before netfilter sees it; nothing leaves by this one.
	if err := network.IP("", "link set lo up",
		"link add box0 type bridge", "addr add "+addresses.Node+"/32 dev box0", "link set box0 up",
		"route add default dev box0"); err != nil {
		return err
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

func tmpfs(target string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", target, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("tmpfs on %s: %w", target, err)
	}
	return nil
}

// overlay lets the folder be read as it is on the machine, and keeps what is written in another one.
func overlay(folder, changes string) error {
	upper, work := filepath.Join(changes, "upper"), filepath.Join(changes, "work")
	for _, d := range []string{upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", folder, upper, work)
	if err := syscall.Mount("overlay", folder, "overlay", 0, options); err != nil {
		return fmt.Errorf("overlay on %s: %w", folder, err)
	}
	return nil
}
