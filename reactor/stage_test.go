package reactor

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// TestStages: each stage leads to the last one, none leads back to life once the
// protocol was told, but for one that has handed it over, and a step that the table does not have is logged.
func TestStages(t *testing.T) {
	if len(follows) != int(stageGone)+1 || len(stageTexts) != len(follows) {
		t.Fatalf("%d rows and %d texts for %d stages", len(follows), len(stageTexts), stageGone+1)
	}
	for s := range stageGone {
		if follows[s]>>stageGone&1 == 0 {
			t.Errorf("%v does not lead to %v", s, stageGone)
		}
		if s == stageFrozen || s == stageHanding { // the protocol was told nothing; another one is to come
			continue
		}
		if s > stageOver && follows[s]&(1<<s-1) != 0 {
			t.Errorf("%v leads back: %b", s, follows[s])
		}
	}
	var log bytes.Buffer
	r, err := New(Config{Loops: 1, Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := &connection{loop: r.loops[0], stage: stageOpen}
	c.enter(stageClosing)
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
	c.enter(stageOpen)
	if !strings.Contains(log.String(), "from=closing to=open") {
		t.Errorf("found %q, wanted the step", log.String())
	}
}
