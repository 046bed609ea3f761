package machine

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

func TestOnlyTheVeryProcessThatWasNotedIsTheBox(t *testing.T) {
	f := folder(t.TempDir())
	if f.running() != 0 {
		t.Error("an empty folder has a box")
	}
	if err := f.noteProcess(os.Getpid()); err != nil {
		t.Fatal(err)
	}
	if f.running() != os.Getpid() {
		t.Errorf("got %d, want this process", f.running())
	}
	if err := os.WriteFile(f.path("pid"), fmt.Appendf(nil, "%d 1\n", os.Getpid()), 0o600); err != nil {
		t.Fatal(err)
	}
	if f.running() != 0 {
		t.Error("another process with the same number is taken for the box")
	}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	if err := f.noteProcess(ended.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if f.running() != 0 {
		t.Error("an ended process is taken for the box")
	}
}

func TestAFolderThatABoxHidesIsRefused(t *testing.T) {
	for dir, good := range map[string]bool{"/run/box": false, "/run": false, "/var/log/a": false, "/runner": true, "box": true} {
		if _, err := absolute(dir); (err == nil) != good {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
