package cri

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	podinit "tidegate.dev/conformance/box/container"
	"tidegate.dev/conformance/box/images"
)

// folder gives a sandbox's folder with what RunPodSandbox puts there.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func pod() *sandbox {
	return &sandbox{id: "0123456789abcdef", config: &cri.PodSandboxConfig{Hostname: "pod"}}
}

func TestTheContainersOwnWordsWinOverTheImages(t *testing.T) {
	image := images.Image{Entrypoint: []string{"/app", "serve"}, UID: 7, Env: map[string]string{"A": "image", "B": "image"}}
	config := &cri.ContainerConfig{Args: []string{"-x"}, Envs: []*cri.KeyValue{{Key: "A", Value: []byte("pod")}}}
	spec, err := specOf(pod(), config, image, folder(t))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(spec.Argv, []string{"/app", "serve", "-x"}) || spec.UID != 7 || spec.Hostname != "pod" {
		t.Errorf("got %v", spec)
	}
	if !slices.Equal(spec.Env, []string{"A=image", "B=image", "A=pod"}) { // the last one wins
		t.Errorf("environment is %v", spec.Env)
	}
	config.Command = []string{"/other"}
	config.Linux = &cri.LinuxContainerConfig{SecurityContext: &cri.LinuxContainerSecurityContext{
		RunAsUser: &cri.Int64Value{Value: 0}, RunAsGroup: &cri.Int64Value{Value: 9}}}
	spec, err = specOf(pod(), config, image, folder(t))
	if err != nil || !slices.Equal(spec.Argv, []string{"/other", "-x"}) || spec.UID != 0 || spec.GID != 9 {
		t.Errorf("got %v, %v", spec, err)
	}
	if _, err := specOf(pod(), &cri.ContainerConfig{}, images.Image{}, folder(t)); err == nil {
		t.Error("a container without a command is no error")
	}
}

func TestAPodOfTheNodesNetworkHasItsName(t *testing.T) {
	host := pod()
	host.host = true
	image := images.Image{Entrypoint: []string{"/app"}}
	spec, err := specOf(host, &cri.ContainerConfig{}, image, folder(t))
	if err != nil || spec.NetNS != "" || spec.Hostname != "node1" {
		t.Errorf("got %v, %v", spec, err)
	}
	spec, err = specOf(pod(), &cri.ContainerConfig{}, image, folder(t))
	if err != nil || spec.NetNS != "/run/netns/box-0123456789ab" {
		t.Errorf("got %v, %v", spec, err)
	}
}

func TestVolumesComeAfterTheImagesFilesAndLinksAreFollowed(t *testing.T) {
	dir, place := folder(t), t.TempDir()
	file, link := filepath.Join(place, "file"), filepath.Join(place, "link")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	image := images.Image{Entrypoint: []string{"/app"}, Files: map[string]string{"/app": link}}
	config := &cri.ContainerConfig{Mounts: []*cri.Mount{{HostPath: place, ContainerPath: "/data", Readonly: true}}}
	spec, err := specOf(pod(), config, image, dir)
	want := []podinit.Mount{
		{Source: filepath.Join(dir, "resolv.conf"), Target: "/etc/resolv.conf"},
		{Source: file, Target: "/app", ReadOnly: true},
		{Source: place, Target: "/data", ReadOnly: true},
	}
	if err != nil || !slices.Equal(spec.Mounts, want) {
		t.Errorf("got %v, %v", spec.Mounts, err)
	}
	image.Files["/app"] = filepath.Join(place, "nothing")
	if _, err := specOf(pod(), config, image, dir); err == nil || !strings.Contains(err.Error(), "/app") {
		t.Errorf("got %v, want an error that names the target", err)
	}
}

func TestPodAddressesAreUsedAgainAsLateAsPossible(t *testing.T) {
	free := newPodAddresses(netip.MustParsePrefix("192.0.2.0/29"))
	var got []string
	for range 6 {
		a, err := free.take()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a)
	}
	if got[0] != "192.0.2.2" || got[5] != "192.0.2.7" {
		t.Errorf("got %v", got)
	}
	if _, err := free.take(); err == nil {
		t.Error("more addresses than there are")
	}
	free.giveBack("192.0.2.5")
	free.giveBack("192.0.2.3")
	if a, err := free.take(); err != nil || a != "192.0.2.5" {
		t.Errorf("got %s, %v", a, err)
	}
}

func TestResolvConfNamesServersSearchesAndOptions(t *testing.T) {
	got := string(resolvConf(&cri.DNSConfig{Servers: []string{"192.0.2.1"}, Searches: []string{"a", "b"}, Options: []string{"ndots:5"}}))
	if got != "nameserver 192.0.2.1\nsearch a b\noptions ndots:5\n" {
		t.Errorf("got %q", got)
	}
	if got := string(resolvConf(nil)); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestOnlyMappedImagesAreThere(t *testing.T) {
	service := ImageService{Images: images.Images{"app": {UID: 7}}}
	status, err := service.ImageStatus(t.Context(), &cri.ImageSpec{Image: "host/app:v1"}, false)
	if err != nil || status.Image.GetUid().GetValue() != 7 {
		t.Errorf("got %v, %v", status, err)
	}
	if status, err := service.ImageStatus(t.Context(), &cri.ImageSpec{Image: "other"}, false); err != nil || status.Image != nil {
		t.Errorf("got %v, %v", status, err)
	}
	if _, err := service.PullImage(t.Context(), &cri.ImageSpec{Image: "other"}, nil, nil); err == nil {
		t.Error("an image that is not mapped can be pulled")
	}
}
