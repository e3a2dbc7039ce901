package wasmbin

import (
	"strings"
	"testing"
)

// What a file that is no module begins with is not told: who names it, such as an administrator
// over the network, need not be allowed to read it.
func TestNoTextIsQuoted(t *testing.T) {
	_, err := Decode([]byte("root:secret:19000:0:99999:7:::\n"))
	if err == nil || strings.Contains(err.Error(), "root") || !strings.Contains(err.Error(), "found text, wanted") {
		t.Errorf("found %v, wanted one that says it is text, and not which", err)
	}
}
