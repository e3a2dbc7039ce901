package wirehost

import "reflect"

// Package fmt makes a plugin that has no other use for it 350 KB larger
// (RATIONALE.md), so the SDK's own faults are put together by hand.

// fault is an error with words in front of it.
type fault struct {
	text string
	err  error
}

func (f *fault) Error() string { return f.text + ": " + f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// typeName is what %T of package fmt writes.
func typeName(v any) string {
	if v == nil {
		return "<nil>"
	}
	return reflect.TypeOf(v).String()
}
