// Command ssh is an SSH server of golang.org/x/crypto/ssh, as a plugin: a small
// shell, for those whose public key the configuration names.
package main

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/wirenet"
)

// settings are the plugin's config section.
type settings struct {
	HostKey    string `json:"host_key"`   // as ssh-keygen writes it; "": a new one at each start
	Authorized string `json:"authorized"` // lines as in authorized_keys
}

// server is the SSH server.
type server struct {
	config     *ssh.ServerConfig
	authorized [][]byte // public keys in SSH's wire form
	reactor    *wirehost.Reactor
	started    time.Time
}

func init() {
	warmUp()
	s := new(server)
	wirehost.Register(wirenet.ServeConn(s.serve, wirenet.Options{Name: "ssh", Start: s.start}))
}

func main() {}

// warmUp has ed25519 make the tables that it makes at its first use. What init has
// computed is in the image that instances are made of: with `isolation: connection`
// the tables would else be half of a login.
func warmUp() {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public, _ := key.Public().(ed25519.PublicKey) // it is one
	_ = ed25519.Verify(public, nil, ed25519.Sign(key, nil))
}

// start reads the configuration.
func (s *server) start(r *wirehost.Reactor) error {
	var c settings
	if err := r.Config(&c); err != nil {
		return err
	}
	key, err := hostKey(c.HostKey)
	if err != nil {
		return fmt.Errorf("host_key: %w", err)
	}
	for rest := []byte(strings.TrimSpace(c.Authorized)); len(rest) > 0; {
		var public ssh.PublicKey
		if public, _, _, rest, err = ssh.ParseAuthorizedKey(rest); err != nil {
			return fmt.Errorf("authorized, behind %d keys: %w", len(s.authorized), err)
		}
		s.authorized = append(s.authorized, public.Marshal())
	}
	s.config = &ssh.ServerConfig{PublicKeyCallback: s.check}
	s.config.AddHostKey(key)
	s.reactor, s.started = r, time.Now()
	return r.Log(wirehost.LevelInfo, "host key "+ssh.FingerprintSHA256(key.PublicKey()))
}

// hostKey is the key in text, or a new one.
func hostKey(text string) (ssh.Signer, error) {
	if text != "" {
		return ssh.ParsePrivateKey([]byte(text))
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(key)
}

// check lets a key in. SSH itself proves that the client has its private half.
func (s *server) check(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	for _, k := range s.authorized {
		if bytes.Equal(k, key.Marshal()) {
			return &ssh.Permissions{Extensions: map[string]string{"key": ssh.FingerprintSHA256(key)}}, nil
		}
	}
	return nil, errors.New("the key is not authorized")
}

// serve is one connection.
func (s *server) serve(c net.Conn) {
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil { // to log in
		s.log(wirehost.LevelWarn, c, err.Error())
		return
	}
	conn, channels, requests, err := ssh.NewServerConn(c, s.config)
	if err != nil {
		s.log(wirehost.LevelInfo, c, err.Error())
		return
	}
	defer conn.Close()
	if err := c.SetDeadline(time.Time{}); err != nil {
		return // closed already
	}
	s.log(wirehost.LevelInfo, c, "login of "+conn.User()+" with "+conn.Permissions.Extensions["key"])
	go ssh.DiscardRequests(requests)
	for ch := range channels {
		if ch.ChannelType() != "session" {
			if err := ch.Reject(ssh.UnknownChannelType, "only a session"); err != nil {
				return
			}
			continue
		}
		channel, requests, err := ch.Accept()
		if err != nil {
			return
		}
		go (&shell{server: s, user: conn.User(), channel: channel}).serve(requests)
	}
	s.log(wirehost.LevelInfo, c, "logout of "+conn.User())
}

func (s *server) log(level wirehost.Level, c net.Conn, text string) {
	_ = s.reactor.Logf(level, "%s: %s", c.RemoteAddr(), text) // where even that fails nobody is left to tell
}
