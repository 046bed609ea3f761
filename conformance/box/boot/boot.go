// Package boot is the side of the box: its first process brings up the network, starts the cluster's processes
// and starts again each one that ends.
package boot

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed dns.yaml
var dnsManifest []byte

// Settings are what "box up" hands to the first process, as its arguments.
type Settings struct {
	Dir, Images, CRDs, ProxyMode string
	Owned                        bool // descriptor 4 is a process with whose end the box ends
}

// Arguments gives the settings in the order in which Run reads them.
func (s Settings) Arguments() []string {
	return []string{s.Dir, s.Images, s.CRDs, s.ProxyMode, strconv.FormatBool(s.Owned)}
}

// Run is process 1 of the box. Its descriptor 3 tells "box up" how far it is, a line for each step; "ready" is
// the last.
func Run(args []string) error {
	if len(args) != 5 || os.Getpid() != 1 {
		return errors.New(`only "box up" can start this`)
	}
	settings := Settings{Dir: args[0], Images: args[1], CRDs: args[2], ProxyMode: args[3], Owned: args[4] == "true"}
	begin := time.Now()
	progress := os.NewFile(3, "progress")
	syscall.CloseOnExec(3)
	tell := func(what string) {
		fmt.Fprintf(progress, "%s after %.1f s\n", what, time.Since(begin).Seconds())
	}
	if err := prepare(settings.Dir); err != nil { // before reap, which collects all children
		return err
	}
	if settings.Owned {
		syscall.CloseOnExec(4)
		go endWithOwner()
	}
	s := newSupervisor(settings.Dir)
	store, rest := components(settings)
	s.start(store...)
	go func() {
		if err := bringUp(s, settings, rest, tell); err != nil {
			fmt.Fprintln(os.Stderr, "box init:", err)
			os.Exit(1) // ends the whole pid namespace
		}
		progress.Close()
	}()
	s.reap()
	return nil
}

// endWithOwner ends the box when the process of descriptor 4 has ended.
func endWithOwner() {
	owner := []unix.PollFd{{Fd: 4, Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(owner, -1); err != unix.EINTR {
			os.Exit(0)
		}
	}
}

// bringUp starts what needs the API server and waits until Pods can run and resolve names.
func bringUp(s *supervisor, settings Settings, rest []component, tell func(string)) error {
	ctx := context.Background()
	api, err := connect(settings.Dir)
	if err != nil {
		return err
	}
	tell("API server ready")
	s.start(rest...)
	if err := api.applyYAML(ctx, dnsManifest); err != nil {
		return fmt.Errorf("dns.yaml: %w", err)
	}
	if err := api.applyFolder(ctx, settings.CRDs); err != nil {
		return err
	}
	if err := api.nodeReady(ctx); err != nil {
		return err
	}
	tell("node Ready")
	if err := api.dnsReady(ctx); err != nil {
		return err
	}
	tell("ready")
	return nil
}
