// Package names is a name server of miekg/dns, natively or in a guest: it knows the
// addresses of h0.bench.test to h4095.bench.test.
package names

import (
	"fmt"
	"net"

	"github.com/miekg/dns"
)

// Most is how many names there are.
const Most = 4096

// Serve answers what comes, until c is closed.
func Serve(c net.PacketConn) error { return dns.ActivateAndServe(nil, c, table()) }

// names are a record each.
type names map[string]dns.RR

func table() names {
	t := names{}
	for n := range Most {
		name := fmt.Sprintf("h%d.bench.test.", n)
		t[name] = &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 3600},
			A: net.IPv4(10, 0, byte(n>>8), byte(n)).To4()}
	}
	return t
}

// ServeDNS answers one question.
func (t names) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	a := new(dns.Msg).SetReply(q)
	a.Authoritative = true
	if rr := t[dns.CanonicalName(q.Question[0].Name)]; rr != nil {
		a.Answer = []dns.RR{rr}
	} else {
		a.Rcode = dns.RcodeNameError
	}
	a.Compress = true
	_ = w.WriteMsg(a) // the client sees what is missing
}
