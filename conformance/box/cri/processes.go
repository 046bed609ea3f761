package cri

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	podinit "tidegate.dev/conformance/box/container"
	"tidegate.dev/conformance/box/containerlog"
	"tidegate.dev/conformance/box/process"
)

// StartContainer starts the container's process and watches over it.
func (r *Service) StartContainer(_ context.Context, id string) error {
	c, err := r.get(id)
	if err != nil {
		return err
	}
	cmd, err := c.command()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(c.logPath()), 0o755); err != nil {
		return err
	}
	log, err := os.OpenFile(c.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		log.Close()
		return err
	}
	if err := process.GoFirst(cmd.Process.Pid); err != nil { // it runs all the same
		fmt.Fprintf(os.Stderr, "container %s shares the cores like all others: %v\n", c.id, err)
	}
	r.mu.Lock()
	c.process, c.started, c.state = cmd.Process, time.Now().UnixNano(), cri.ContainerState_CONTAINER_RUNNING
	r.mu.Unlock()
	go r.follow(c, cmd, log, map[string]io.Reader{"stdout": stdout, "stderr": stderr})
	return nil
}

// command gives the process that becomes the container's program.
func (c *container) command() (*exec.Cmd, error) {
	spec, err := json.Marshal(c.spec)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe", "pod-init")
	cmd.Env = []string{podinit.SpecVariable + "=" + string(spec), "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC | syscall.CLONE_NEWPID}
	return cmd, nil
}

// follow writes the container's log until its process has ended, and notes how it ended.
func (r *Service) follow(c *container, cmd *exec.Cmd, log *os.File, outputs map[string]io.Reader) {
	var copies sync.WaitGroup
	for stream, output := range outputs {
		copies.Go(func() {
			if err := containerlog.Copy(log, stream, output, time.Now); err != nil {
				fmt.Fprintf(os.Stderr, "%s of container %s: %v\n", stream, c.id, err)
			}
		})
	}
	copies.Wait()
	cmd.Wait()
	log.Close()
	r.mu.Lock()
	c.exit, c.finished, c.state = exitCode(cmd.ProcessState), time.Now().UnixNano(), cri.ContainerState_CONTAINER_EXITED
	r.mu.Unlock()
	os.RemoveAll(c.spec.Work)
	close(c.done)
}

func exitCode(s *os.ProcessState) int32 {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int32(w.Signal())
	}
	return int32(s.ExitCode())
}

// StopContainer asks the container's process to end, and kills it after the grace period, in seconds. It
// returns when the process is gone.
func (r *Service) StopContainer(_ context.Context, id string, grace int64) error {
	c, err := r.get(id)
	if err != nil {
		return nil // removed already
	}
	r.mu.Lock()
	running := c.process
	r.mu.Unlock()
	if running == nil {
		return nil
	}
	if grace > 0 && process.HandlesTerm(running.Pid) {
		running.Signal(syscall.SIGTERM)
		select {
		case <-c.done:
			return nil
		case <-time.After(time.Duration(grace) * time.Second):
		}
	}
	running.Kill()
	<-c.done
	return nil
}
