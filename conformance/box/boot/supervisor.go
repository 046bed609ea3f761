package boot

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"tidegate.dev/conformance/box/process"
)

// restartDelay keeps a process that ends at once from taking a whole core.
const restartDelay = 500 * time.Millisecond

// supervisor starts processes and starts them again when they end.
type supervisor struct {
	dir   string
	mu    sync.Mutex
	byPID map[int]component
}

// collectAt is how much a program's memory may grow, in percent of what it uses, before garbage is collected.
const collectAt = "400"

func newSupervisor(dir string) *supervisor {
	return &supervisor{dir: dir, byPID: map[int]component{}}
}

func (s *supervisor) start(components ...component) {
	s.mu.Lock() // reap may not see a process before it is in byPID
	defer s.mu.Unlock()
	for _, c := range components {
		if err := s.startOne(c); err != nil {
			fmt.Fprintln(os.Stderr, "box init:", c.name, err)
			time.AfterFunc(restartDelay, func() { s.start(c) })
		}
	}
}

func (s *supervisor) startOne(c component) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "logs", c.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("/proc/self/exe", append([]string{c.name}, c.args...)...)
	cmd.Args[0] = "box"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = os.Environ()
	if os.Getenv("GOGC") == "" {
		// Here all programs of a cluster share a few cores, and whoever waits for one waits for the collector of all others.
		cmd.Env = append(cmd.Env, "GOGC="+collectAt)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.byPID[cmd.Process.Pid] = c
	return nil
}

// reap collects ended processes for ever, those of dead parents too, as process 1 has to.
func (s *supervisor) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil { // no child left
			time.Sleep(100 * time.Millisecond)
			continue
		}
		s.mu.Lock()
		c, known := s.byPID[pid]
		delete(s.byPID, pid)
		s.mu.Unlock()
		if known {
			fmt.Fprintf(os.Stderr, "box init: %s ended (status %#x), starts again\n", c.name, uint32(status))
			if c.name == "node" {
				s.killOrphans()
			}
			time.AfterFunc(restartDelay, func() { s.start(c) })
		}
	}
}

// killOrphans ends the containers of a node process that ended: its children, which are now ours. To the
// cluster this looks like a restart of the machine. What "box exec" runs has another parent.
func (s *supervisor) killOrphans() {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if _, ours := s.byPID[pid]; err == nil && !ours && process.Parent(pid) == 1 {
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
