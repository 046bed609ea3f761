package machine

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exec runs a command in the box, in the same folder, with KUBECONFIG set and the box's programs in PATH, and ends
// this process with the command's exit code. The command gets SIGTERM and SIGHUP as this process gets them, and
// is killed when this process is.
func Exec(args []string) error {
	bin, err := programs()
	if err != nil {
		return err
	}
	fs := flag.NewFlagSet("exec", flag.ExitOnError)
	dir := folderFlag(fs, bin)
	fs.Parse(args)
	f, err := absolute(*dir)
	if err != nil {
		return err
	}
	if fs.NArg() == 0 {
		return errors.New("no command given")
	}
	pid := f.running()
	if pid == 0 {
		return fmt.Errorf("no box is up in %s", f)
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // namespaces are a thread's
	if err := enter(pid); err != nil {
		return err
	}
	if err := os.Chdir(here); err != nil {
		return err
	}
	f.inherit(bin)
	return become(fs.Args())
}

// enter moves this thread into the box. Of the pid namespace only its children will be.
func enter(pid int) error {
	// a thread that shares its root and working folder with others cannot change its mounts
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	var namespaces []*os.File
	for _, name := range []string{"net", "ipc", "pid", "mnt"} {
		namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
		if err != nil {
			return err
		}
		defer namespace.Close()
		namespaces = append(namespaces, namespace)
	}
	for _, namespace := range namespaces {
		if err := unix.Setns(int(namespace.Fd()), 0); err != nil {
			return fmt.Errorf("%s: %w", namespace.Name(), err)
		}
	}
	return nil
}

// become runs the command in place of this process, as nearly as a parent can. Its death signal is set by setpriv(1): with
// SysProcAttr.Pdeathsig the child compares its parent's number, which is 0 in another pid namespace, and kills itself.
func become(argv []string) error {
	cmd := exec.Command("setpriv", append([]string{"--pdeathsig", "KILL", "--"}, argv...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 8)
	// a terminal sends SIGINT to the command too
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		for s := range signals {
			if s != syscall.SIGINT {
				cmd.Process.Signal(s)
			}
		}
	}()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		os.Exit(128 + int(status.Signal()))
	}
	os.Exit(status.ExitStatus())
	return nil
}
