package memnet

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/wirehost/wirehost/reactor"
)

// ticketText is what stands in the file that File gives.
const ticketText = "memnet socket %d\n"

// File is a file with a ticket for Open, which holds as long as fd's socket is open: it
// is no descriptor of it. So a socket can be passed as a real one is, between two
// reactors over one Sys.
func (s *Sys) File(fd reactor.FD) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.socket(fd, "duplicate")
	if sock == nil {
		return nil, syscall.EBADF
	}
	if sock.number == 0 {
		s.serial++
		sock.number = s.serial
		s.tickets[sock.number] = sock.socket
	}
	f, err := os.CreateTemp("", "memnet")
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(f, ticketText, sock.number)
	if err = errors.Join(err, os.Remove(f.Name())); err != nil { // nobody else needs the name
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Open gives the socket of File another descriptor.
func (s *Sys) Open(f *os.File, listening bool) (reactor.FD, error) {
	text := make([]byte, 64)
	n, _ := f.ReadAt(text, 0) // what is missing the next line misses
	var number int
	if _, err := fmt.Sscanf(string(text[:n]), ticketText, &number); err != nil {
		return 0, fmt.Errorf("found no ticket for a socket in %s: %w", f.Name(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sock := s.tickets[number]
	switch {
	case sock == nil:
		return 0, syscall.EBADF
	case sock.listening != listening:
		return 0, fmt.Errorf("found a socket of which it is %t that it listens, wanted %t", sock.listening, listening)
	case s.o.MaxFDs > 0 && s.open >= s.o.MaxFDs:
		return 0, syscall.EMFILE
	}
	return s.giveFD(sock), nil
}

// RemoveAtClose does nothing: there are no files.
func (s *Sys) RemoveAtClose(reactor.FD, bool) {}
