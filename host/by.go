package host

import (
	"context"
	"strings"
)

// By is who asked for a change, and how. It goes with the context of a change, and
// stands in the lines that are logged of it.
type By struct {
	// Trigger is hup, watch, command or api; "" = the program that embeds the host,
	// which may have words of its own.
	Trigger string
	User    string // by name, or by number where that has none; "" = unknown
	UID     int    // of a process of this machine, where PID is known
	PID     int    // 0 = unknown
	Peer    string // the address of who asked from elsewhere; "" = nobody did
}

type byKey struct{}

// WithBy is a context for the changes that b asks for.
func WithBy(ctx context.Context, b By) context.Context { return context.WithValue(ctx, byKey{}, b) }

// ByOf is what WithBy has put into a context; the zero value where there is nothing.
func ByOf(ctx context.Context) By {
	b, _ := ctx.Value(byKey{}).(By)
	return b
}

// LogArgs are what a log line says of it, as keys and values; none for the zero value.
func (b By) LogArgs() []any {
	var args []any
	if b.Trigger != "" {
		args = append(args, "by", b.Trigger)
	}
	if b.User != "" {
		args = append(args, "user", b.User)
	}
	if b.PID != 0 {
		args = append(args, "uid", b.UID, "pid", b.PID)
	}
	if b.Peer != "" {
		args = append(args, "peer", b.Peer)
	}
	return args
}

// String is who it was, for people: what asked, and for whom.
func (b By) String() string {
	who := b.User
	if b.Peer != "" {
		who = strings.TrimSpace(who + " " + b.Peer)
	}
	if who == "" || b.Trigger == "" {
		return b.Trigger + who
	}
	return b.Trigger + ", " + who
}
