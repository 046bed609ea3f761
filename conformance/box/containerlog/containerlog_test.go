package containerlog

import (
	"strings"
	"testing"
	"time"
)

func TestLinesCarryTimeStreamAndWhetherTheyAreFull(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 5000, time.FixedZone("east", 3600))
	var log strings.Builder
	err := Copy(&log, "stderr", strings.NewReader("one\n\nlast"), func() time.Time { return noon })
	want := "2026-01-02T11:00:00.000005Z stderr F one\n" +
		"2026-01-02T11:00:00.000005Z stderr F \n" +
		"2026-01-02T11:00:00.000005Z stderr P last\n"
	if err != nil || log.String() != want {
		t.Errorf("got %q, %v", log.String(), err)
	}
}
