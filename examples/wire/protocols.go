package main

import (
	"encoding/binary"
	"strings"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// discard reads, and does nothing with it (RFC 863).
type discard struct{ wirehost.Base }

// SaveState has nothing; without it, connections would not move at a reload.
func (p *discard) SaveState() ([]byte, bool) { return nil, true }

// RestoreState takes nothing.
func (p *discard) RestoreState(_ int32, state []byte) error { return empty(state) }

func empty(state []byte) error {
	if len(state) > 0 {
		return errState
	}
	return nil
}

// teller says one thing and closes.
type teller struct {
	wirehost.Base
	text func() string
}

// ConnectionMade says it. Where writing or closing fails the connection is lost
// already.
func (p *teller) ConnectionMade() {
	_, _ = p.Transport.WriteString(p.text())
	_ = p.Transport.LoseConnection()
}

// SaveState has nothing: all is said, and the server flushes it.
func (p *teller) SaveState() ([]byte, bool) { return nil, true }

// RestoreState takes nothing.
func (p *teller) RestoreState(_ int32, state []byte) error { return empty(state) }

// longestQuote is in bytes (RFC 865).
const longestQuote = 512 - len("\r\n")

// quote is the quote of the day (RFC 865).
func (f *factory) quote() string { return f.Quote + "\r\n" }

// daytime is the time for people (RFC 867).
func (f *factory) daytime() string { return f.now().UTC().Format(time.ANSIC) + "\r\n" }

// from1900 is the seconds from 1900 to 1970 (RFC 868).
const from1900 = 2208988800

// time is the time for machines: the seconds since 1900, modulo 2^32, big-endian
// (RFC 868).
func (f *factory) time() string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(f.now().Unix()+from1900)))
}

// users are the active users, one a line (RFC 866).
func (f *factory) users() string {
	var b strings.Builder
	for _, name := range f.Users {
		b.WriteString(name + "\r\n")
	}
	return b.String()
}
