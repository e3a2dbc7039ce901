// Package same has servers that run natively and, behind wirenet, in a guest: what
// they are compared by is then the guest alone.
package same

import (
	"crypto/ed25519"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"

	"github.com/emersion/go-smtp"
	"golang.org/x/crypto/ssh"
)

// Server is one of the servers, by its name.
func Server(name string) (serve func(net.Listener) error, err error) {
	switch name {
	case "http":
		mux := http.NewServeMux()
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "hello %s\n", r.RemoteAddr)
		})
		return (&http.Server{Handler: mux}).Serve, nil
	case "smtp":
		s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return mail{}, nil }))
		return s.Serve, nil
	case "ssh":
		c := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			return nil, nil
		}}
		c.AddHostKey(Key())
		return func(ln net.Listener) error {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return err
				}
				go serveSSH(conn, c)
			}
		}, nil
	}
	return nil, fmt.Errorf("found the server %q, wanted http, smtp or ssh", name)
}

// Key is the SSH server's, and its client's: everybody's.
func Key() ssh.Signer {
	key, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		panic(err) // never: it is a key
	}
	return key
}

// serveSSH lets every key in. What comes into a command comes out again.
func serveSSH(c net.Conn, config *ssh.ServerConfig) {
	defer c.Close()
	_, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for one := range channels {
		channel, requests, err := one.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				if r.Type == "exec" {
					go cat(channel)
				}
				_ = r.Reply(r.Type == "exec", nil) // the client's end is told by Read
			}
		}()
	}
}

func cat(c ssh.Channel) {
	if _, err := io.Copy(c, c); err == nil {
		_, _ = c.SendRequest("exit-status", false, make([]byte, 4)) // the client's loss
	}
	_ = c.Close()
}

// mail takes every mail, and answers with its checksum.
type mail struct{}

func (mail) Mail(string, *smtp.MailOptions) error { return nil }
func (mail) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (mail) Reset()                               {}
func (mail) Logout() error                        { return nil }

func (mail) Data(r io.Reader) error {
	sum := crc32.NewIEEE()
	if _, err := io.Copy(sum, r); err != nil {
		return err
	}
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: fmt.Sprint(sum.Sum32())}
}
