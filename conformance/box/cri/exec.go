package cri

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	podinit "tidegate.dev/conformance/box/container"
)

// enter gives a command that runs in a container, as its user.
func (r *Service) enter(id string, command []string) (*exec.Cmd, error) {
	c, err := r.get(id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.state != cri.ContainerState_CONTAINER_RUNNING {
		return nil, fmt.Errorf("container %s does not run", id)
	}
	args := []string{"-t", strconv.Itoa(c.process.Pid), "-m", "-n", "-u", "-i", "-p", "-r", "-w"}
	if c.spec.UID != 0 || c.spec.GID != 0 {
		args = append(args, "-S", strconv.Itoa(c.spec.UID), "-G", strconv.Itoa(c.spec.GID))
	}
	cmd := exec.Command("nsenter", append(append(args, "--"), command...)...)
	cmd.Env = append([]string{"PATH=" + podinit.DefaultPath, "HOME=/"}, c.spec.Env...)
	return cmd, nil
}

// codeError gives an error that carries the command's exit code to whoever asked.
func codeError(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return utilexec.CodeExitError{Err: err, Code: exit.ExitCode()}
	}
	return err
}

// ExecSync runs the commands of probes and hooks.
func (r *Service) ExecSync(_ context.Context, id string, command []string, timeout time.Duration) ([]byte, []byte, error) {
	cmd, err := r.enter(id, command)
	if err != nil {
		return nil, nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	if timeout > 0 {
		defer time.AfterFunc(timeout, func() { cmd.Process.Kill() }).Stop()
	}
	err = codeError(cmd.Wait())
	return stdout.Bytes(), stderr.Bytes(), err
}

// Exec says where the kubelet reaches the command's streams.
func (r *Service) Exec(_ context.Context, q *cri.ExecRequest) (*cri.ExecResponse, error) {
	return r.stream.GetExec(q)
}

// streams serves "kubectl exec" and the suite's own calls of the exec API.
type streams struct{ *Service }

// Exec runs a command in a container with the streams of whoever asked for it.
func (s streams) Exec(_ context.Context, id string, command []string, in io.Reader, out, errs io.WriteCloser, _ bool,
	_ <-chan remotecommand.TerminalSize) error {
	cmd, err := s.enter(id, command)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = out, errs
	if in != nil { // by a pipe of our own: with cmd.Stdin, Wait would wait for the end of the input too
		w, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			io.Copy(w, in)
			w.Close()
		}()
	}
	return codeError(cmd.Run())
}

// Attach is not served.
func (streams) Attach(context.Context, string, io.Reader, io.WriteCloser, io.WriteCloser, bool, <-chan remotecommand.TerminalSize) error {
	return errNotServed
}

// PortForward is not served.
func (streams) PortForward(context.Context, string, int32, io.ReadWriteCloser) error {
	return errNotServed
}
