package sdk_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/wirehost/wirehost/host/config"
	"github.com/wirehost/wirehost/internal/certtest"
)

// certificate is one, as files.
func certificate(t testing.TB) config.TLS {
	files := certtest.Issue(t)
	return config.TLS{Cert: files.Cert, Key: files.Key}
}

// upgrade sends plain text, reads answer, and makes TLS of the connection.
func upgrade(t testing.TB, addr, plain, answer string) net.Conn {
	t.Helper()
	c := dial(t, addr)
	say(t, c, plain, answer)
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true}) // what is tested is not whose certificate it is
}

// secure sends text over TLS, and wants an answer to that, and no more.
func secure(t testing.TB, c net.Conn, text, want string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	if err := c.(*tls.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if found, err := io.ReadAll(c); err != nil || string(found) != want {
		t.Fatalf("found %q, %v, wanted %q", found, err, want)
	}
}

// What whoever sits between sends behind the command that asks for TLS, in plain
// text, is no part of the encrypted session (RFC 3207, section 4.2; CVE-2011-0411).
func TestNothingPlainAfterStartTLS(t *testing.T) {
	files := certificate(t)
	for _, l := range languages() {
		if l.name == "WAT" {
			continue // has no SDK
		}
		t.Run(l.name, func(t *testing.T) {
			s := serveTLS(t, config.Plugin{Module: build(t, l, starttls)}, files)
			// The guest answers each with "go" and asks for TLS: in a line, in raw mode, and while it is paused.
			for _, command := range []string{"tls\r\n", "raw\r\ntls", "pause\r\n"} {
				for _, evil := range []string{"", "EVIL\r\n", "EV", "EVIL\r", "EVIL\r\ntls\r\nEV"} {
					c := upgrade(t, s.addr, command+evil, "go\r\n")
					secure(t, c, "ok\r\n", "up\r\nok\r\n")
				}
			}
		})
	}
}

// AssemblyScript's other receivers; those of other languages are tested natively.
func TestAssemblyScriptStartTLS(t *testing.T) {
	files := certificate(t)
	module := build(t, languageNamed("AssemblyScript"), framers)
	for kind, c := range map[string]struct{ plain, evil, secure string }{
		"netstring": {"3:tls,", "4:EVIL,3:EV", "2:ok,"},
		"int8":      {"\x03tls", "\x04EVIL\x09E", "\x02ok"},
		"int16":     {"\x00\x03tls", "\x00\x04EVIL\x00", "\x00\x02ok"},
		"int32":     {"\x00\x00\x00\x03tls", "\x00\x00\x00\x04EVIL\x00\x00", "\x00\x00\x00\x02ok"},
	} {
		t.Run(kind, func(t *testing.T) {
			s := serveTLS(t, config.Plugin{Module: module, Config: map[string]any{"kind": kind}}, files)
			secure(t, upgrade(t, s.addr, c.plain+c.evil, "<tls>"), c.secure, "<ok>")
		})
	}
}
