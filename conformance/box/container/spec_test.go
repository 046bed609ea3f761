package container

import (
	"slices"
	"strings"
	"testing"
)

func TestCapabilitiesFollowAddAndDrop(t *testing.T) {
	all, ambient := Capabilities(nil, nil)
	if !slices.Equal(all, DefaultCapabilities) || ambient != nil {
		t.Errorf("asking for nothing gives %v and %v", all, ambient)
	}
	all, ambient = Capabilities([]string{"CAP_NET_ADMIN"}, []string{"ALL"})
	if !slices.Equal(all, []string{"NET_ADMIN"}) || !slices.Equal(ambient, all) {
		t.Errorf("adding one and dropping all gives %v and %v", all, ambient)
	}
	all, _ = Capabilities(nil, []string{"CAP_KILL", "MKNOD"})
	if len(all) != len(DefaultCapabilities)-2 || slices.Contains(all, "KILL") || slices.Contains(all, "MKNOD") {
		t.Errorf("dropping two gives %v", all)
	}
}

func TestTheCommandChangesUserAndCapabilities(t *testing.T) {
	for want, spec := range map[string]Spec{
		"/bin/app -x": {Privileged: true},
		"setpriv --reuid=0 --regid=5 --clear-groups -- /bin/app -x": {Privileged: true, GID: 5},
		"setpriv --reuid=0 --regid=0 --clear-groups --bounding-set=-all,+kill --inh-caps=-all -- /bin/app -x": {
			Capabilities: []string{"KILL"}},
		"setpriv --reuid=7 --regid=0 --clear-groups --bounding-set=-all,+net_raw --inh-caps=-all,+net_raw --no-new-privs " +
			"--ambient-caps=-all,+net_raw -- /bin/app -x": {
			UID: 7, NoNewPrivs: true, Capabilities: []string{"NET_RAW"}, Ambient: []string{"NET_RAW"}},
	} {
		spec.Argv = []string{"app", "-x"}
		if got := strings.Join(spec.command("/bin/app"), " "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
