package machine

import (
	"flag"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// endTimeout is how long the kernel may take to end all processes of a box, in milliseconds.
const endTimeout = 30_000

// Down kills the box's first process; the kernel then ends every process of its pid namespace and frees its mounts
// and network. A gentle stop has no use: all state is on a tmpfs. Keys and logs stay in the folder.
func Down(args []string) error {
	bin, err := programs()
	if err != nil {
		return err
	}
	fs := flag.NewFlagSet("down", flag.ExitOnError)
	dir := folderFlag(fs, bin)
	fs.Parse(args)
	f, err := absolute(*dir)
	if err != nil {
		return err
	}
	pid := f.running()
	if pid == 0 {
		return nil
	}
	descriptor, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(descriptor)
	if err := unix.PidfdSendSignal(descriptor, unix.SIGKILL, nil, 0); err != nil {
		return err
	}
	// readable when the last thread is gone, and so the last process of the namespace
	ended := []unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}}
	n, err := unix.Poll(ended, endTimeout)
	for err == unix.EINTR {
		n, err = unix.Poll(ended, endTimeout)
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("process %d does not end", pid)
	}
	return os.Remove(f.path("pid"))
}
