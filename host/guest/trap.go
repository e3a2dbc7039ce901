package guest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"

	"github.com/wirehost/wirehost/internal/gate"
	"github.com/wirehost/wirehost/internal/meter"
)

// The causes of traps. Where the WebAssembly specification has a name for a trap, it is that one.
const (
	causeUnreachable   = "unreachable"                   // the instruction: a panic, an assertion
	causeOutOfBounds   = "out of bounds memory access"   // a load or store past the linear memory's end
	causeDivision      = "division by zero"              // of an integer
	causeOverflow      = "integer overflow"              // a quotient, or a conversion, that no integer holds
	causeConversion    = "invalid conversion to integer" // of a float that is no number
	causeTable         = "invalid table access"          // past a table's end, or where it has no element
	causeIndirectCall  = "indirect call type mismatch"   // the function has another signature
	causeStack         = "stack depth"                   // calls within calls took more than limits.stack
	causeTime          = "time"                          // the callback took longer than limits.callback_time
	causeHostCall      = "host call violation"           // a pointer outside memory, or a wait for a clock
	causeExit          = "exit"                          // proc_exit was called
	causeRefusedStart  = "refused start"                 // startFactory returned another value than 0
	causeReceiveBuffer = "bad receive buffer"            // of no size, too large, or outside memory
	causeOther         = "other"                         // anything else that the runtime reports
)

// TrapError says that a guest's callback did not return. The instance is
// discarded with it.
type TrapError struct {
	Plugin  string // the account's name
	Version string // the guest's
	Export  string // the callback
	Conn    int32  // the handle of its connection, socket or listener; 0 where it is about none
	of      string // what Conn is of
	Cause   string // what it was, one of those that sdk/COOKBOOK.md lists
	Err     error  // the runtime's, with the guest's stack by function name, both cut
}

// Error names the guest, the callback, what it is about and the cause, in one line.
func (e *TrapError) Error() string {
	on := ""
	if e.Conn != 0 {
		on = fmt.Sprintf(" of %s %d", e.of, e.Conn)
	}
	text := ""
	if e.Err != nil {
		text, _, _ = strings.Cut(e.Err.Error(), "\n")
		text = ": " + strings.TrimSuffix(text, " (recovered by wazero)")
	}
	how := "trapped"
	if e.Cause == causeRefusedStart || e.Cause == causeReceiveBuffer {
		how = "failed"
	}
	return fmt.Sprintf("plugin %s (%s) %s in %s%s: %s%s", e.Plugin, e.Version, how, e.Export, on, e.Cause, text)
}

// Unwrap is the runtime's error, cut.
func (e *TrapError) Unwrap() error { return e.Err }

// Stack is the guest's stack, a function a line, the innermost first, or "".
func (e *TrapError) Stack() string {
	if e.Err == nil {
		return ""
	}
	_, stack, ok := strings.Cut(e.Err.Error(), stackHeading)
	if !ok {
		return ""
	}
	frames := slices.DeleteFunc(strings.Split(strings.TrimSpace(stack), "\n\t"), func(frame string) bool {
		_, name, _ := strings.Cut(frame, ".") // behind the module's
		return gate.Wrote(name)
	})
	return strings.Join(frames, "\n")
}

// What is kept of a trap's text. The names in it, and how long they are, are the
// guest's.
const (
	stackHeading = "wasm stack trace:\n\t" // wazero's, before the frames
	maxTrapLine  = 512                     // bytes of the first line
	maxFrames    = 32
	maxFrame     = 256 // bytes of one of them
)

// guestError is a runtime's error with its text cut. What it was about is found in
// it as in the original.
type guestError struct {
	text string
	err  error // the part of the original that has no stack in its text
}

func (e *guestError) Error() string { return e.text }
func (e *guestError) Unwrap() error { return e.err }

// cutError cuts the text of what a call into a guest has returned: an error is kept
// for as long as its connections are, and shown.
func cutError(err error) error {
	text := err.Error()
	if len(text) <= maxTrapLine {
		return err
	}
	line, rest, _ := strings.Cut(text, "\n")
	var b strings.Builder
	b.WriteString(shortened(line, maxTrapLine))
	if _, stack, ok := strings.Cut(rest, stackHeading); ok {
		b.WriteString("\n" + strings.TrimSuffix(stackHeading, "\n\t"))
		for n := 0; ok && n < maxFrames; n++ {
			var frame string
			frame, stack, ok = strings.Cut(stack, "\n\t")
			b.WriteString("\n\t" + shortened(frame, maxFrame))
		}
	}
	for inner := errors.Unwrap(err); inner != nil && len(err.Error()) > maxTrapLine; inner = errors.Unwrap(err) {
		err = inner
	}
	return &guestError{b.String(), err}
}

// shortened is text of at most so many bytes, and a mark where it was more.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return text[:most] + "…"
}

// trapCounts counts traps by cause. Any goroutine.
type trapCounts struct {
	mu     sync.Mutex
	counts map[string]uint64
}

func (t *trapCounts) add(c string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]uint64{}
	}
	t.counts[c]++
}

func (t *trapCounts) all() map[string]uint64 {
	all := map[string]uint64{} // where there are none too: JSON has no null for it
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.Copy(all, t.counts)
	return all
}

// violation is what a host call panics with when a guest breaks the contract.
type violation struct {
	call, what string
}

func (v *violation) Error() string { return fmt.Sprintf("%s: %s", v.call, v.what) }

// exit is what proc_exit panics with.
type exit struct{ code uint32 }

func (e *exit) Error() string { return fmt.Sprintf("the guest called proc_exit(%d)", e.code) }

// causeOf tells the causes apart by the runtime's error values, not by their
// texts.
func causeOf(err error) string {
	var v *violation
	var x *exit
	switch {
	case errors.As(err, &v):
		return causeHostCall
	case errors.As(err, &x):
		return causeExit
	case errors.Is(err, meter.ErrTime):
		return causeTime
	case errors.Is(err, meter.ErrStack):
		return causeStack
	}
	for _, k := range runtimeErrors() {
		if errors.Is(err, k.err) {
			return k.cause
		}
	}
	return causeOther
}

type knownError struct {
	cause string
	err   error
}

// runtimeErrors learns wazero's trap errors, which it does not export, by
// provoking each once: they are single values, so errors.Is finds them again.
var runtimeErrors = sync.OnceValue(func() []knownError {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer r.Close(ctx)
	var known []knownError
	for _, p := range provocations() {
		mod, err := r.Instantiate(ctx, p.module())
		if err != nil {
			continue
		}
		_, err = mod.ExportedFunction("f").Call(ctx)
		mod.Close(ctx)
		for err != nil {
			inner := errors.Unwrap(err)
			if inner == nil {
				known = append(known, knownError{p.cause, err})
			}
			err = inner
		}
	}
	return known
})

// provocation is the body of a function that traps.
type provocation struct {
	cause string
	body  string
}

func provocations() []provocation {
	return []provocation{
		{causeUnreachable, "\x00"},
		{causeOutOfBounds, "\x41\x7f\x28\x02\x00\x1a"},              // i32.load at -1
		{causeDivision, "\x41\x01\x41\x00\x6d\x1a"},                 // 1 / 0
		{causeOverflow, "\x41\x80\x80\x80\x80\x78\x41\x7f\x6d\x1a"}, // min / -1
		{causeConversion, "\x43\x00\x00\xc0\x7f\xa8\x1a"},           // trunc of NaN
		{causeTable, "\x41\x7f\x11\x00\x00"},                        // call_indirect at -1
		{causeIndirectCall, "\x41\x00\x11\x01\x00\x1a"},             // of the wrong type
		{causeStack, "\x10\x00"},                                    // endless recursion
	}
}

// module is a module with that body as its function f: types () and () -> i32,
// a table of one with f in it, a memory of one page.
func (p provocation) module() []byte {
	body := "\x00" + p.body + "\x0b"
	return []byte("\x00asm\x01\x00\x00\x00" +
		"\x01\x08\x02\x60\x00\x00\x60\x00\x01\x7f" +
		"\x03\x02\x01\x00" +
		"\x04\x04\x01\x70\x00\x01" +
		"\x05\x03\x01\x00\x01" +
		"\x07\x05\x01\x01f\x00\x00" +
		"\x09\x07\x01\x00\x41\x00\x0b\x01\x00" +
		"\x0a" + string(rune(len(body)+2)) + "\x01" + string(rune(len(body))) + body)
}
