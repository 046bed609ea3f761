package container

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// oldRoot is where the machine's root stays while the container's mounts are made.
const oldRoot = "/.machine"

// makeRoot gives the container the machine's own root, with an overlay that takes its changes, and its volumes.
// So every program of the machine is there without an image.
func makeRoot(s *Spec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	root, err := overlay(s.Work)
	if err != nil {
		return err
	}
	if err := kernelFolders(root); err != nil {
		return err
	}
	if err := os.Mkdir(root+oldRoot, 0o755); err != nil {
		return err
	}
	if err := unix.PivotRoot(root, root+oldRoot); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	// After the pivot, so that links in a target's path (/var/run) lead to places in the container.
	for _, m := range s.Mounts {
		if err := m.bind(); err != nil {
			return err
		}
	}
	if err := unix.Unmount(oldRoot, unix.MNT_DETACH); err != nil {
		return err
	}
	if err := os.Remove(oldRoot); err != nil {
		return err
	}
	if s.ReadOnlyRoot {
		return readOnly("/")
	}
	return nil
}

// overlay mounts the container's root in the folder and gives its path.
func overlay(work string) (string, error) {
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", err
	}
	if err := unix.Mount("tmpfs", work, "tmpfs", 0, "mode=755"); err != nil {
		return "", fmt.Errorf("tmpfs: %w", err)
	}
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(work, name), 0o755); err != nil {
			return "", err
		}
	}
	root := filepath.Join(work, "root")
	options := fmt.Sprintf("lowerdir=/,upperdir=%[1]s/upper,workdir=%[1]s/work", work)
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		return "", fmt.Errorf("overlay: %w", err)
	}
	return root, nil
}

// kernelFolders mounts what the kernel provides. Devices are the machine's, but shared memory is the
// container's own.
func kernelFolders(root string) error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
		options              string
	}{
		{"proc", "/proc", "proc", 0, ""},
		{"sysfs", "/sys", "sysfs", unix.MS_RDONLY, ""},
		{"/dev", "/dev", "", unix.MS_BIND | unix.MS_REC, ""},
		{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	} {
		if err := unix.Mount(m.source, root+m.target, m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("%s: %w", m.target, err)
		}
	}
	return nil
}

// bind makes the target, as a folder or a file like its source, and binds the source there.
func (m Mount) bind() error {
	source := oldRoot + m.Source
	if err := makeTarget(source, m.Target); err != nil {
		return fmt.Errorf("%s for %s: %w", m.Target, m.Source, err)
	}
	if err := unix.Mount(source, m.Target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("%s on %s: %w", m.Source, m.Target, err)
	}
	if m.ReadOnly {
		return readOnly(m.Target)
	}
	return nil
}

func makeTarget(source, target string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return os.MkdirAll(target, 0o755)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(target, os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return file.Close()
}

func readOnly(target string) error {
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("%s read-only: %w", target, err)
	}
	return nil
}
