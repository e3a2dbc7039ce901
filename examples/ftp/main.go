// Command ftp is a server of FTP (RFC 959, 2428, 3659) in passive mode, as a plugin: it
// keeps the files in memory, and listens for each transfer.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/wirehost/wirehost/examples/internal/files"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/wirenet"
)

// server has the files. Its exported fields are the plugin's config section.
type server struct {
	files.Store
	User     string `json:"user"`     // "" lets everybody in
	Password string `json:"password"` //
	Timeout  int    `json:"timeout"`  // seconds for a command, and for a transfer to begin and to end
	net      *wirenet.Server
}

func init() {
	s := &server{Store: files.Store{Limit: 16 << 20}, Timeout: 300}
	s.net = wirenet.ServeConn(s.serve, wirenet.Options{Name: "ftp", Start: func(r *wirehost.Reactor) error {
		return errors.Join(r.Config(s), s.Fill())
	}})
	wirehost.Register(s.net)
}

func main() {}

// answers are those that never change.
var answers = map[string]string{
	"FEAT": "211-Features:\r\n EPSV\r\n MDTM\r\n SIZE\r\n UTF8\r\n211 End", "SYST": "215 UNIX Type: L8",
	"CWD": "250 there is one folder", "CDUP": "250 there is one folder", "PWD": `257 "/"`, "NOOP": "200 nothing done",
	"TYPE": "200 bytes are bytes", "STRU": "200 file", "MODE": "200 stream", "OPTS": "200 as it is",
}

// session is a client's, and what it has asked for.
type session struct {
	*server
	net.Conn // the control connection
	user     string
	inside   bool         // the password was right
	passive  net.Listener // where the next transfer is to come; nil: nowhere
}

// serve is one control connection. A line that is too long ends it.
func (s *server) serve(c net.Conn) {
	f := &session{server: s, Conn: c}
	defer f.closePassive()
	in := bufio.NewScanner(c)
	in.Buffer(make([]byte, 1<<10), 1<<10)
	for err := f.reply("220 wirehost"); err == nil && c.SetReadDeadline(f.late()) == nil && in.Scan(); {
		name, argument, _ := strings.Cut(in.Text(), " ")
		err = f.command(strings.ToUpper(name), argument)
	}
}

func (f *session) late() time.Time {
	return time.Now().Add(time.Duration(max(f.Timeout, 1)) * time.Second)
}

func (f *session) reply(format string, args ...any) error {
	_, err := fmt.Fprintf(f, format+"\r\n", args...)
	return err
}

// command takes one. An error ends the session.
func (f *session) command(name, argument string) error {
	file, missing := f.Get(argument)
	switch {
	case answers[name] != "":
		return f.reply(answers[name])
	case name == "QUIT":
		return errors.Join(f.reply("221 good-bye"), io.EOF)
	case name == "USER":
		f.user, f.inside = argument, false
		return f.reply("331 and the password?")
	case name == "PASS":
		if f.inside = f.User == "" || same(f.user, f.User)&same(argument, f.Password) == 1; f.inside {
			return f.reply("230 come in")
		}
		return errors.Join(f.reply("530 no"), io.EOF) // so that trying many takes time
	case !f.inside:
		return f.reply("530 log in first")
	case name == "PASV", name == "EPSV":
		return f.listen(name == "EPSV")
	case name == "LIST", name == "NLST":
		var b bytes.Buffer
		for _, l := range f.List() {
			b.WriteString(map[string]string{"LIST": l.String(), "NLST": l.Name}[name] + "\r\n")
		}
		return f.transfer(func(c net.Conn) error { return send(c, b.Bytes()) })
	case name == "STOR":
		return f.transfer(func(c net.Conn) error { return f.Take(argument, c) })
	case !slices.Contains([]string{"RETR", "SIZE", "MDTM", "DELE"}, name):
		return f.reply("502 no such command here")
	case missing != nil:
		return f.reply("550 %v", missing)
	case name == "SIZE":
		return f.reply("213 %d", len(file.Data))
	case name == "MDTM":
		return f.reply("213 %s", file.Time.UTC().Format("20060102150405"))
	case name == "DELE":
		_ = f.Delete(argument) // where it fails it is gone
		return f.reply("250 gone")
	}
	return f.transfer(func(c net.Conn) error { return send(c, file.Data) })
}

func send(c net.Conn, data []byte) error {
	_, err := c.Write(data)
	return err
}

func same(a, b string) int { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) }
func ip(c net.Conn) net.IP { return c.RemoteAddr().(*net.TCPAddr).IP }

// listen opens a listener for the next transfer, at the address that the client came to.
func (f *session) listen(extended bool) error {
	f.closePassive()
	host, _, _ := net.SplitHostPort(f.LocalAddr().String())
	l, err := f.net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return f.reply("425 no listener: %v", err)
	}
	f.passive = l
	at := l.Addr().(*net.TCPAddr)
	if extended {
		return f.reply("229 Entering Extended Passive Mode (|||%d|)", at.Port)
	}
	ip := strings.ReplaceAll(at.IP.String(), ".", ",") // no client takes one of IPv6
	return f.reply("227 Entering Passive Mode (%s,%d,%d)", ip, at.Port>>8, at.Port&255)
}

func (f *session) closePassive() {
	if f.passive != nil {
		f.passive.Close()
		f.passive = nil
	}
}

// transfer has a connection of the client's, and nobody else's (RFC 2577), to work on.
func (f *session) transfer(work func(net.Conn) error) error {
	l := f.passive
	if l == nil {
		return f.reply("425 first PASV or EPSV")
	}
	defer f.closePassive()
	defer time.AfterFunc(time.Until(f.late()), func() { l.Close() }).Stop()
	if err := f.reply("150 here it comes"); err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return f.reply("425 nobody came")
		} else if !ip(c).Equal(ip(f)) {
			c.Close()
			continue
		}
		if err = cmp.Or(c.SetDeadline(f.late()), work(c), c.Close()); err == nil {
			return f.reply("226 done")
		}
		return f.reply("%d %v", map[bool]int{true: 452, false: 426}[errors.Is(err, files.ErrFull)], err)
	}
}
