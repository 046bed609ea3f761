package process

import (
	"os"
	"os/exec"
	"os/signal"
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
