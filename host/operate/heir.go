package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/internal/build"
	"github.com/wirehost/wirehost/internal/handover"
)

// heir is the process that takes over: a host.Successor.
type heir struct {
	s        *Server
	ctx      context.Context
	conn     *handover.Conn
	asks     *os.File // by which it asks this process later
	cmd      *exec.Cmd
	exited   chan struct{} // closed when it has ended
	unwanted []string      // endpoints that it does not listen on
	greeted  bool          // it was ready
	lent     bool          // what only one process can have is its own
	accepts  bool          // it was told so, and has heard it
	wentOn   bool          // without this process

	// What it may take beside answerWait: for what it was offered since the last commit, and what
	// was committed then, which it does before it reads what comes next.
	offered, committed time.Duration
	now                func() time.Time

	mu     sync.Mutex
	killed bool
}

// errWentOn says that the new process has not waited for this one.
var errWentOn = errors.New("the new process has gone on without this one, which said nothing for too long")

// startHeir starts the program.
func (s *Server) startHeir(ctx context.Context) (*heir, error) {
	if err := s.upgradable(); err != nil {
		return nil, err
	}
	ours, theirs, err := handover.Pair()
	if err != nil {
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	defer theirs.Close()
	h := &heir{s: s, ctx: ctx, conn: ours, cmd: exec.Command(s.o.Program[0], s.o.Program[1:]...),
		exited: make(chan struct{}), now: time.Now}
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
	own := []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", handoverVariable}
	kept := slices.DeleteFunc(env, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(own, name)
	})
	return append(kept, handoverVariable+"=3,"+strconv.Itoa(os.Getpid()))
}

// Withdraw ends the process, and waits for that: what it has of sockets is ours again. One
// that has gone on without this one keeps what it has.
func (h *heir) Withdraw() {
	if h.wentOn {
		return
	}
	h.mu.Lock()
	h.killed = true
	_ = h.conn.SetDeadline(time.Time{})
	h.mu.Unlock()
	_ = h.cmd.Process.Kill() // it may have ended
	<-h.exited
}

// hurry ends what is waited for.
func (h *heir) hurry() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.killed {
		_ = h.conn.SetDeadline(time.Unix(1, 0))
	}
}

// within bounds how long what follows may take.
func (h *heir) within(d time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := context.Cause(h.ctx); err != nil {
		return err
	}
	return h.conn.SetDeadline(h.now().Add(d))
}

// close lets go of what this process has of the connection.
func (h *heir) close() {
	_ = h.conn.Close() // all was said
	if h.asks != nil {
		_ = h.asks.Close()
	}
}

// lend leaves to the process what only one can have, and tells what processes to be asked owe.
func (h *heir) lend() (owed map[string]int) {
	if h.lent {
		return nil
	}
	h.lent = true
	h.s.keep.lend(true)
	for _, v := range h.s.services() {
		v.leave()
	}
	return h.s.predecessors.lend() // two would read each other's answers
}

// takeBack has this process serve as before, where the other one has ended.
func (h *heir) takeBack() {
	h.close()
	h.s.keep.takeBack()
	if !h.lent {
		return
	}
	for _, v := range h.s.services() {
		v.resume()
	}
	if n := h.s.predecessors.takeBack(h.accepts); n > 0 {
		h.s.log.Warn("upgrade: processes that handed over before can't be asked any more", "processes", n)
	}
}

// handOver hands everything over. On an error the process is to be ended.
func (h *heir) handOver(o *host.Handover, out *host.Upgraded) error {
	s := h.s
	defer context.AfterFunc(h.ctx, h.hurry)()
	if err := h.greet(o, out); err != nil {
		return h.because(err)
	}
	h.greeted = true
	err := h.moveAll(o, out)
	switch {
	case h.wentOn:
		s.log.Warn("upgrade: what has not moved stays until it ends", "err", err)
		h.lend()
	case err != nil:
		return h.because(err)
	}
	if err := s.administration.answerOne(h.asks); err != nil {
		s.log.Warn("upgrade: the new process can't ask this one", "err", err)
	}
	h.asks = nil // it is the answering's
	h.close()
	s.predecessors.close()
	s.drain = o.Drain()
	s.notify("MAINPID="+strconv.Itoa(h.cmd.Process.Pid), daemon.SdNotifyReady)
	s.keep.release()
	for name, v := range s.services() {
		if slices.Contains(h.unwanted, name) {
			v.remove()
		}
	}
	if err := o.Finish(); err != nil {
		s.log.Warn("upgrade: letting go of the listeners", "err", err)
	}
	return nil
}

// because is why the process has failed: its end, where it has ended by itself.
func (h *heir) because(err error) error {
	if cause := context.Cause(h.ctx); cause != nil {
		return cause
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the new process gave no answer")
	}
	if h.killed {
		return err
	}
	select {
	case <-h.exited:
		return fmt.Errorf("the new process ended (%v); its log says why", h.cmd.ProcessState)
	case <-time.After(time.Second):
		return err
	}
}

// sockets are what the process is given to listen on, and to ask others by, with what it is
// told of them. The files are to be closed, on an error too.
func (h *heir) sockets(o *host.Handover) (about hello, files []*os.File, err error) {
	s := h.s
	add := func(name string, f *os.File) {
		about.Endpoints = append(about.Endpoints, name)
		files = append(files, f)
	}
	list, err := o.ListenerFiles()
	for _, l := range list {
		add(l.Endpoint, l.File)
	}
	if err != nil {
		return about, files, err
	}
	for name, v := range s.services() {
		f, err := v.file()
		if err != nil {
			return about, files, err
		}
		if f != nil {
			add(name, f)
		}
	}
	ours, theirs, err := handover.Sockets()
	if err != nil {
		return about, files, err
	}
	h.asks = ours
	add(askSocket+strconv.Itoa(os.Getpid()), theirs)
	for _, p := range s.predecessors.list() {
		f, err := p.conn.File()
		if err != nil {
			return about, files, err
		}
		add(askSocket+strconv.Itoa(p.pid), f)
	}
	files, err = about.addPorts(o, files)
	return about, files, err
}

// greet sends the sockets, and waits until the process is ready.
func (h *heir) greet(o *host.Handover, out *host.Upgraded) error {
	first, files, err := h.sockets(o)
	defer func() { handover.CloseFiles(files) }()
	if err != nil {
		return err
	}
	first.Format, first.PID, first.Program = handoverFormat, os.Getpid(), build.Read().Version
	first.Stay = h.s.activated.listed()
	h.s.keep.lend(false)
	if first.State, err = h.s.exportState(); err != nil {
		return err
	}
	if first.Expected, err = o.Expected(); err != nil {
		return err
	}
	first.Handles, first.Listeners = o.Handles(), o.GuestListeners()
	first.Connections = o.Connections()
	if err := h.within(readyWait); err != nil {
		return err
	}
	for len(files) > 0 {
		n := min(len(files), handover.MaxFiles)
		if err := h.conn.Send(saySockets, nil, files[:n]...); err != nil {
			return err
		}
		handover.CloseFiles(files[:n])
		files = files[n:]
	}
	if err := h.conn.Send(sayHello, first); err != nil {
		return err
	}
	var answer ready
	if err := h.receive(sayReady, &answer); err != nil {
		return err
	}
	h.s.log.Info("upgrade: the new process is ready", "pid", h.cmd.Process.Pid, "version", answer.Program)
	out.Program, h.unwanted = answer.Program, answer.Unwanted
	return fits(o, first.Program, answer)
}

// fits tells why a process can't take over, or nil.
func fits(o *host.Handover, program string, answer ready) error {
	if answer.Format != handoverFormat || major(answer.Program) != major(program) {
		return fmt.Errorf("found a program of version %s, which hands over by format %d, "+
			"wanted one of %s's major version and format %d", answer.Program, answer.Format, program, handoverFormat)
	}
	return worse(o, answer.Failing)
}

// worse refuses a process in which a plugin does not start that runs in this one, such as one
// whose module was replaced by a bad one that was refused here, or a certificate is not loaded.
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

// moveAll moves what can move.
func (h *heir) moveAll(o *host.Handover, out *host.Upgraded) (err error) {
	if err := o.StopAccepting(h.unwanted); err != nil {
		return err
	}
	if err := h.send(sayBegin, o.Handles()); err != nil {
		return err
	}
	if out.Plugins, err = o.Move(h.ctx, h); err != nil {
		return err
	}
	if err := h.send(sayDone, nil); err != nil {
		return err
	}
	return h.receive(sayOver, nil)
}

func (h *heir) send(kind string, body any, files ...*os.File) error {
	err := h.within(answerWait + h.offered + h.committed)
	if err == nil {
		err = h.conn.Send(kind, body, files...)
	}
	if gone(err) { // it may have said why
		err = errors.Join(err, h.receive("", nil))
	}
	return err
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
	switch {
	case m.Kind == sayOver && kind != sayOver:
		h.wentOn = true
		return errWentOn
	case m.Kind != kind:
		return fmt.Errorf("found a message %q, wanted %q", m.Kind, kind)
	case to == nil:
		return nil
	}
	return m.Decode(to)
}

// Offer has the process prepare to take instances.
func (h *heir) Offer(list []host.Handed) (refused []string, err error) {
	failed, err := h.give(list)
	if err != nil {
		return nil, err
	}
	h.offered += effort(list)
	if err := h.send(sayOffer, list); err != nil {
		return nil, err
	}
	if err := h.receive(sayAnswer, &refused); err != nil {
		return nil, err
	}
	h.committed = 0
	if len(refused) != len(list) {
		return nil, fmt.Errorf("found %d answers for %d instances", len(refused), len(list))
	}
	for n, err := range failed {
		if err != nil {
			refused[n] = err.Error()
		}
	}
	return refused, nil
}

// pieceSockets is how many sockets go in a message: 32 descriptors are kept from connections,
// and no more may be free for duplicates.
const pieceSockets = 16

// give sends instances' sockets, and notes how many of each have gone. Where one can't be
// duplicated, failed says why.
func (h *heir) give(list []host.Handed) (failed []error, err error) {
	failed = make([]error, len(list))
	var piece []*os.File
	flush := func() (err error) {
		if len(piece) > 0 {
			err = h.send(saySockets, nil, piece...)
		}
		handover.CloseFiles(piece)
		piece = nil
		return err
	}
	for n := range list {
		u := &list[n]
		u.Given = 0
		for want := u.State.Files(); u.Given < want; {
			files, err := u.Sockets(u.Given, min(want, u.Given+pieceSockets-len(piece)))
			piece = append(piece, files...)
			u.Given += len(files)
			if err != nil && len(piece) == 0 {
				failed[n] = err
				break
			}
			if err == nil && len(piece) < pieceSockets {
				continue
			}
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	return failed, flush()
}

// Commit has the process take what it did not refuse. That is its own once it has said so,
// which it does before any of it goes on: what it has said is read also where it has ended.
func (h *heir) Commit(accept bool) (taken bool, err error) {
	c := commit{Accept: accept}
	if accept {
		c.Owed = h.lend()
	}
	if err = h.send(sayCommit, c); err == nil {
		err = h.receive(sayTaken, nil)
	}
	taken = err == nil
	if err != nil && !h.wentOn {
		err = h.because(err)
		h.Withdraw()
		taken = h.receive(sayTaken, nil) == nil
	}
	h.offered, h.committed = 0, h.offered
	h.accepts = h.accepts || accept && taken
	return taken, err
}
