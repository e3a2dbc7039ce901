package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/internal/changes"
	"github.com/wirehost/wirehost/internal/handover"
)

// An upgrade of the program: the process starts the executable that now lies at its path,
// with its own arguments, and hands over what it serves (host.Handover). The new one
// must be ready before anything leaves; whatever goes wrong until the end, it is killed,
// and the old one goes on. The kinds of messages stand below; heir.go has this process's part, and
// succeed.go the other's.

const (
	// handoverVariable has the number of the descriptor that a successor talks by, a comma,
	// and the number of the process that hands over.
	handoverVariable = "_WIREHOST_HANDOVER"
	// handoverFormat is the number of the messages' meaning. Others are refused.
	handoverFormat = 1
	// readyWait is how long a successor may take to be ready.
	readyWait = 2 * time.Minute
	// answerWait is how long it may take to answer then, beside what it is given to do: see
	// effort.
	answerWait = 3 * time.Second
	// elderWait is how long the process that hands over may say nothing, beside pieceWait for
	// each of its connections.
	elderWait = 30 * time.Second
	// pieceWait is what one connection, socket, listener or timer may take that moves,
	// instanceWait one instance, and megabyteWait one MiB of what they have: some ten times what
	// they take on a small machine.
	pieceWait    = time.Millisecond
	instanceWait = 10 * time.Millisecond
	megabyteWait = 100 * time.Millisecond
	// endWait is how long a process that is killed may take to let go of what it had.
	endWait = 10 * time.Second
)

// Kinds of messages, in their order.
const (
	sayHello   = "hello"   // to the successor: hello, with the sockets
	sayReady   = "ready"   // from it: ready
	sayBegin   = "begin"   // to it: the plugins' handles
	saySockets = "sockets" // to it, ahead of a hello or of an offer: some of the sockets
	sayOffer   = "offer"   // to it: []host.Handed
	sayAnswer  = "answer"  // from it: why it refuses each, or ""
	sayCommit  = "commit"  // to it: commit
	sayTaken   = "taken"   // from it: what was offered is its own, and goes on now
	sayDone    = "done"    // to it: all has come
	sayOver    = "over"    // from it: it has all; before it was told so, that it goes on with what it has
)

// hello is what a successor is told first.
type hello struct {
	Format    int      `json:"format"`
	PID       int      `json:"pid"`
	Program   string   `json:"program"`   // its version
	Endpoints []string `json:"endpoints"` // of the sockets that come with it, as the configuration has them
	// Ports are those for datagrams. Their sockets come behind those of Endpoints.
	Ports []portSockets `json:"ports,omitempty"`
	// Stay are those of them whose files no process of the program removes.
	Stay []string `json:"stay,omitempty"`
	// Connections is how many the process has.
	Connections int `json:"connections,omitempty"`
	// Expected are the plugins' instances that will come and have one connection each.
	Expected map[string]int `json:"expected,omitempty"`
	// Handles are the last ones so far, by plugin: its starts take none of those that may come.
	Handles map[string]host.Handles `json:"handles,omitempty"`
	// Listeners are those of guests that may come, by plugin.
	Listeners map[string][]host.GuestListener `json:"listeners,omitempty"`
	// State is what administrators have changed: exportState. "" = the process before
	// knows of none.
	State json.RawMessage `json:"state,omitempty"`
}

// portSockets are the sockets of an endpoint for datagrams.
type portSockets struct {
	Endpoint string `json:"endpoint"` // as the configuration has it
	Bound    string `json:"bound"`    // where they are bound
	Sockets  int    `json:"sockets"`
}

// addPorts adds a server's sockets for datagrams to files.
func (about *hello) addPorts(o *host.Handover, files []*os.File) ([]*os.File, error) {
	ports, err := o.PortFiles()
	for _, t := range ports {
		about.Ports = append(about.Ports, portSockets{t.Endpoint, t.Bound, len(t.Files)})
		files = append(files, t.Files...)
	}
	return files, err
}

// commit says that what was offered is the successor's.
type commit struct {
	// Accept: new connections are, too, and administrators.
	Accept bool `json:"accept,omitempty"`
	// Owed are the processes to be asked that have not yet answered all that they were asked
	// before, by their numbers: how many answers are for nobody; -1 = it can't be asked any more.
	Owed map[string]int `json:"owed,omitempty"`
}

// effort is how long a successor may take for some instances, once it has them.
func effort(list []host.Handed) (d time.Duration) {
	pieces, size := 0, 0
	for n := range list {
		s := &list[n].State
		pieces += len(s.Connections) + len(s.Timers) + len(s.Sockets) + len(s.Listeners)
		size += len(s.Factory)
		for m := range s.Connections {
			c := &s.Connections[m]
			size += len(c.State) + len(c.Socket.Queued) + len(c.Socket.Unread)
		}
		for m := range s.Sockets {
			size += len(s.Sockets[m].State)
		}
	}
	return time.Duration(len(list))*instanceWait + time.Duration(pieces)*pieceWait +
		time.Duration(size>>10)*megabyteWait>>10
}

// ready says that a successor can serve.
type ready struct {
	Format  int    `json:"format"`
	Program string `json:"program"`
	// Failing is what fails in it (host.Takeover), with the reason.
	Failing map[string]string `json:"failing,omitempty"`
	// Unwanted are the endpoints of sockets that it does not listen on.
	Unwanted []string `json:"unwanted,omitempty"`
}

// Upgrade hands over to the executable that now lies at the program's path, or with
// dryRun only says what would move. Then Replaced is closed, and the caller is to end
// with Shutdown, which waits for the connections that could not move. On an error the
// server goes on as if nothing had been asked. While another change is under way it waits, for
// half a minute at most. ctx ends it, as Shutdown does.
func (s *Server) Upgrade(ctx context.Context, dryRun bool) (host.Upgraded, error) {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	var o *host.Handover
	err := changes.Asked(ctx, changes.Wait, func() (err error) {
		o, err = s.Host.BeginHandover()
		return err
	})
	if err != nil {
		return host.Upgraded{}, s.notUpgraded(err, dryRun)
	}
	if dryRun {
		list, err := o.Move(ctx, nil)
		out := host.Upgraded{DryRun: true, Plugins: list}
		if err = errors.Join(err, o.Abandon()); err == nil {
			out.Refusals = s.refusals(ctx)
		}
		return out, err
	}
	out, again, err := s.handOver(ctx, o)
	for n := 1; again && n < heirs; n++ {
		s.log.Warn("upgrade: the new process was sent a signal before it could take it; starting one more", "err", err)
		out, again, err = s.handOver(ctx, o)
	}
	if err != nil {
		return host.Upgraded{}, s.notUpgraded(errors.Join(err, o.Abandon()), false)
	}
	out.Took = time.Since(began).Seconds()
	for _, line := range out.Lines() {
		s.log.Info("upgrade: " + line)
	}
	close(s.replaced)
	return out, nil
}

// heirs is how many processes are started for an upgrade at most.
const heirs = 3

// handOver starts a process, and hands over to it. again: it was ended by a signal that is for
// all processes of the program, before it asked for that; nothing had begun to move.
func (s *Server) handOver(ctx context.Context, o *host.Handover) (out host.Upgraded, again bool, err error) {
	h, err := s.startHeir(ctx)
	if err != nil {
		return out, false, err
	}
	s.log.Info("upgrade: the new process is started", "path", s.o.Program[0], "pid", h.cmd.Process.Pid)
	out.PID = h.cmd.Process.Pid
	if err = h.handOver(o, &out); err == nil {
		return out, false, nil
	}
	h.Withdraw()
	h.takeBack()
	again = !h.greeted && ctx.Err() == nil && handover.EndedBySignal(h.cmd.ProcessState)
	return out, again, fmt.Errorf("upgrade: %w; this process goes on%s", err, lost(out))
}

// lost says how many connections have ended with a process that has failed.
func lost(out host.Upgraded) string {
	n := 0
	for _, d := range out.Plugins {
		n += d.Moved
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", without %d connections that had moved", n)
}

// notUpgraded tells an error of an upgrade, and returns it: who sent a signal has the log alone.
func (s *Server) notUpgraded(err error, dryRun bool) error {
	if !dryRun {
		s.log.Error("upgrade failed; what ran before runs on", "err", err)
	}
	return err
}

// services are those that another process takes over, by what stands for their sockets.
func (s *Server) services() map[string]*service {
	a, m := &s.administration.service, &s.monitor.service
	return map[string]*service{adminSocket + a.at: a, monitorSocket + m.at: m}
}

// Replaced is closed when another process has taken over.
func (s *Server) Replaced() <-chan struct{} { return s.replaced }
