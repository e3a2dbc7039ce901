package host

import (
	"context"
	"reflect"
	"testing"
)

func TestByIsOfTheContext(t *testing.T) {
	b := By{Trigger: "command", User: "root", PID: 7}
	ctx := WithBy(context.Background(), b)
	if got := ByOf(ctx); got != b {
		t.Errorf("found %+v, wanted %+v", got, b)
	}
	want := []any{"by", "command", "user", "root", "uid", 0, "pid", 7}
	if got := b.LogArgs(); !reflect.DeepEqual(got, want) {
		t.Errorf("found %v, wanted %v", got, want)
	}
	if got := (By{Trigger: "api", Peer: "127.0.0.1:5"}).LogArgs(); !reflect.DeepEqual(got,
		[]any{"by", "api", "peer", "127.0.0.1:5"}) {
		t.Errorf("found %v", got)
	}
	if got := ByOf(context.Background()).LogArgs(); got != nil {
		t.Errorf("found %v of nobody, wanted nothing", got)
	}
}
