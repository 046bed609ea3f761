package machine

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tidegate.dev/conformance/box/boot"
	"tidegate.dev/conformance/box/images"
	"tidegate.dev/conformance/box/keys"
)

// Up starts the box's first process in namespaces of its own, passes its settings on to it, and returns when that
// process says that the cluster is ready.
func Up(args []string) error {
	bin, err := programs()
	if err != nil {
		return err
	}
	fs := flag.NewFlagSet("up", flag.ExitOnError)
	dir := folderFlag(fs, bin)
	var s boot.Settings
	fs.StringVar(&s.Images, "images", filepath.Join(bin, "images.json"), "which local files stand for which image")
	fs.StringVar(&s.CRDs, "crds", filepath.Join(bin, "crds"), "folder of YAML files to apply first")
	fs.StringVar(&s.ProxyMode, "proxy-mode", "nftables", "kube-proxy's mode: nftables or iptables")
	owner := fs.Int("owner", 0, "process with whose end the box ends too")
	timeout := fs.Duration("timeout", 2*time.Minute, "how long to wait for the cluster")
	fs.Parse(args)

	f, err := absolute(*dir)
	if err != nil {
		return err
	}
	s.Dir = string(f)
	for _, p := range []*string{&s.Images, &s.CRDs} {
		if *p, err = filepath.Abs(*p); err != nil {
			return err
		}
	}
	s.Owned = *owner != 0
	if err := f.prepare(s); err != nil {
		return err
	}
	first, progress, err := f.start(s, bin, *owner)
	if err != nil {
		return err
	}
	if err := await(progress, *timeout); err != nil {
		first.Process.Kill()
		first.Wait()
		return fmt.Errorf("%w; see %s", err, f.path("logs"))
	}
	fmt.Printf("kubeconfig: %s\n", f.kubeconfig())
	return nil
}

// prepare makes what a new box needs in its folder, and finds what is wrong before anything is started.
func (f folder) prepare(s boot.Settings) error {
	if os.Geteuid() != 0 {
		return errors.New("a box makes namespaces and mounts: run as root")
	}
	for _, program := range []string{"ip", "nft", "nsenter", "setpriv", "sysctl"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: on Debian: apt-get install iproute2 nftables util-linux procps", err)
		}
	}
	if _, err := images.Read(s.Images); err != nil {
		return err
	}
	if pid := f.running(); pid != 0 {
		return fmt.Errorf("already up as process %d", pid)
	}
	if err := os.RemoveAll(f.path("logs")); err != nil {
		return err
	}
	for _, name := range []string{"logs", "run"} {
		if err := os.MkdirAll(f.path(name), 0o755); err != nil {
			return err
		}
	}
	return keys.Make(f.path("pki"))
}

// start gives the box's first process and what it tells. The owner counts only if the settings say so.
func (f folder) start(s boot.Settings, bin string, owner int) (*exec.Cmd, *os.File, error) {
	log, err := os.Create(f.path("logs", "init.log"))
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	progress, tell, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer tell.Close()
	f.inherit(bin)
	cmd := exec.Command("/proc/self/exe", append([]string{"init"}, s.Arguments()...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Args[0] = "box"
	cmd.ExtraFiles = []*os.File{tell} // its descriptor 3
	if s.Owned {
		descriptor, err := unix.PidfdOpen(owner, 0)
		if err != nil {
			return nil, nil, fmt.Errorf("owner %d: %w", owner, err)
		}
		watched := os.NewFile(uintptr(descriptor), "owner")
		defer watched.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, watched) // its descriptor 4
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC,
		Setsid:     true,
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	if err := f.noteProcess(cmd.Process.Pid); err != nil {
		return nil, nil, errors.Join(err, cmd.Process.Kill())
	}
	return cmd, progress, nil
}

// await prints what the first process tells until it is ready.
func await(progress *os.File, timeout time.Duration) error {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(progress); s.Scan(); {
			lines <- s.Text()
		}
	}()
	interrupt := make(chan os.Signal, 1)
	signal.Notify(interrupt, syscall.SIGINT, syscall.SIGTERM)
	late := time.After(timeout)
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return errors.New("the box's first process ended")
			}
			fmt.Println(line)
			if strings.HasPrefix(line, "ready") {
				return nil
			}
		case <-late:
			return fmt.Errorf("not ready after %s", timeout)
		case s := <-interrupt:
			return errors.New(s.String())
		}
	}
}
