package compile

import (
	"errors"
	"strings"
	"testing"
)

// TestCodeInProportion: machine code may be so many times as large as its module,
// and is refused with both figures past that.
func TestCodeInProportion(t *testing.T) {
	for _, c := range []struct {
		code   int64
		module int
		want   string // "" for none
	}{
		{0, 0, ""},
		{codeSlack, 0, ""},
		{codeSlack + 160, 10, ""},
		{codeSlack + 161, 10, "found 16777377 bytes of machine code, wanted at most 16777376: 16 times the module's " +
			"10, and 16777216"},
		{150 << 20, 39_000, "found 157286400 bytes of machine code"},
		{82 << 20, 20 << 20, ""}, // a Go guest
	} {
		err := checkCode(c.code, c.module)
		var r *Refusal
		if c.want == "" && err != nil || c.want != "" &&
			(!errors.As(err, &r) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%d bytes for %d: %v, wanted %q", c.code, c.module, err, c.want)
		}
	}
}
