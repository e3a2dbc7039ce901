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
	files   []*os.File            // that came ahead of the next offer
	missing bool                  // some of them did not
	over    *host.Takeover        // from host.Start on
	alone   bool                  // the other process has ended
	stay    []string              // sockets whose files are a service manager's
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
	in := &inheritance{s: s, sockets: map[string][]*os.File{}}
	if in.conn, err = handover.FromFile(os.NewFile(uintptr(fd), "handover")); err != nil {
		return nil, fmt.Errorf("%s: %w", handoverVariable, err)
	}
	var first hello
	err = in.hello(&first)
	if gone(err) { // before it said what it gave
		s.log.Warn("the process to take over from has ended; starting as any other")
		closeAll(in.files)
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
		m, err := in.conn.Receive()
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
		if first.Format != handoverFormat || len(in.files) != len(first.Endpoints) {
			return fmt.Errorf("process %d of version %s hands over by format %d, with %d sockets for %d endpoints; "+
				"wanted format %d", first.PID, first.Program, first.Format, len(in.files), len(first.Endpoints),
				handoverFormat)
		}
		for n, endpoint := range first.Endpoints {
			in.sockets[endpoint] = append(in.sockets[endpoint], in.files[n])
		}
		in.stay = first.Stay
		in.files = nil
		return nil
	}
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

// stays tells whether the file of a socket is a service manager's.
func (in *inheritance) stays(name string) bool { return in != nil && slices.Contains(in.stay, name) }

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
	for endpoint, list := range in.sockets { // it left the configuration
		in.s.log.Info("an endpoint is not listened on any more", "endpoint", endpoint)
		closeAll(list)
	}
	failing, err := t.Failing()
	if err != nil {
		return err
	}
	if err := in.conn.Send(sayReady, ready{handoverFormat, build.Read().Version, failing}); err != nil {
		return in.orAlone(err)
	}
	return in.orAlone(in.serve(sayAccept))
}

// takeRest takes what comes after that, and ends the takeover.
func (in *inheritance) takeRest() {
	defer in.over.End(in.stays)
	defer in.conn.Close()
	err := error(nil)
	if !in.alone {
		err = in.serve(sayDone)
	}
	if err == nil && !in.alone {
		err = in.conn.Send(sayOver, nil)
	}
	if err = in.orAlone(err); err != nil {
		in.s.log.Error("taking over", "err", err)
	}
}

// orAlone has the process go on alone where the other one has ended: what was offered
// last is then nobody else's.
func (in *inheritance) orAlone(err error) error {
	if err == nil {
		return nil
	}
	in.alone = true
	if !gone(err) {
		return errors.Join(err, in.over.Drop())
	}
	in.s.log.Warn("the process to take over from has ended; going on alone")
	return in.over.Commit()
}

// serve does what the other process says until it says last.
func (in *inheritance) serve(last string) error {
	for {
		m, err := in.conn.Receive()
		if err != nil {
			return err
		}
		in.files = append(in.files, m.Files...)
		in.missing = in.missing || m.Missing > 0
		switch m.Kind {
		case last:
			return nil
		case saySockets:
		case sayBegin:
			var handles map[string]host.Handles
			if err = m.Decode(&handles); err == nil {
				in.over.GoOn(handles)
			}
		case sayOffer:
			err = in.answer(m)
		case sayCommit:
			err = in.over.Commit()
		default:
			err = fmt.Errorf("found a message %q", m.Kind)
		}
		if err != nil {
			return err
		}
	}
}

func (in *inheritance) answer(m *handover.Message) error {
	var list []host.Handed
	if err := m.Decode(&list); err != nil {
		return err
	}
	if err := in.over.Drop(); err != nil { // the last offer was not committed
		return err
	}
	if in.missing { // which are whose can't be told
		return in.refuseAll(len(list), fmt.Sprintf("in the new process: %v", syscall.EMFILE))
	}
	for n := range list {
		want := len(list[n].State.Connections)
		if want > len(in.files) {
			return fmt.Errorf("found %d sockets too few", want-len(in.files))
		}
		list[n].Sockets, in.files = in.files[:want:want], in.files[want:]
	}
	return in.conn.Send(sayAnswer, in.over.Adopt(list))
}

// refuseAll answers an offer of which nothing can be taken.
func (in *inheritance) refuseAll(offered int, why string) error {
	closeAll(in.files)
	in.files, in.missing = nil, false
	return in.conn.Send(sayAnswer, slices.Repeat([]string{why}, offered))
}

// close lets go of what was not taken.
func (in *inheritance) close() {
	if in == nil {
		return
	}
	for _, list := range in.sockets {
		closeAll(list)
	}
	_ = in.conn.Close()
}

// closeAll closes files that another process has as well.
func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // a duplicate
	}
}

// gone tells whether a connection failed because its other end has gone: a process that is
// killed may leave half a message.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNRESET)
}
