package reactor

import (
	"bytes"
	"crypto/fips140"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"

	"github.com/wirehost/wirehost/internal/tlsrecord"
)

// keyedTLS is what a listener's handshakes have in place of a configuration.
type keyedTLS struct{ of, outer *tls.Config }

// keyed is a configuration that is like cfg, and has each handshake tell its pipe the
// secrets. The keys of tickets that crypto/tls makes for it change with time as cfg's
// would, and are the listener's for as long as it has cfg. Any loop.
func (ln *Listener) keyed(cfg *tls.Config) *tls.Config {
	k := ln.keys.Load()
	for k == nil || k.of != cfg {
		next := &keyedTLS{cfg, keyedConfig(cfg)}
		if ln.keys.CompareAndSwap(k, next) {
			return next.outer
		}
		k = ln.keys.Load()
	}
	return k.outer
}

func keyedConfig(cfg *tls.Config) *tls.Config {
	outer := cfg.Clone()
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		inner := cfg
		if f := cfg.GetConfigForClient; f != nil {
			its, err := f(hello)
			if err != nil {
				return nil, err
			}
			if its != nil {
				inner = its
			}
		}
		inner = inner.Clone()
		if p, ok := hello.Conn.(*pipe); ok {
			p.noteKeys(inner)
		}
		return inner, nil
	}
	return outer
}

// noteKeys has the handshake's secrets told. cfg is of this handshake alone.
func (p *pipe) noteKeys(cfg *tls.Config) {
	p.keys = &keyLog{also: cfg.KeyLogWriter}
	cfg.KeyLogWriter = p.keys
}

// keyLog takes the traffic secrets of one handshake from crypto/tls, which hands them out
// as lines of a key log: label, the client's random, secret. Only the handshake's
// goroutine has it.
type keyLog struct {
	also           io.Writer // the configuration's own; nil = none
	client, server []byte    // traffic secrets 0, in space
	space          [2][maxSecret]byte
	twice          bool // one of them came again
}

const maxSecret = 48 // of SHA-384's

// The labels of the secrets that protect application data.
const (
	labelClient = "CLIENT_TRAFFIC_SECRET_0"
	labelServer = "SERVER_TRAFFIC_SECRET_0"
)

func (k *keyLog) Write(line []byte) (int, error) {
	label, rest, _ := bytes.Cut(line, []byte(" "))
	_, secret, _ := bytes.Cut(bytes.TrimSuffix(rest, []byte("\n")), []byte(" "))
	switch string(label) {
	case labelClient:
		k.note(&k.client, k.space[0][:], secret)
	case labelServer:
		k.note(&k.server, k.space[1][:], secret)
	}
	if k.also != nil {
		return k.also.Write(line)
	}
	return len(line), nil
}

func (k *keyLog) note(to *[]byte, space, text []byte) {
	k.twice = k.twice || *to != nil
	if hex.DecodedLen(len(text)) > len(space) {
		return // no suite's that is known
	}
	if n, err := hex.Decode(space, text); err == nil {
		*to = space[:n]
	}
}

// wipe zeroes the secrets.
func (k *keyLog) wipe() {
	if k != nil {
		clear(k.space[0][:])
		clear(k.space[1][:])
	}
}

// Why a connection is not taken over, and not left to crypto/tls either, since something
// of crypto/tls is not as it was when this was written.
var (
	errKeysTwice = errors.New("its secrets were told twice")
	errMidRecord = errors.New("it has ended in the middle of a record")
	errOutOfStep = errors.New("it has sent other records behind those under its application key")
)

// takeOver makes the record layer that goes on behind a handshake; nil is none: the
// connection stays with crypto/tls. An error is a doubt, and the connection must end.
// It is the handshake's goroutine.
func (p *pipe) takeOver(s tls.ConnectionState, client bool) (*tlsrecord.Conn, error) {
	k := p.keys
	defer k.wipe()
	defer func() { p.keys = nil }()
	if s.Version != tls.VersionTLS13 || fips140.Enabled() {
		return nil, nil
	}
	in, out := k.client, k.server
	if client {
		in, out = out, in
	}
	rec, err := tlsrecord.New(tlsrecord.State{Suite: s.CipherSuite, Client: client,
		In: tlsrecord.Half{Secret: in}, Out: tlsrecord.Half{Secret: out}})
	if err != nil { // a suite, or secrets, that it does not know
		return nil, nil
	}
	switch {
	case k.twice:
		err = errKeysTwice
	case p.left > 0:
		err = errMidRecord
	default:
		err = p.countSent(rec)
	}
	if err != nil {
		rec.Wipe()
		return nil, err
	}
	return rec, nil
}

// countSent counts which of the handshake's records are under the application key: those
// at the end, such as a session ticket. What opens under that key and number is proof. The
// records that the connection has already are lost.
func (p *pipe) countSent(rec *tlsrecord.Conn) error {
	sent := p.out[:p.flushed:p.flushed]
	counted, err := countRecords(rec, sent, false)
	if err == nil && p.flushed < len(p.out) { // they are copied to where the others were, if they fit
		_, err = countRecords(rec, append(sent[:0], p.out[p.flushed:]...), counted)
	}
	return err
}

// countRecords is countSent for a part of them, which is lost. counted tells whether one
// before them was counted, and then whether one of them was.
func countRecords(rec *tlsrecord.Conn, records []byte, counted bool) (bool, error) {
	for len(records) >= recordHeader {
		n := min(recordHeader+recordSize(records), len(records))
		if rec.Sent(records[:n]) {
			counted = true
		} else if counted {
			return true, errOutOfStep
		}
		records = records[n:]
	}
	return counted, nil
}

// refuse has crypto/tls send an alert, which it alone can seal now: it is given what no
// record is. It is the handshake's goroutine.
func (p *pipe) refuse(conn *tls.Conn) {
	p.mu.Lock()
	p.in, p.left = []byte{22, 3, 3, 0, 1, 0}, 0 // a handshake's, in plain text
	p.mu.Unlock()
	_, _ = conn.Read(make([]byte, 1)) // its error is known
}

const recordHeader = 5

// recordSize is the size that a record's header tells, without the header.
func recordSize(header []byte) int { return int(header[3])<<8 | int(header[4]) }
