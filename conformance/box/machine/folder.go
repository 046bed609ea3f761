// Package machine is the side of the machine: it starts a box, runs commands in it and ends it.
package machine

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tidegate.dev/conformance/box/process"
)

// folder is where one box has its keys, kubeconfig and logs; as many boxes as folders can be up at once.
type folder string

// folderFlag gives a flag for the folder; absolute has to be called on what it is set to. Without the flag it is
// $BOX_DIR, or the one beside the folder of the programs: build/box.run for build/box.
func folderFlag(fs *flag.FlagSet, bin string) *string {
	def := os.Getenv("BOX_DIR")
	if def == "" {
		def = bin + ".run"
	}
	return fs.String("dir", def, "folder of the box's keys, kubeconfig and logs")
}

// absolute gives the folder, and refuses one that a box would hide from itself.
func absolute(dir string) (folder, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for _, hidden := range []string{"/run/", "/var/run/", "/var/log/", "/proc/", "/sys/", "/dev/"} {
		if strings.HasPrefix(abs+"/", hidden) {
			return "", fmt.Errorf("%s: a box has a %s of its own, choose a folder elsewhere", abs, hidden)
		}
	}
	return folder(abs), nil
}

func (f folder) path(parts ...string) string {
	return filepath.Join(append([]string{string(f)}, parts...)...)
}

func (f folder) kubeconfig() string { return f.path("pki", "admin.kubeconfig") }

// noteProcess says which process is the folder's box.
func (f folder) noteProcess(pid int) error {
	return os.WriteFile(f.path("pid"), fmt.Appendf(nil, "%d %s\n", pid, process.StartTime(pid)), 0o644)
}

// running gives the process number of the folder's box, or 0. A number that another process has now does not count.
func (f folder) running() int {
	b, err := os.ReadFile(f.path("pid"))
	if err != nil {
		return 0
	}
	number, start, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	pid, err := strconv.Atoi(number)
	if err != nil || start == "" || process.StartTime(pid) != start {
		return 0
	}
	return pid
}

// inherit sets the variables that let programs find the box and write nothing outside it.
func (f folder) inherit(bin string) {
	os.Setenv("BOX_DIR", string(f))
	os.Setenv("BOX_BIN", bin)
	os.Setenv("KUBECONFIG", f.kubeconfig())
	os.Setenv("KUBECACHEDIR", f.path("run", "kubectl"))
	for _, kind := range []string{"CACHE", "CONFIG", "DATA"} {
		os.Setenv("HELM_"+kind+"_HOME", f.path("run", "helm", strings.ToLower(kind)))
	}
	os.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}

// programs gives the folder of this program, where the others are too.
func programs() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.Dir(self), nil // the kernel has followed links already
}
