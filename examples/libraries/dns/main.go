// Command dns is a name server of github.com/miekg/dns, as a plugin: it answers for
// one zone, and forwards what is asked of others.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	_ "github.com/wirehost/wirehost/sdk/go/datagram" // the plugin takes datagrams
	"github.com/wirehost/wirehost/sdk/go/wirenet"
)

const (
	mostAliases = 8 // CNAMEs that an answer follows
	// The largest datagram that a client is sent, in bytes, whatever it says that it takes: who asks in
	// another's name has that one hit by no more.
	mostDatagram = 4096
)

// server answers questions. Its exported fields are the plugin's config section.
type server struct {
	Zone    string `json:"zone"`    // a master file (RFC 1035, section 5); its SOA, which comes first, names the zone
	Forward string `json:"forward"` // HOST:PORT of who is asked about other names; "": nobody
	Timeout int    `json:"timeout"` // ms for an answer from there

	net     *wirenet.Server
	reactor *wirehost.Reactor
	soa     *dns.SOA
	zone    map[string][]dns.RR // by owner; a name with names below it has none
}

func init() {
	s := &server{Timeout: 2000, zone: map[string][]dns.RR{}}
	tcp := func(l net.Listener) error { return dns.ActivateAndServe(l, nil, s) }
	udp := func(c net.PacketConn) error { return dns.ActivateAndServe(nil, c, s) }
	s.net = wirenet.Serve(tcp, wirenet.Options{Name: "dns", Start: s.start, ServePacket: udp})
	wirehost.Register(s.net)
}

func main() {}

// start reads the configuration.
func (s *server) start(r *wirehost.Reactor) error {
	s.reactor = r
	if err := r.Config(s); err != nil {
		return err
	}
	z := dns.NewZoneParser(strings.NewReader(s.Zone), "", "config.zone")
	for rr, ok := z.Next(); ok; rr, ok = z.Next() {
		owner := dns.CanonicalName(rr.Header().Name)
		if soa, ok := rr.(*dns.SOA); ok {
			s.soa = soa
		}
		if s.soa == nil || !dns.IsSubDomain(s.soa.Hdr.Name, owner) {
			return fmt.Errorf("config.zone: %s is not below an SOA that comes first", owner)
		}
		s.zone[owner] = append(s.zone[owner], rr)
		for i, end := dns.NextLabel(owner, 0); !end; i, end = dns.NextLabel(owner, i) { // those above are there, too
			s.zone[owner[i:]] = append(s.zone[owner[i:]], nil...)
		}
	}
	if z.Err() == nil && s.soa == nil {
		return errors.New("config.zone: found no SOA")
	}
	return z.Err()
}

// ServeDNS answers one message, in a goroutine of its own.
func (s *server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	a := new(dns.Msg)
	switch {
	case q.Opcode != dns.OpcodeQuery || len(q.Question) != 1:
		a.SetRcode(q, dns.RcodeNotImplemented)
	case dns.IsSubDomain(s.soa.Hdr.Name, dns.CanonicalName(q.Question[0].Name)):
		a = s.answer(q)
	case s.Forward == "":
		a.SetRcode(q, dns.RcodeRefused)
	default:
		a = s.forward(q)
	}
	size := dns.MinMsgSize
	if opt := q.IsEdns0(); opt != nil {
		if a.IsEdns0() == nil {
			a.SetEdns0(1232, false)
		}
		size = min(max(int(opt.UDPSize()), size), mostDatagram)
	}
	if _, datagram := w.LocalAddr().(*net.UDPAddr); datagram {
		a.Truncate(size) // the client asks again over TCP
	}
	a.Compress = true
	_ = w.WriteMsg(a) // where it fails the client asks again
}

// answer is the zone's answer to a question.
func (s *server) answer(q *dns.Msg) *dns.Msg {
	a := new(dns.Msg).SetReply(q)
	a.Authoritative = true
	name, kind := dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype
	if _, ok := s.zone[name]; !ok {
		a.Rcode = dns.RcodeNameError
	}
	for range mostAliases {
		next := ""
		for _, rr := range s.zone[name] {
			alias, ok := rr.(*dns.CNAME)
			if kind == dns.TypeANY || rr.Header().Rrtype == kind || ok {
				a.Answer = append(a.Answer, rr)
			}
			if ok && kind != dns.TypeCNAME && kind != dns.TypeANY {
				next = dns.CanonicalName(alias.Target)
			}
		}
		name = next
	}
	if len(a.Answer) == 0 {
		a.Ns = []dns.RR{s.soa} // so that it is known how long there is none (RFC 2308)
	}
	return a
}

// forward asks somebody else, over UDP, and over TCP where the answer does not fit: from a
// port, and with an id, of its own, which nobody can guess.
func (s *server) forward(q *dns.Msg) (a *dns.Msg) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(s.Timeout)*time.Millisecond)
	defer cancel()
	own := q.Copy()
	own.Id = dns.Id()
	for _, network := range []string{"udp", "tcp"} {
		c, err := s.net.DialContext(ctx, network, s.Forward)
		if err == nil {
			a, _, err = new(dns.Client).ExchangeWithConnContext(ctx, own, &dns.Conn{Conn: c, UDPSize: dns.MaxMsgSize})
			c.Close()
		}
		if err != nil {
			// where that fails nobody is left to tell
			_ = s.reactor.Logf(wirehost.LevelDebug, "question to %s: %v", s.Forward, err)
			return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
		}
		if a.Id = q.Id; !a.Truncated {
			break
		}
	}
	return a
}
