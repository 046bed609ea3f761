// Package process reads what the kernel tells of processes, and tells it which go first.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// field gives field n of /proc/PID/stat as proc(5) counts them, from 3 (the state) on; "" if there is no
// such process.
func field(pid, n int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))[n-3]
}

// Parent gives the number of a process' parent, or 0 if there is no such process.
func Parent(pid int) int {
	parent, err := strconv.Atoi(field(pid, 4))
	if err != nil {
		return 0
	}
	return parent
}

// StartTime tells two processes with the same number apart; "" for one that has ended.
func StartTime(pid int) string {
	if field(pid, 3) == "Z" {
		return ""
	}
	return field(pid, 22)
}

// HandlesTerm tells whether a process has a handler for SIGTERM. Process 1 of a pid namespace that has none
// never sees the signal, so waiting for it would only take the whole grace period.
func HandlesTerm(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && catches(string(status), syscall.SIGTERM)
}

// catches reads the mask of handled signals in the text of /proc/PID/status.
func catches(status string, signal syscall.Signal) bool {
	_, rest, _ := strings.Cut(status, "SigCgt:\t")
	line, _, _ := strings.Cut(rest, "\n")
	mask, err := strconv.ParseUint(line, 16, 64)
	return err == nil && mask&(1<<(uint(signal)-1)) != 0
}

// goesFirst is the nice value of a session that goes first: nine tenths of a core that another session wants, too.
const goesFirst = "-10"

// GoFirst gives a process and all of its session more of the cores than other sessions have. The Pods of a box share them with its API
// server, which in a cluster has machines of its own: there its collector of garbage never keeps a Pod waiting. A kernel that does not
// group processes by session has no such file, and there all have the same part.
func GoFirst(pid int) error {
	err := os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), []byte(goesFirst), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
