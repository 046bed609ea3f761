package container

import (
	"os"
	"path/filepath"
	"testing"
)

func TestATargetIsOfTheKindOfItsSource(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for source, folder := range map[string]bool{dir: true, file: false} {
		target := filepath.Join(t.TempDir(), "deep", "target")
		for range 2 { // the second time it exists already
			if err := makeTarget(source, target); err != nil {
				t.Fatal(err)
			}
		}
		if info, err := os.Stat(target); err != nil || info.IsDir() != folder {
			t.Errorf("%s: folder is %v, want %v (%v)", source, info.IsDir(), folder, err)
		}
	}
	if err := makeTarget(filepath.Join(dir, "nothing"), filepath.Join(dir, "target")); err == nil {
		t.Error("a source that is not there is no error")
	}
}
