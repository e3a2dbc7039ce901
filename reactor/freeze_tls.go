package reactor

import (
	"crypto/tls"
	"fmt"
	"slices"

	"github.com/wirehost/wirehost/internal/tlsrecord"
)

// FrozenTLS is the TLS of a [Frozen] connection, whose records are this package's own:
// what they need to go on, and what is told of the session. It has the session's secrets:
// it goes to nothing but the other process, and who has encoded it calls Frozen.Wipe.
type FrozenTLS struct {
	Session  tlsrecord.State
	Plain    []byte // opened, and not delivered
	Records  []byte // read, and not opened: the last one may have come in part
	Ended    bool   // the socket's bytes have
	Notified bool   // close_notify was sent
	TellUp   bool   // the protocol is to be told that the handshake is over

	Version    uint16
	ServerName string
	Protocol   string // that ALPN chose
	Peer       []byte // the DER of its leaf certificate
}

// Wipe zeroes the secrets of a connection's TLS, if it has any. Adopt does it too.
func (s *Frozen) Wipe() {
	if s.TLS != nil {
		s.TLS.Session.Wipe()
	}
}

// unmovable says why a connection's TLS can't go to another process; "" = it can.
func (t *tlsConn) unmovable() string {
	switch r, ok := t.layer.(*records); {
	case !t.up():
		return "its TLS handshake is not over"
	case !ok:
		return "its TLS is " + tls.VersionName(t.facts.version) + " by crypto/tls, which hands on no session"
	case r.faulty():
		return "its TLS has failed"
	}
	return ""
}

// frozen is what adoptTLS needs, with a copy of the secrets.
func (t *tlsConn) frozen(c *connection) *FrozenTLS {
	r, ok := t.layer.(*records)
	if !ok {
		return nil
	}
	return &FrozenTLS{
		Session: r.conn.State(), Plain: slices.Clone(r.plain), Records: slices.Clone(r.rest), Ended: t.eof,
		Notified: c.flags&flagNotified != 0, TellUp: c.flags&flagTellUp != 0,
		Version: t.facts.version, ServerName: t.facts.serverName, Protocol: t.facts.protocol, Peer: t.facts.peer,
	}
}

// adoptTLS makes the TLS of another reactor's connection.
func (c *connection) adoptTLS(s *FrozenTLS) error {
	if s == nil {
		return nil
	}
	conn, err := tlsrecord.New(s.Session)
	if err != nil {
		return fmt.Errorf("its TLS: %w", err)
	}
	conn.Rest() // most of those that move are idle
	r := &records{conn: conn, plain: s.Plain, rest: s.Records}
	c.tls = &tlsConn{layer: r, eof: s.Ended, facts: tlsFacts{version: s.Version, suite: s.Session.Suite,
		serverName: s.ServerName, protocol: s.Protocol, peer: s.Peer}}
	if s.Notified {
		c.flags |= flagNotified
	}
	if s.TellUp {
		c.flags |= flagTellUp
	}
	return nil
}
