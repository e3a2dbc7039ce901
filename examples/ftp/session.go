package main

import (
	"bufio"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/wirehost/wirehost/examples/internal/files"
)

// session is a client's control connection, and what it has asked for.
type session struct {
	*server
	control net.Conn
	in      *bufio.Reader
	user    string
	inside  bool         // the password was right
	passive net.Listener // where the next transfer is to come; nil: nowhere
}

var errQuit = errors.New("quit")

// commands are those for who is logged in.
var commands = map[string]func(f *session, argument string) error{
	"SYST": answer(215, "UNIX Type: L8"), "TYPE": answer(200, "bytes are bytes"), "NOOP": answer(200, "nothing done"),
	"PWD": answer(257, `"/"`), "CWD": answer(250, "there is one folder"), "CDUP": answer(250, "there is one folder"),
	"STRU": answer(200, "file"), "MODE": answer(200, "stream"), "OPTS": answer(200, "as it is"),
	"PASV": (*session).pasv, "EPSV": (*session).epsv, "SIZE": (*session).size, "MDTM": (*session).time,
	"LIST": (*session).list, "NLST": (*session).names, "RETR": (*session).retrieve, "STOR": (*session).store,
	"DELE": (*session).delete,
}

func answer(code int, text string) func(*session, string) error {
	return func(f *session, _ string) error { return f.reply(code, text) }
}

func (f *session) reply(code int, text string) error {
	_, err := fmt.Fprintf(f.control, "%d %s\r\n", code, text)
	return err
}

// command takes one.
func (f *session) command() error {
	if err := f.control.SetReadDeadline(f.deadline()); err != nil {
		return err
	}
	line, err := f.in.ReadSlice('\n') // a line that is too long is an error
	if err != nil {
		return err
	}
	name, argument, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
	name = strings.ToUpper(name)
	do := commands[name]
	switch {
	case name == "QUIT":
		return errors.Join(f.reply(221, "good-bye"), errQuit)
	case name == "FEAT":
		_, err := io.WriteString(f.control, "211-Features:\r\n EPSV\r\n MDTM\r\n SIZE\r\n UTF8\r\n211 End\r\n")
		return err
	case name == "USER":
		f.user, f.inside = argument, false
		return f.reply(331, "and the password?")
	case name == "PASS":
		return f.login(argument)
	case do == nil:
		return f.reply(502, "no such command here")
	case !f.inside:
		return f.reply(530, "log in first")
	}
	return do(f, argument)
}

func (f *session) deadline() time.Time { return time.Now().Add(time.Duration(f.Timeout) * time.Second) }

func (f *session) login(password string) error {
	same := subtle.ConstantTimeCompare([]byte(f.user), []byte(f.User)) &
		subtle.ConstantTimeCompare([]byte(password), []byte(f.Password))
	if f.inside = f.User == "" || same == 1; !f.inside {
		return errors.Join(f.reply(530, "no"), errQuit) // so that trying many takes time
	}
	return f.reply(230, "come in")
}

// listen opens a listener for the next transfer, at the address that the client came to.
func (f *session) listen() (netip.AddrPort, error) {
	f.closePassive()
	host, _, err := net.SplitHostPort(f.control.LocalAddr().String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	l, err := f.net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return netip.AddrPort{}, err
	}
	f.passive = l
	return netip.ParseAddrPort(l.Addr().String())
}

func (f *session) closePassive() {
	if f.passive != nil {
		_ = f.passive.Close() // it fails where it is closed
		f.passive = nil
	}
}

func (f *session) pasv(string) error {
	at, err := f.listen()
	if err != nil || !at.Addr().Is4() {
		return f.reply(425, fmt.Sprintf("no listener: %v", err))
	}
	a, p := at.Addr().As4(), at.Port()
	return f.reply(227, fmt.Sprintf("Entering Passive Mode (%d,%d,%d,%d,%d,%d)", a[0], a[1], a[2], a[3], p>>8, p&255))
}

func (f *session) epsv(string) error {
	at, err := f.listen()
	if err != nil {
		return f.reply(425, fmt.Sprintf("no listener: %v", err))
	}
	return f.reply(229, fmt.Sprintf("Entering Extended Passive Mode (|||%d|)", at.Port()))
}

// transfer has a connection of the client's, and nobody else's, to work on.
func (f *session) transfer(work func(net.Conn) error) error {
	if f.passive == nil {
		return f.reply(425, "first PASV or EPSV")
	}
	defer f.closePassive()
	if err := f.reply(150, "here it comes"); err != nil {
		return err
	}
	l := f.passive
	late := time.AfterFunc(time.Until(f.deadline()), func() { _ = l.Close() })
	defer late.Stop()
	for {
		c, err := l.Accept()
		if err != nil {
			return f.reply(425, "nobody came")
		}
		if ip(c) != ip(f.control) { // another would take the file (RFC 2577)
			c.Close()
			continue
		}
		err = errors.Join(c.SetDeadline(f.deadline()), work(c), c.Close())
		switch {
		case errors.Is(err, files.ErrFull):
			return f.reply(452, err.Error())
		case err != nil:
			return f.reply(426, err.Error())
		}
		return f.reply(226, "done")
	}
}

func ip(c net.Conn) string {
	host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
	return host
}

func (f *session) list(string) error {
	return f.transfer(func(c net.Conn) error {
		w := bufio.NewWriter(c)
		for _, l := range f.server.store.List() {
			fmt.Fprintf(w, "-rw-r--r-- 1 ftp ftp %d %s %s\r\n", len(l.Data), l.Time.UTC().Format("Jan _2 15:04"),
				l.Name)
		}
		return w.Flush()
	})
}

func (f *session) names(string) error {
	return f.transfer(func(c net.Conn) error {
		w := bufio.NewWriter(c)
		for _, l := range f.server.store.List() {
			fmt.Fprintf(w, "%s\r\n", l.Name)
		}
		return w.Flush()
	})
}

func (f *session) retrieve(name string) error {
	file, err := f.server.store.Get(name)
	if err != nil {
		return f.reply(550, err.Error())
	}
	return f.transfer(func(c net.Conn) error {
		_, err := c.Write(file.Data)
		return err
	})
}

func (f *session) store(name string) error {
	return f.transfer(func(c net.Conn) error {
		room := max(int64(f.server.store.Room(name)), 0)
		data, err := io.ReadAll(io.LimitReader(c, room+1))
		if err == nil && int64(len(data)) > room {
			err = files.ErrFull
		}
		if err != nil {
			return err
		}
		return f.server.store.Put(name, data, time.Now())
	})
}

func (f *session) size(name string) error {
	return f.about(name, 213, func(l files.File) string { return fmt.Sprint(len(l.Data)) })
}

func (f *session) time(name string) error {
	return f.about(name, 213, func(l files.File) string { return l.Time.UTC().Format("20060102150405") })
}

func (f *session) delete(name string) error {
	if err := f.server.store.Delete(name); err != nil {
		return f.reply(550, err.Error())
	}
	return f.reply(250, "gone")
}

func (f *session) about(name string, code int, tell func(files.File) string) error {
	l, err := f.server.store.Get(name)
	if err != nil {
		return f.reply(550, err.Error())
	}
	return f.reply(code, tell(l))
}
