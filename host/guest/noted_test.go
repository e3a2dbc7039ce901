package guest

import (
	"testing"
	"time"
)

// TestNotedIsBounded: of a connection with many callbacks the first ones are kept, and the
// others counted.
func TestNotedIsBounded(t *testing.T) {
	n := &Noted{}
	for range 3 * maxNoted {
		if n.full() {
			continue
		}
		n.Callbacks = append(n.Callbacks, NotedCallback{Name: "dataReceived", Took: time.Microsecond})
	}
	if len(n.Callbacks) != maxNoted || n.More != 2*maxNoted {
		t.Errorf("found %d callbacks and %d more", len(n.Callbacks), n.More)
	}
}
