package host

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/host/config"
)

// TestOutcomeLogged: the log says in words how many connections stay on the
// previous version, and why.
func TestOutcomeLogged(t *testing.T) {
	for want, kept := range map[string]map[string]int{
		"kept=0\n": nil,
		`kept="2: move_time, 1s, was over; 1: saveState failed"`: {"saveState failed": 1, "move_time, 1s, was over": 2},
	} {
		var out bytes.Buffer
		Outcome{Version: "echo@1", Policy: config.ReloadMigrate,
			Kept: kept}.log(hclog.New(&hclog.LoggerOptions{Output: &out}), By{})
		if !strings.Contains(out.String(), want) {
			t.Errorf("found %q, wanted %q", out.String(), want)
		}
	}
}
