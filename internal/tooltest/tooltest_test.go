package tooltest

import (
	"fmt"
	"strings"
	"testing"
)

// outcome is a test that notes how it was ended.
type outcome struct {
	testing.TB
	failed, skipped string
}

func (o *outcome) Helper()           {}
func (o *outcome) Fatal(args ...any) { o.failed = fmt.Sprint(args...) }
func (o *outcome) Skip(args ...any)  { o.skipped = fmt.Sprint(args...) }

// TestFind: a program that is there is found; for one that is not a test is skipped, or
// fails where all must be there.
func TestFind(t *testing.T) {
	o := &outcome{}
	if path := Find(o, "go", ""); path == "" || o.failed+o.skipped != "" {
		t.Errorf("found %q, %+v", path, o)
	}
	for _, required := range []bool{false, true} {
		t.Setenv("WIREHOST_REQUIRE_TOOLCHAINS", map[bool]string{true: "1"}[required])
		o := &outcome{}
		Find(o, "no-such-program", "apt-get install it")
		said := o.skipped
		if required {
			said = o.failed
		}
		if o.failed+o.skipped != said || !strings.Contains(said, "no-such-program") ||
			!strings.Contains(said, "(apt-get install it)") {
			t.Errorf("required %t: found %+v", required, o)
		}
	}
}
