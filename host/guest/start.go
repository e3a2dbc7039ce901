package guest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/tetratelabs/wazero/api"

	"github.com/wirehost/wirehost/abi"
)

// ErrSlow says that a start on a loop took longer than it may, and was given up.
var ErrSlow = errors.New("the start takes longer than a loop may wait")

// Start makes an instance and starts it, up to startFactory, whose timers are held back
// until Commit. at is the place that it is for, on whose loop Start is called; nil
// where it is called on no loop. A within above 0 says that a loop waits: a start that
// takes longer, or longer than a callback may, is ErrSlow. With 0 no loop waits, and it
// may take ten times as long as a callback. Another error is a *TrapError or ErrNoRoom;
// on each, the instance is closed.
func (g *Guest) Start(within time.Duration, at *Place) (*Instance, error) {
	return g.StartHeir(within, at, NoHeir)
}

// StartHeir is Start of an instance that other versions' listeners, or another process's, are to
// move to: where it listens at their addresses it gets them, before TakeListeners, Move or Adopt
// brings them. Where handles are given, it is to have those alone.
func (g *Guest) StartHeir(within time.Duration, at *Place, heir Heir, handles ...int32) (*Instance, error) {
	i := g.newInstance()
	i.heir, i.takes = heir, handles
	i.brief, i.left = within > 0, startups*g.limits.CallbackTime
	if i.brief {
		i.left = min(within, g.limits.CallbackTime)
	}
	err := i.startSafely(at)
	i.left = 0
	if err == nil {
		return i, nil
	}
	i.Close()
	if i.brief && causeOf(err) == causeTime {
		return nil, fmt.Errorf("%w: %w", ErrSlow, err)
	}
	return nil, err
}

// newInstance is an instance that is in no cell.
func (g *Guest) newInstance() *Instance {
	return &Instance{guest: g, account: g.account, watch: g.account.watch.Load()}
}

// startSafely is start, where a panic, which would be a fault of wazero's, is an
// error as well: off the loops nobody else would stop it.
func (i *Instance) startSafely(at *Place) (err error) {
	defer func() {
		if p := recover(); p != nil {
			i.account.Note(hclog.Error, panicNote, "version", i.guest.name, "panic", fmt.Sprint(p), "stack",
				string(debug.Stack()))
			err = i.fault(exInitialize, causeOther, fmt.Errorf("panic: %v", p))
		}
	}()
	return i.start(at)
}

// start is what the first start of the guest has come to, or that start, and then what
// each instance does for itself.
func (i *Instance) start(at *Place) error {
	if o := i.guest.findOrigin(i.brief); o != nil {
		if err := i.begin(o, at); err != nil {
			return err
		}
	} else if err := i.startFirst(); err != nil {
		return err
	}
	if !i.tellMade() {
		return i.dead
	}
	if i.guest.has[exStartFactory] {
		if !i.run(phaseStart, exStartFactory, 0) {
			return i.dead
		}
		if code := api.DecodeI32(i.stack[0]); code != 0 {
			return i.fault(exStartFactory, causeRefusedStart, fmt.Errorf("startFactory returned %d", code))
		}
	}
	return nil
}

// begin puts an instance into a cell that is as the first start has left one.
func (i *Instance) begin(o *origin, at *Place) error {
	var c *cell
	err := i.guest.shortage()
	switch {
	case err != nil: // a free cell is for those that are there
	case at != nil && i.guest.pages():
		c, err = at.takeCell(o, o.pages, false)
	default:
		c, err = i.guest.newCell(o)
	}
	if err != nil {
		return i.noCell(err)
	}
	c.setGlobals(o.globals)
	i.enter(c)
	i.recvPtr, i.recvCap = o.ptr, o.size
	i.setPrefix(o.prefix)
	return nil
}

// noCell is the error of a start for which there is no cell.
func (i *Instance) noCell(err error) error {
	if errors.Is(err, ErrNoRoom) {
		return err
	}
	return i.fault(exInitialize, causeOf(err), err)
}

// startFirst makes a cell and runs in it what comes before startFactory. Then that is
// the guest's origin.
func (i *Instance) startFirst() error {
	c, err := i.guest.newCell(nil)
	if err != nil {
		return i.noCell(err)
	}
	i.enter(c)
	for _, e := range []export{exStart, exInitialize} {
		if i.guest.has[e] && !i.query(e) {
			return i.dead
		}
	}
	if !i.query(exReceiveBuffer) {
		return i.dead
	}
	if err := i.setReceiveBuffer(i.stack[0]); err != nil {
		return err
	}
	if i.guest.has[exLogPrefix] {
		if !i.query(exLogPrefix) {
			return i.dead
		}
		ptr, n := abi.Unpack(i.stack[0])
		if b, ok := i.mem.Read(ptr, min(n, maxPrefix)); ok {
			i.setPrefix(Clean(string(b)))
		}
	}
	return i.guest.keepOrigin(i)
}

func (i *Instance) setPrefix(prefix string) {
	i.prefix, i.prefixCost = prefix, int32(logged(prefix))
}

// seedSize is how many random bytes a new instance is told, in bytes.
const seedSize = 32

// tellMade gives a new instance random bytes of its own, in its receive buffer, where it
// asks for them: what the module seeded at its start is the same in all instances of an
// image. false says that it trapped.
func (i *Instance) tellMade() bool {
	if !i.guest.has[exInstanceMade] {
		return true
	}
	size := min(i.recvCap, seedSize)
	seed, _ := i.mem.Read(i.recvPtr, size)
	rand.Read(seed) // never fails
	i.stack[0], i.stack[1] = api.EncodeU32(i.recvPtr), api.EncodeU32(size)
	return i.query(exInstanceMade)
}

// startups is how many times as long as a callback a call of an instance may take
// that is not a loop's yet: a start, or a rehearsal's restore.
const startups = 10

// maxPrefix is how much of a log prefix is kept, in bytes.
const maxPrefix = 64

func (i *Instance) setReceiveBuffer(packed uint64) error {
	ptr, size := abi.Unpack(packed)
	if size < 1 || size > abi.MaxReceiveBuffer {
		return i.fault(exReceiveBuffer, causeReceiveBuffer,
			fmt.Errorf("found a buffer of %d bytes, wanted 1 to %d", size, abi.MaxReceiveBuffer))
	}
	if room := int64(size) - int64(-ptr&7); i.guest.has[exDatagramsReceived] && room < abi.MinDatagrams {
		return i.fault(exReceiveBuffer, causeReceiveBuffer, fmt.Errorf("found a buffer of %d bytes, wanted %d at "+
			"least from a multiple of 8 on, since the module exports datagramsReceived", size, abi.MinDatagrams))
	}
	if _, ok := i.mem.Read(ptr, size); !ok {
		return i.fault(exReceiveBuffer, causeReceiveBuffer,
			fmt.Errorf("found a buffer at %#x of %d bytes, outside the memory of %d bytes", ptr, size, i.mem.Size()))
	}
	i.recvPtr, i.recvCap = ptr, size
	return nil
}
