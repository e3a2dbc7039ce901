package operate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wirehost/wirehost/host"
	"github.com/wirehost/wirehost/internal/build"
	"github.com/wirehost/wirehost/internal/handover"
)

// What, and the endpoint, stands for sockets of the server's own, among endpoints.
const (
	adminSocket   = "administration "
	monitorSocket = "monitor "
)

// askSocket and a number stand for a socket on which that process, which has handed over
// and has connections left, can be asked.
const askSocket = "process "

// inheritance is what a process gets from the one that it takes over from. It is one
// goroutine's.
type inheritance struct {
	s       *Server
	conn    *handover.Conn
	sockets map[string][]*os.File // by endpoint: of port 0 there may be several; what is not taken is closed
	ports   []inheritedPort       // likewise
	elder   int                   // the other process's number
	files   []*os.File            // that came ahead of the next offer
	missing bool                  // some of them did not
	over    *host.Takeover        // from host.Start on
	coming  map[string]int        // hello.Expected
	wait    time.Duration         // how long the other process may say nothing
	handles map[string]host.Handles
	listens map[string][]host.GuestListener
	taken   bool     // something was
	alone   bool     // the other process has ended, or stands still
	stay    []string // sockets whose files are a service manager's
}

// inherit finds the process that this one takes over from; nil = there is none, or it has
// ended.
func (s *Server) inherit() (*inheritance, error) {
	value, there := os.LookupEnv(handoverVariable)
	if !there {
		return nil, nil
	}
	if err := os.Unsetenv(handoverVariable); err != nil { // other processes that this one starts
		return nil, err
	}
	number, process, _ := strings.Cut(value, ",")
	fd, err := strconv.Atoi(number)
	pid, pidErr := strconv.Atoi(process)
	if err = errors.Join(err, pidErr); err != nil || fd < 3 || pid < 1 {
		return nil, fmt.Errorf("%s: found %q, wanted the numbers of a descriptor and of a process: it is set by "+
			"an upgrade alone", handoverVariable, value)
	}
	in := &inheritance{s: s, elder: pid, wait: elderWait, sockets: map[string][]*os.File{}}
	if in.conn, err = handover.FromFile(os.NewFile(uintptr(fd), "handover")); err != nil {
		return nil, fmt.Errorf("%s: %w", handoverVariable, err)
	}
	var first hello
	err = in.hello(&first)
	if gone(err) { // before it said what it gave
		s.log.Warn("the process to take over from has ended; starting as any other")
		handover.CloseFiles(in.files)
		if err := handover.AwaitEnd(pid, endWait); err != nil { // it may listen still
			s.log.Warn("waiting for that process's end", "err", err)
		}
		return nil, in.conn.Close()
	}
	if err == nil && len(first.State) > 0 {
		err = s.importState(first.State)
	}
	if err != nil {
		return nil, fmt.Errorf("taking over: %w", errors.Join(err, in.conn.Close()))
	}
	s.log.Info("taking over", "from", first.PID, "version", first.Program)
	return in, nil
}

func (in *inheritance) hello(first *hello) error {
	for {
		m, err := in.receive()
		if err != nil {
			return err
		}
		in.files = append(in.files, m.Files...)
		if m.Missing > 0 {
			return fmt.Errorf("not all sockets could be taken: %w", syscall.EMFILE)
		}
		if m.Kind == saySockets {
			continue
		}
		if m.Kind != sayHello {
			return fmt.Errorf("found a message %q, wanted %q", m.Kind, sayHello)
		}
		if err := m.Decode(first); err != nil {
			return err
		}
		wanted := len(first.Endpoints)
		for _, t := range first.Ports {
			wanted += t.Sockets
		}
		if first.Format != handoverFormat || len(in.files) != wanted {
			return fmt.Errorf("process %d of version %s hands over by format %d, with %d sockets; "+
				"wanted format %d, and %d sockets", first.PID, first.Program, first.Format, len(in.files),
				handoverFormat, wanted)
		}
		for n, endpoint := range first.Endpoints {
			in.sockets[endpoint] = append(in.sockets[endpoint], in.files[n])
		}
		in.takePorts(first.Ports, in.files[len(first.Endpoints):])
		in.stay, in.coming, in.files = first.Stay, first.Expected, nil
		in.handles, in.listens = first.Handles, first.Listeners
		in.wait += time.Duration(first.Connections) * pieceWait
		return nil
	}
}

// receive waits for a message, as long as the other process may take.
func (in *inheritance) receive() (*handover.Message, error) {
	if err := in.conn.SetDeadline(time.Now().Add(in.wait)); err != nil {
		return nil, err
	}
	return in.conn.Receive()
}

// socket is what was inherited for an endpoint, or nil. It is the caller's.
func (in *inheritance) socket(endpoint string) *os.File {
	if in == nil {
		return nil
	}
	list := in.sockets[endpoint]
	if len(list) == 0 {
		return nil
	}
	if in.sockets[endpoint] = list[1:]; len(list) == 1 {
		delete(in.sockets, endpoint)
	}
	return list[0]
}

// inheritedPort is an endpoint for datagrams, with its sockets.
type inheritedPort struct {
	portSockets
	files []*os.File
}

func (in *inheritance) takePorts(ports []portSockets, files []*os.File) {
	for _, t := range ports {
		in.ports = append(in.ports, inheritedPort{t, files[:t.Sockets]})
		files = files[t.Sockets:]
	}
}

// datagrams are what was inherited for an endpoint. They are the caller's.
func (in *inheritance) datagrams(endpoint string) (bound string, files []*os.File) {
	if in == nil {
		return "", nil
	}
	at := slices.IndexFunc(in.ports, func(t inheritedPort) bool { return t.Endpoint == endpoint })
	if at < 0 {
		return "", nil
	}
	t := in.ports[at]
	in.ports = slices.Delete(in.ports, at, at+1)
	return t.Bound, t.files
}

// guests are what is known of a plugin's that may come: see host.Options.
func (in *inheritance) guests(plugin string) (last host.Handles, list []host.GuestListener) {
	if in == nil {
		return last, nil
	}
	return in.handles[plugin], in.listens[plugin]
}

// stays tells whether the file of a socket is a service manager's.
func (in *inheritance) stays(name string) bool { return in != nil && slices.Contains(in.stay, name) }

// addressTaken says what to do about an address that this process may have, and gives to no other.
const addressTaken = "is listened on already: an upgrade moves no socket of the monitor and of the administration to " +
	"another address of the same port; choose another port, or end this server and start it again"

// because says more of why this process does not start.
func (in *inheritance) because(err error) error {
	if in == nil || !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	return fmt.Errorf("taking over: %w: the address %s", err, addressTaken)
}

// takeOver is host.Options.TakeOver: it takes what comes before new connections.
func (in *inheritance) takeOver(t *host.Takeover) error {
	if in == nil {
		t.End(in.stays)
		return nil
	}
	in.over = t
	if err := in.s.predecessors.take(in); err != nil {
		return err
	}
	about := ready{Format: handoverFormat, Program: build.Read().Version}
	for endpoint, list := range in.sockets { // it left the configuration
		in.s.log.Info("an endpoint is not listened on any more", "endpoint", endpoint)
		handover.CloseFiles(list)
		about.Unwanted = append(about.Unwanted, endpoint)
	}
	for _, t := range in.ports {
		in.s.log.Info("an endpoint is not listened on any more", "endpoint", t.Endpoint)
		handover.CloseFiles(t.files)
		about.Unwanted = append(about.Unwanted, t.Endpoint)
	}
	in.sockets, in.ports = nil, nil
	var err error
	if about.Failing, err = t.Failing(); err != nil {
		return err
	}
	t.Expect(in.coming)
	if err := in.conn.Send(sayReady, about); err != nil {
		return in.orAlone(err)
	}
	return in.orAlone(in.serve(sayCommit))
}

// takeRest takes what comes after that, and ends the takeover. What the other process is told
// last comes last: it tells who asked for the upgrade, and that one may ask for the next.
func (in *inheritance) takeRest() {
	defer in.conn.Close()
	err := error(nil)
	if !in.alone {
		err = in.orAlone(in.serve(sayDone))
	}
	in.over.End(in.stays)
	for _, v := range in.s.services() {
		v.own()
	}
	if err == nil && !in.alone {
		if err = in.conn.Send(sayOver, nil); gone(err) {
			err = nil // there is nothing left to take
		}
	}
	if err != nil {
		in.s.log.Error("taking over", "err", err)
	}
}

// orAlone has the process go on alone where the other one has ended: what was offered
// is then nobody else's. It is that one's where that stands still.
func (in *inheritance) orAlone(err error) error {
	if err == nil {
		return nil
	}
	handover.CloseFiles(in.files) // of no offer: their peers would wait for nobody
	in.files = nil
	switch {
	case gone(err):
		in.s.log.Warn("the process to take over from has ended; going on alone")
		in.alone = true
		return in.over.Commit()
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return errors.Join(err, in.over.Drop())
	case !in.taken:
		return fmt.Errorf("taking over: process %d has said nothing for %v", in.elder, in.wait)
	}
	in.s.log.Warn("the process to take over from says nothing; going on without what it has left", "pid", in.elder)
	in.alone = true
	return errors.Join(in.over.Drop(), in.conn.Send(sayOver, nil))
}

// serve does what the other process says until it says last.
func (in *inheritance) serve(last string) error {
	for {
		m, err := in.receive()
		if err != nil {
			return err
		}
		in.files = append(in.files, m.Files...)
		in.missing = in.missing || m.Missing > 0
		accept := false
		switch m.Kind {
		case sayDone:
		case saySockets:
		case sayBegin:
			var handles map[string]host.Handles
			if err = m.Decode(&handles); err == nil {
				in.over.GoOn(handles)
			}
		case sayOffer:
			err = in.answer(m)
		case sayCommit:
			accept, err = in.commit(m)
		default:
			err = fmt.Errorf("found a message %q", m.Kind)
		}
		if err != nil || m.Kind == last && (accept || last == sayDone) {
			return err
		}
	}
}

// commit takes what was offered. From its word on it is this process's, whatever becomes of
// the other one, and nothing of it goes on before that.
func (in *inheritance) commit(m *handover.Message) (accept bool, err error) {
	var c commit
	if err := m.Decode(&c); err != nil {
		return false, err
	}
	if c.Owed != nil {
		in.s.predecessors.owe(c.Owed)
	}
	if err := in.conn.Send(sayTaken, nil); err != nil {
		return false, err
	}
	in.taken = true
	return c.Accept, in.over.Commit()
}

func (in *inheritance) answer(m *handover.Message) error {
	var list []host.Handed
	if err := m.Decode(&list); err != nil {
		return err
	}
	if in.missing { // which are whose can't be told
		return in.refuseAll(len(list), fmt.Sprintf("in the new process: %v", syscall.EMFILE))
	}
	came := in.files
	for n := range list {
		want := list[n].Given
		if want > len(in.files) {
			return fmt.Errorf("found %d sockets too few", want-len(in.files))
		}
		own := in.files[:want:want]
		in.files = in.files[want:]
		list[n].Sockets = func(from, to int) ([]*os.File, error) { return own[from:to], nil }
	}
	refused := in.over.Adopt(list)
	handover.CloseFiles(came) // those that it did not want
	return in.conn.Send(sayAnswer, refused)
}

// refuseAll answers an offer of which nothing can be taken.
func (in *inheritance) refuseAll(offered int, why string) error {
	handover.CloseFiles(in.files)
	in.files, in.missing = nil, false
	return in.conn.Send(sayAnswer, slices.Repeat([]string{why}, offered))
}

// close lets go of what was not taken.
func (in *inheritance) close() {
	if in == nil {
		return
	}
	for _, list := range in.sockets {
		handover.CloseFiles(list)
	}
	_ = in.conn.Close()
}

// gone tells whether a connection failed because its other end has gone: a process that is
// killed may leave half a message.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNRESET)
}
