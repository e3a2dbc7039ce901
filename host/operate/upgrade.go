package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/internal/build"
	"github.com/wirehost/wirehost/internal/handover"
)

// An upgrade of the program: the process starts the executable that now lies at its path,
// with its own arguments, and hands over what it serves (host.Handover). The new one
// must be ready before anything leaves; whatever goes wrong until the end, it is killed,
// and the old one goes on. The kinds of messages stand below.

const (
	// handoverVariable has the number of the descriptor that a successor talks by, a comma,
	// and the number of the process that hands over.
	handoverVariable = "_WIREHOST_HANDOVER"
	// handoverFormat is the number of the messages' meaning. Others are refused.
	handoverFormat = 1
	// readyWait is how long a successor may take to be ready.
	readyWait = 2 * time.Minute
	// answerWait is how long it may take to answer then.
	answerWait = 10 * time.Second
	// endWait is how long a process that is killed may take to let go of what it had.
	endWait = 10 * time.Second
)

// Kinds of messages, in their order.
const (
	sayHello   = "hello"   // to the successor: hello, with the sockets
	sayReady   = "ready"   // from it: ready
	sayBegin   = "begin"   // to it: the plugins' handles
	saySockets = "sockets" // to it, ahead of an offer: no more than one message takes
	sayOffer   = "offer"   // to it: []host.Handed
	sayAnswer  = "answer"  // from it: why it refuses each, or ""
	sayCommit  = "commit"  // to it
	sayAccept  = "accept"  // to it: it serves new connections, and administrators
	sayDone    = "done"    // to it: all has come
	sayOver    = "over"    // from it: it has all
)

// hello is what a successor is told first.
type hello struct {
	Format    int      `json:"format"`
	PID       int      `json:"pid"`
	Program   string   `json:"program"`   // its version
	Endpoints []string `json:"endpoints"` // of the sockets that come with it, as the configuration has them
	// Stay are those of them whose files no process of the program removes.
	Stay []string `json:"stay,omitempty"`
	// State is what administrators have changed: exportState. "" = the process before
	// knows of none.
	State json.RawMessage `json:"state,omitempty"`
}

// ready says that a successor can serve.
type ready struct {
	Format  int    `json:"format"`
	Program string `json:"program"`
	// Failing are the plugins that do not start in it, with the reason.
	Failing map[string]string `json:"failing,omitempty"`
}

// Upgrade hands over to the executable that now lies at the program's path, or with
// dryRun only says what would move. Then Replaced is closed, and the caller is to end
// with Shutdown, which waits for the connections that could not move. On an error the
// server goes on as if nothing had been asked. ctx ends it, as Shutdown does.
func (s *Server) Upgrade(ctx context.Context, dryRun bool) (host.Upgraded, error) {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	o, err := s.Host.BeginHandover()
	if err != nil {
		return host.Upgraded{}, s.notUpgraded(err, dryRun)
	}
	if dryRun {
		out := host.Upgraded{DryRun: true}
		err := errors.Join(move(ctx, o, nil, &out, false), move(ctx, o, nil, &out, true))
		return out, errors.Join(err, o.Abandon())
	}
	h, err := s.startHeir(ctx)
	if err != nil {
		return host.Upgraded{}, s.notUpgraded(errors.Join(err, o.Abandon()), false)
	}
	s.log.Info("upgrade: the new process is started", "path", s.o.Program[0], "pid", h.cmd.Process.Pid)
	out := host.Upgraded{PID: h.cmd.Process.Pid}
	if err := h.handOver(ctx, s, o, &out); err != nil {
		h.kill()
		for _, v := range s.services() {
			v.resume()
		}
		if h.left > 0 {
			s.log.Warn("upgrade: processes that handed over before can't be asked any more", "processes", h.left)
		}
		err = errors.Join(fmt.Errorf("upgrade: %w; this process goes on", err), o.Abandon())
		return host.Upgraded{}, s.notUpgraded(err, false)
	}
	out.Took = time.Since(began).Seconds()
	for _, line := range out.Lines() {
		s.log.Info("upgrade: " + line)
	}
	close(s.replaced)
	return out, nil
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

// move moves what o can, and notes it.
func move(ctx context.Context, o *host.Handover, to host.Successor, out *host.Upgraded, single bool) error {
	list, err := o.Move(ctx, to, single)
	out.Plugins = append(out.Plugins, list...)
	return err
}

// heir is the process that takes over: a host.Successor.
type heir struct {
	conn   *handover.Conn
	asks   *os.File // by which it asks this process later
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
	left   int           // processes that it alone asks now
}

// startHeir starts the program.
func (s *Server) startHeir(ctx context.Context) (*heir, error) {
	if len(s.o.Program) == 0 {
		return nil, errors.New("upgrade: found no Options.Program, wanted the command line of the program")
	}
	if os.Getpid() == 1 {
		return nil, errors.New("upgrade: this is process 1, whose end ends its container: start another container")
	}
	ours, theirs, err := handover.Pair()
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	defer theirs.Close()
	h := &heir{conn: ours, cmd: exec.Command(s.o.Program[0], s.o.Program[1:]...), exited: make(chan struct{})}
	h.cmd.Stdin, h.cmd.Stdout, h.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	h.cmd.ExtraFiles = []*os.File{theirs}
	h.cmd.Env = heirEnvironment(os.Environ())
	if err := h.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("upgrade: %w", err), ours.Close())
	}
	go func() {
		_ = h.cmd.Wait() // ProcessState says it
		close(h.exited)
		_ = ours.Shutdown() // what it has started may have its end of the connection
	}()
	return h, nil
}

// heirEnvironment is the environment of the process that takes over. Some variables are
// for the process alone that the service manager has started.
func heirEnvironment(env []string) []string {
	own := []string{"LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "WATCHDOG_PID=", handoverVariable + "="}
	kept := []string{handoverVariable + "=3," + strconv.Itoa(os.Getpid())}
	for _, v := range env {
		mine := false
		for _, prefix := range own {
			mine = mine || strings.HasPrefix(v, prefix)
		}
		if !mine {
			kept = append(kept, v)
		}
	}
	return kept
}

// kill ends the process, and waits for that: what it has of sockets is ours again.
func (h *heir) kill() {
	_ = h.cmd.Process.Kill() // it may have ended
	<-h.exited
	_ = h.conn.Close()
	if h.asks != nil {
		_ = h.asks.Close()
	}
}

// handOver hands everything over. On an error the process is to be killed.
func (h *heir) handOver(ctx context.Context, s *Server, o *host.Handover, out *host.Upgraded) error {
	defer context.AfterFunc(ctx, func() { _ = h.conn.SetDeadline(time.Unix(1, 0)) })()
	if err := h.greet(s, o, out); err != nil {
		return h.because(ctx, err)
	}
	if err := h.moveAll(ctx, s, o, out); err != nil {
		return h.because(ctx, err)
	}
	if err := s.administration.answerOne(h.asks); err != nil {
		s.log.Warn("upgrade: the new process can't ask this one", "err", err)
	}
	s.drain = o.Drain()
	s.notify("MAINPID="+strconv.Itoa(h.cmd.Process.Pid), daemon.SdNotifyReady)
	s.keep.release()
	if err := o.Finish(); err != nil {
		s.log.Warn("upgrade: letting go of the listeners", "err", err)
	}
	return nil
}

// because is why the process has failed: its end, where it has ended.
func (h *heir) because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the new process gave no answer")
	}
	select {
	case <-h.exited:
		return fmt.Errorf("the new process ended (%v); its log says why", h.cmd.ProcessState)
	case <-time.After(time.Second):
		return err
	}
}

// greet sends the sockets, and waits until the process is ready.
func (h *heir) greet(s *Server, o *host.Handover, out *host.Upgraded) error {
	sockets, err := o.ListenerFiles()
	if err != nil {
		return err
	}
	program := build.Read().Version
	state, err := s.exportState()
	if err != nil {
		return err
	}
	first := hello{State: state, Stay: s.activated.listed(), Format: handoverFormat, PID: os.Getpid(), Program: program}
	var files []*os.File
	for _, l := range sockets {
		defer l.File.Close() // a duplicate
		first.Endpoints = append(first.Endpoints, l.Endpoint)
		files = append(files, l.File)
	}
	for name, v := range s.services() {
		file, err := v.file()
		if err != nil {
			return err
		}
		if file != nil {
			defer file.Close() // a duplicate
			first.Endpoints = append(first.Endpoints, name)
			files = append(files, file)
		}
	}
	ours, theirs, err := handover.Sockets()
	if err != nil {
		return err
	}
	defer theirs.Close()
	h.asks = ours
	first.Endpoints = append(first.Endpoints, askSocket+strconv.Itoa(os.Getpid()))
	files = append(files, theirs)
	for _, p := range s.predecessors.list() {
		first.Endpoints = append(first.Endpoints, askSocket+strconv.Itoa(p.pid))
		files = append(files, p.file)
	}
	if err := h.conn.SetDeadline(time.Now().Add(readyWait)); err != nil {
		return err
	}
	if err := h.sendFiles(files); err != nil {
		return err
	}
	if err := h.conn.Send(sayHello, first); err != nil {
		return err
	}
	var answer ready
	if err := h.receive(sayReady, &answer); err != nil {
		return err
	}
	out.Program = answer.Program
	if answer.Format != handoverFormat || major(answer.Program) != major(program) {
		return fmt.Errorf("found a program of version %s, which hands over by format %d, wanted one of %s's major "+
			"version "+
			"and format %d", answer.Program, answer.Format, program, handoverFormat)
	}
	return worse(o, answer.Failing)
}

// worse refuses a process in which a plugin does not start that runs in this one, such as one
// whose module was replaced by a bad one that was refused here.
func worse(o *host.Handover, there map[string]string) error {
	here, err := o.Failing()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if _, too := here[name]; !too {
			errs = append(errs, fmt.Errorf("the new process does not start what runs here: %s", there[name]))
		}
	}
	return errors.Join(errs...)
}

// major is the major version of a program's: v1 of v1.2.3, and "" of what has none.
func major(version string) string {
	v, _, found := strings.Cut(version, ".")
	if !found {
		return ""
	}
	return v
}

// moveAll moves what can move. New connections are the process's before those that have
// an instance each have moved, which may be many.
func (h *heir) moveAll(ctx context.Context, s *Server, o *host.Handover, out *host.Upgraded) error {
	if err := o.StopAccepting(); err != nil {
		return err
	}
	if err := h.send(sayBegin, o.Handles()); err != nil {
		return err
	}
	if err := move(ctx, o, h, out, false); err != nil {
		return err
	}
	for _, v := range s.services() {
		v.leave()
	}
	h.left = s.predecessors.close() // two would read each other's answers
	if err := h.send(sayAccept, nil); err != nil {
		return err
	}
	if err := move(ctx, o, h, out, true); err != nil {
		return err
	}
	if err := h.send(sayDone, nil); err != nil {
		return err
	}
	return h.receive(sayOver, nil)
}

func (h *heir) send(kind string, body any) error {
	if err := h.conn.SetDeadline(time.Now().Add(answerWait)); err != nil {
		return err
	}
	return h.conn.Send(kind, body)
}

func (h *heir) sendFiles(files []*os.File) error {
	for len(files) > 0 {
		n := min(len(files), handover.MaxFiles)
		if err := h.conn.Send(saySockets, nil, files[:n]...); err != nil {
			return err
		}
		files = files[n:]
	}
	return nil
}

func (h *heir) receive(kind string, to any) error {
	m, err := h.conn.Receive()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the new process has closed the connection to this one")
		}
		return err
	}
	m.CloseFiles()
	if m.Kind != kind {
		return fmt.Errorf("found a message %q, wanted %q", m.Kind, kind)
	}
	if to == nil {
		return nil
	}
	return m.Decode(to)
}

// Offer has the process prepare to take instances.
func (h *heir) Offer(list []host.Handed) (refused []string, err error) {
	if err := h.conn.SetDeadline(time.Now().Add(answerWait)); err != nil {
		return nil, err
	}
	for _, one := range list {
		if err := h.sendFiles(one.Sockets); err != nil {
			return nil, err
		}
	}
	if err := h.send(sayOffer, list); err != nil {
		return nil, err
	}
	if err := h.receive(sayAnswer, &refused); err != nil {
		return nil, err
	}
	if len(refused) != len(list) {
		return nil, fmt.Errorf("found %d answers for %d instances", len(refused), len(list))
	}
	return refused, nil
}

// Commit has the process take what it did not refuse.
func (h *heir) Commit() error { return h.send(sayCommit, nil) }
