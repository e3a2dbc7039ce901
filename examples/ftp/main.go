// Command ftp is a server of FTP (RFC 959, 2428, 3659) in passive mode, as a plugin: it
// keeps the files in memory, and listens for each transfer.
package main

import (
	"bufio"
	"fmt"
	"net"
	"time"

	"github.com/wirehost/wirehost/examples/internal/files"
	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/wirenet"
)

// settings are the plugin's config section.
type settings struct {
	User      string            `json:"user"`       // "" lets everybody in
	Password  string            `json:"password"`   //
	Files     map[string]string `json:"files"`      // that are there at the start: text by name
	MaxMemory int               `json:"max_memory"` // bytes of all files
	Timeout   int               `json:"timeout"`    // seconds for a command, and for a transfer to begin
}

// server has what its sessions share.
type server struct {
	settings
	net   *wirenet.Server
	store files.Store
}

func init() {
	s := new(server)
	s.net = wirenet.ServeConn(s.serve, wirenet.Options{Name: "ftp", Start: s.start})
	wirehost.Register(s.net)
}

func main() {}

// start reads the configuration.
func (s *server) start(r *wirehost.Reactor) error {
	s.settings = settings{MaxMemory: 16 << 20, Timeout: 300}
	if err := r.Config(&s.settings); err != nil {
		return err
	}
	if s.Timeout < 1 {
		return fmt.Errorf("config.timeout: found %d, wanted 1 second at least", s.Timeout)
	}
	s.store.Limit = s.MaxMemory
	for name, text := range s.Files {
		if err := s.store.Put(name, []byte(text), time.Now()); err != nil {
			return fmt.Errorf("config.files: %s: %w", name, err)
		}
	}
	return nil
}

// serve is one control connection.
func (s *server) serve(c net.Conn) {
	f := &session{server: s, control: c, in: bufio.NewReaderSize(c, 1<<10)}
	defer f.closePassive()
	for err := f.reply(220, "wirehost"); err == nil; {
		err = f.command()
	}
}
