// Package network makes devices, addresses and routes with ip(8).
package network

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
)

// IP hands commands to ip(8) in one batch, in the named network namespace if there is one.
func IP(namespace string, commands ...string) error {
	args := []string{"-batch", "-"}
	if namespace != "" {
		args = append([]string{"-n", namespace}, args...)
	}
	cmd := exec.Command("ip", args...)
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
