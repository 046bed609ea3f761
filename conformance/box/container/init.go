package container

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Init is the first process of a container, in new mount, uts, ipc and pid namespaces. It makes the container's
// root, drops what the container may not have and becomes its program; it returns only if that fails.
func Init() error {
	runtime.LockOSThread()
	var s Spec
	if err := json.Unmarshal([]byte(os.Getenv(SpecVariable)), &s); err != nil {
		return fmt.Errorf("%s: %w", SpecVariable, err)
	}
	if err := joinNetwork(s.NetNS); err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
		return err
	}
	if err := makeRoot(&s); err != nil {
		return err
	}
	// another user could not open /dev/stdout otherwise
	for _, descriptor := range []int{1, 2} {
		if err := unix.Fchown(descriptor, s.UID, s.GID); err != nil {
			return fmt.Errorf("descriptor %d: %w", descriptor, err)
		}
	}
	return s.become()
}

func joinNetwork(path string) error {
	if path == "" {
		return nil
	}
	namespace, err := os.Open(path)
	if err != nil {
		return err
	}
	defer namespace.Close()
	return unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
}

// become replaces this process by the container's program.
func (s *Spec) become() error {
	os.Clearenv()
	os.Setenv("PATH", DefaultPath)
	os.Setenv("HOME", "/") // as container runtimes set it for a user that /etc/passwd does not know
	for _, e := range s.Env {
		name, value, _ := strings.Cut(e, "=")
		os.Setenv(name, value)
	}
	if s.Cwd == "" {
		s.Cwd = "/"
	}
	if err := os.Chdir(s.Cwd); err != nil {
		return err
	}
	program, err := exec.LookPath(s.Argv[0])
	if err != nil {
		return err
	}
	argv := s.command(program)
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", path, unix.Exec(path, argv, os.Environ()))
}
