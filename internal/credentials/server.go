package credentials

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"strings"
	"sync/atomic"
)

// server is an endpoint's server side of TLS.
type server struct {
	settings     Settings
	certificates []*certificate
	clients      *Pool       // nil = none
	outer        *tls.Config // what the endpoint has: each handshake takes the present one through it
	present      atomic.Pointer[tls.Config]
	tickets      *tls.Config // it has the keys of session tickets, and changes them every day
}

// rebuild builds the servers anew that concerns says. A session that another authority
// let in is not to be resumed: then the tickets' keys are new. mu is held.
func (s *Store) rebuild(concerns func(*server) bool, newTickets bool) {
	for _, v := range s.servers {
		if concerns(v) {
			if newTickets {
				v.tickets = nil
			}
			v.build()
		}
	}
}

// build makes the configuration that is present from now on.
func (v *server) build() {
	if v.tickets == nil {
		v.tickets = &tls.Config{}
	}
	c := &tls.Config{
		GetCertificate: v.choice().choose,
		NextProtos:     v.settings.ALPN,
		MinVersion:     v.settings.MinVersion,
		WrapSession:    v.tickets.EncryptTicket,
		UnwrapSession:  v.tickets.DecryptTicket,
	}
	if v.clients != nil {
		c.ClientCAs, c.ClientAuth = v.clients.roots.Load(), tls.RequireAndVerifyClientCert
		if v.settings.Optional {
			c.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	v.present.Store(c)
	if v.outer == nil {
		v.outer = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return v.present.Load(), nil
		}}
	}
}

// choice is which certificate a client gets.
type choice struct {
	byName   map[string][]*tls.Certificate // lower case; *.DOMAIN stands for the names in it
	standard []*tls.Certificate            // the first certificate, and others for the same names
}

// choice is what can be chosen from now. It is nothing where clients can't be verified.
func (v *server) choice() *choice {
	ch := &choice{byName: map[string][]*tls.Certificate{}}
	if v.clients != nil && v.clients.roots.Load() == nil {
		return ch
	}
	var first []string
	for n, c := range v.certificates {
		cert := c.cert.Load()
		if cert == nil {
			continue
		}
		its := names(cert.Leaf)
		for _, name := range its {
			ch.byName[name] = append(ch.byName[name], cert)
		}
		if n == 0 {
			first = its
		}
		if n == 0 || len(ch.standard) > 0 && slices.Equal(its, first) {
			ch.standard = append(ch.standard, cert)
		}
	}
	return ch
}

// names are those that a certificate is for, in order: RFC 6125 takes the common name no
// more, nor does crypto/x509.
func names(leaf *x509.Certificate) []string {
	list := make([]string, len(leaf.DNSNames))
	for n, name := range leaf.DNSNames {
		list[n] = strings.ToLower(name)
	}
	slices.Sort(list)
	return list
}

// choose gives the certificate for the name that a client asks for, of those that it can
// verify the first. Where there is none at all the handshake ends with the alert
// unrecognized_name.
func (ch *choice) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.TrimSuffix(strings.ToLower(hello.ServerName), ".")
	_, domain, _ := strings.Cut(name, ".")
	list := slices.Concat(ch.byName[name], ch.byName["*."+domain])
	if len(list) == 0 {
		list = ch.standard
	}
	unnamed := *hello
	unnamed.ServerName = "" // it has been looked at
	for _, cert := range list {
		if unnamed.SupportsCertificate(cert) == nil {
			return cert, nil
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list[0], nil // crypto/tls says what the client lacks
}
