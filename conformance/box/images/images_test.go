package images

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindIgnoresRegistryTagAndDigest(t *testing.T) {
	images := Images{"team/app": {UID: 1}, "app": {UID: 2}, "team/app:fast": {UID: 3}}
	for name, uid := range map[string]int64{
		"team/app":                           1,
		"team/app:v1":                        1,
		"host:5000/team/app":                 1,
		"host:5000/deep/team/app:v1":         1,
		"team/app@sha256:0123":               1,
		"host/team/app:v1@sha256:0123":       1,
		"other/app:v1":                       2,
		"team/app:fast":                      3,
		"host:5000/team/app:fast@sha256:012": 3,
	} {
		if image, ok := images.Find(name); !ok || image.UID != uid {
			t.Errorf("%s: got %d (%v), want %d", name, image.UID, ok, uid)
		}
	}
	for _, name := range []string{"", "team", "app2", "team/app/more", "host:5000/application"} {
		if _, ok := images.Find(name); ok {
			t.Errorf("%q stands for an image", name)
		}
	}
}

func TestBindsExpandVariablesAndPutFoldersFirst(t *testing.T) {
	t.Setenv("PLACE", "/somewhere")
	image := Image{Files: map[string]string{"/a/b": "$PLACE/b", "/a": "${PLACE}/a"}}
	binds := image.Binds()
	if len(binds) != 2 || binds[0] != (Bind{"/somewhere/a", "/a"}) || binds[1] != (Bind{"/somewhere/b", "/a/b"}) {
		t.Errorf("got %v", binds)
	}
}

func TestReadRefusesUnknownFields(t *testing.T) {
	path := filepath.Join(t.TempDir(), "images.json")
	if err := os.WriteFile(path, []byte(`{"a": {"entry": ["x"]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "entry") {
		t.Errorf("got %v, want an error that names file and field", err)
	}
}

func TestTheSuitesOwnImagesAreMapped(t *testing.T) {
	images, err := Read("../images.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"coredns/coredns:1.12", "gateway-api/echo-basic", "gateway-api/echo-advanced"} {
		if image, ok := images.Find(name); !ok || len(image.Entrypoint) == 0 || len(image.Files) == 0 {
			t.Errorf("%s: %v %v", name, image, ok)
		}
	}
}
