package guest

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/wirehost/wirehost/internal/assets"
	"github.com/wirehost/wirehost/reactor"
)

// Owner is whom a guest belongs to. Its methods are called on the goroutine that has
// the instance: its event loop, or whoever starts it.
type Owner interface {
	// Trapped is told of each trap, after it was counted and logged, but not of a
	// start that took too long on a loop and is made again off it.
	Trapped(*TrapError)
	// Closed is told once of each instance that Guest.Start was asked for, whether it
	// started or not, when all that it took has been given back.
	Closed()
}

// Clocks are what a guest is timed with, and what it can read. Any goroutine.
type Clocks struct {
	Now   func() time.Duration // the event loops', which a test may turn
	Wall  func() time.Time     // real time, for guests
	Spent func() time.Duration // what callbacks are metered with: it goes on whatever a test does
	CPU   func() time.Duration // the process's processor time; nil = unknown
}

// Limits bound what the instances of a guest may take, each for itself.
type Limits struct {
	Memory         uint64        // bytes that linear memory may grow to; 0 = what the module allows
	CallbackTime   time.Duration // of a callback; a start, which no loop waits for, may take ten times as long
	State          int           // bytes of one connection's saved state
	Timers         int           // live ones; 0 = any number
	ConnectionsOut int           // outgoing connections, those on their way too; 0 = any number
	Links          int           // connections to other plugins, of all instances; 0 = any number
	Sockets        int           // datagram sockets that it has opened; 0 = any number
	Listeners      int           // those that it has made; 0 = any number
	Metrics        int           // metrics of its own, with those of the account's other guests; 0 = any number
}

// Settings are what the instances of a guest have in common beside its program.
type Settings struct {
	Name   string // for log lines and traps
	Config []byte // what factory.config gives, as JSON
	Assets *assets.Set
	Limits Limits
	Allow  *AllowList
	// Inside is the listener of another plugin, or nil: there is none of that name, or it
	// ends. Loops call it: it must not block.
	Inside  func(plugin string) *reactor.Listener
	Listens *ListenList
	// Listen is the reactor's Listen or, with the file of a socket that listens already, its
	// ListenFile; nil = nobody can listen.
	Listen func(*os.File, reactor.Endpoint, reactor.Factory, reactor.ListenOptions) (*reactor.Listener, error)
	// Room is how many sockets there are, and how many there may be for an instance to get another one;
	// 0 = any number. nil = the same. Loops call it, and who starts an instance.
	Room func() (found, most uint64)
	// HandTo finds the plugin of a name for transport.handOver; an error is its status:
	// ErrNotAllowed, or ErrNotRunning. Loops call it: it must not block.
	HandTo func(plugin string) (reactor.Destination, error)
	// SocketEnded is told of each socket for datagrams that an instance had opened, at its end,
	// on its loop: it must not block; nil = nobody is.
	SocketEnded func(SocketEnd)

	Single bool // an instance is for one connection
	Image  bool // instances are made from an image of the first one's start, where that can be
	// PageOut is after how long without a callback an instance of one connection gives its
	// memory back, until the next; 0 = never. It asks for Image. Below 0, in tests, each
	// instance does that at the next turn of its loop.
	PageOut time.Duration
	Account *Account
	Memory  *Reservations
	Clocks  Clocks
	Owner   Owner
}

// Guest is a program with its settings: what instances are made of. It is immutable, but
// for what its first instance's start comes to, which the others begin with.
// Any goroutine.
type Guest struct {
	name    string
	config  []byte
	assets  *assets.Set
	limits  Limits
	allow   *AllowList
	inside  func(plugin string) *reactor.Listener
	listens *ListenList
	listen  func(*os.File, reactor.Endpoint, reactor.Factory, reactor.ListenOptions) (*reactor.Listener, error)
	room    func() (found, most uint64)
	handTo  func(plugin string) (reactor.Destination, error)
	ended   func(SocketEnd)
	single  bool
	account *Account
	memory  *Reservations
	clocks  Clocks
	owner   Owner

	program *Program
	has     [exports]bool
	numbers [exports]uint64 // in the program's gate
	most    uint64          // bytes that an instance's linear memory may grow to
	images  bool
	pageOut time.Duration
	origin  atomic.Pointer[origin] // nil until an instance has started
	looking sync.Mutex             // held while the cache is looked into for it
	looked  bool
	metrics defined
}

// New makes a guest. The program must outlive its instances.
func New(p *Program, s Settings) *Guest {
	g := &Guest{
		name: s.Name, config: s.Config, assets: s.Assets, limits: s.Limits, allow: s.Allow, inside: s.Inside,
		listens: s.Listens, listen: s.Listen, room: s.Room, handTo: s.HandTo, ended: s.SocketEnded, single: s.Single,
		account: s.Account, memory: s.Memory, clocks: s.Clocks, owner: s.Owner, program: p,
	}
	g.most = p.mostMemory(s.Limits.Memory)
	g.numbers = gateNumbers()
	for e := range g.has {
		g.has[e] = slices.Contains(p.exports, exportNames[e])
	}
	g.has[exStart] = p.gate.Start
	g.images, g.pageOut = s.Image && canImage(p.gate), s.PageOut
	if s.Image && p.gate.Plain != "" {
		s.Account.Note(hclog.Info, plainNote, "version", s.Name, "reason", p.gate.Plain)
	}
	return g
}

// plainNote is the line of a module whose instances can't be made from an image.
const plainNote = "each instance runs the module's start by itself, and keeps its memory"

// Movable tells whether the state of instances can be moved at all: out of this guest
// and into it.
func (g *Guest) Movable() bool { return g.has[exSaveState] && g.has[exRestoreState] }

// ReceivesDatagrams tells whether instances can have datagram sockets.
func (g *Guest) ReceivesDatagrams() bool { return g.has[exDatagramsReceived] }

// ReceivesConnections tells whether instances can have connections.
func (g *Guest) ReceivesConnections() bool { return g.has[exDataReceived] }

// MayReach tells whether the guest may send to an address from which nothing has come.
func (g *Guest) MayReach(to netip.AddrPort) bool { return g.allow.datagram(to) }

// reserve gets the range that an instance's linear memory is to lie in. It comes
// before wazero is asked for anything: wazero panics where it gets no memory.
func (g *Guest) reserve() (*linearMemory, error) {
	if err := g.shortage(); err != nil {
		return nil, err
	}
	mem, err := g.memory.reserve(g.most)
	if err != nil {
		return nil, fmt.Errorf("%s: %w of %d bytes: %w", g.name, ErrNoRoom, g.most, err)
	}
	mem.refused = g.growthRefused
	return mem, nil
}

// shortage is why there are no more instances while the process is short of memory.
func (g *Guest) shortage() error {
	if g.memory.short.Load() {
		return fmt.Errorf("%s: %w: the process is short of memory", g.name, ErrNoRoom)
	}
	return nil
}

// growthRefused is told of each growth of a linear memory past its limit, or while
// the process is short of memory.
func (g *Guest) growthRefused(wanted uint64) {
	g.account.growthsRefused.Add(1)
	if wanted <= g.most {
		g.account.warn(shortNote, "version", g.name, "bytes", wanted)
		return
	}
	g.account.warn(growthNote, "version", g.name, "bytes", wanted, "limit", g.limits.Memory)
}
