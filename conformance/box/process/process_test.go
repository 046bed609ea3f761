package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

func TestAProcessIsKnownByItsStart(t *testing.T) {
	if Parent(os.Getpid()) != os.Getppid() {
		t.Errorf("parent is %d, want %d", Parent(os.Getpid()), os.Getppid())
	}
	if StartTime(os.Getpid()) == "" {
		t.Error("this process has no start time")
	}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	if StartTime(ended.Process.Pid) != "" || Parent(ended.Process.Pid) != 0 {
		t.Error("an ended process is still known")
	}
}

func TestAHandlerForTermIsSeen(t *testing.T) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGTERM)
	defer signal.Stop(caught)
	if !HandlesTerm(os.Getpid()) {
		t.Error("the handler of this process is not seen")
	}
	for status, want := range map[string]bool{
		"SigCgt:\t0000000000004000\n": true,  // bit 15 is SIGTERM
		"SigCgt:\t0000000000002000\n": false, // bit 14 is SIGALRM
		"":                            false,
	} {
		if catches(status, syscall.SIGTERM) != want {
			t.Errorf("%q: want %v", status, want)
		}
	}
}

func TestASessionGoesFirst(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may put a process before others")
	}
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if err := GoFirst(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(fmt.Sprintf("/proc/%d/autogroup", cmd.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("this kernel does not group processes by session")
	}
	if !strings.HasSuffix(strings.TrimSpace(string(said)), "nice "+goesFirst) {
		t.Errorf("its session is %q", said)
	}
}
