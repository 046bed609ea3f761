// Package containerlog writes the output of containers in the form in which the kubelet reads it.
package containerlog

import (
	"bufio"
	"fmt"
	"io"
	"time"
)

// Copy writes each line of the stream ("stdout" or "stderr") with time, stream and F, for a full line, or P for
// one without an end. A line is one write, so the two streams of a container do not mix.
func Copy(log io.Writer, stream string, from io.Reader, now func() time.Time) error {
	for in := bufio.NewReader(from); ; {
		line, err := in.ReadString('\n')
		if line != "" {
			kind := "F"
			if err != nil {
				kind, line = "P", line+"\n"
			}
			if _, failed := fmt.Fprintf(log, "%s %s %s %s", now().UTC().Format(time.RFC3339Nano), stream, kind, line); failed != nil {
				io.Copy(io.Discard, in) // a full disk may not stop the container
				return failed
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
