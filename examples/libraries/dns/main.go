// Command dns is a name server of github.com/miekg/dns, as a plugin: it answers for
// one zone, and forwards what is asked of others.
package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	_ "github.com/wirehost/wirehost/sdk/go/datagram" // the plugin takes datagrams
	"github.com/wirehost/wirehost/sdk/go/wirenet"
)

// settings are the plugin's config section.
type settings struct {
	Zone    string `json:"zone"`    // a master file (RFC 1035, section 5); its SOA names the zone
	Forward string `json:"forward"` // HOST:PORT of who is asked about other names; "": nobody
	Timeout int    `json:"timeout"` // ms for an answer from there
}

const mostAliases = 8 // CNAMEs that an answer follows

// server answers questions.
type server struct {
	settings
	net     *wirenet.Server
	reactor *wirehost.Reactor
	soa     *dns.SOA
	names   map[string]map[uint16][]dns.RR // by owner and type; a name with names below it has an empty map
}

func init() {
	s := &server{settings: settings{Timeout: 2000}, names: map[string]map[uint16][]dns.RR{}}
	tcp := func(l net.Listener) error { return dns.ActivateAndServe(l, nil, s) }
	udp := func(c net.PacketConn) error { return dns.ActivateAndServe(nil, c, s) }
	s.net = wirenet.Serve(tcp, wirenet.Options{Name: "dns", Start: s.start, ServePacket: udp})
	wirehost.Register(s.net)
}

func main() {}

// start reads the configuration.
func (s *server) start(r *wirehost.Reactor) error {
	s.reactor = r
	if err := r.Config(&s.settings); err != nil {
		return err
	}
	z := dns.NewZoneParser(strings.NewReader(s.Zone), "", "config.zone")
	var records []dns.RR
	for rr, ok := z.Next(); ok; rr, ok = z.Next() {
		rr.Header().Name = dns.CanonicalName(rr.Header().Name)
		records = append(records, rr)
		if soa, ok := rr.(*dns.SOA); ok {
			s.soa = soa
		}
	}
	switch {
	case z.Err() != nil:
		return z.Err()
	case s.soa == nil:
		return fmt.Errorf("config.zone: found %d records, and no SOA among them", len(records))
	}
	for _, rr := range records {
		if err := s.add(rr); err != nil {
			return fmt.Errorf("config.zone: %w", err)
		}
	}
	return nil
}

// add takes a record into the zone, and the names above its own.
func (s *server) add(rr dns.RR) error {
	owner, apex := rr.Header().Name, s.soa.Hdr.Name
	if !dns.IsSubDomain(apex, owner) {
		return fmt.Errorf("%s is not in %s", owner, apex)
	}
	for name := owner; ; {
		if s.names[name] == nil {
			s.names[name] = map[uint16][]dns.RR{}
		}
		if name == apex {
			break
		}
		_, name, _ = strings.Cut(name, ".") // a label with a dot in it is not for an example
	}
	s.names[owner][rr.Header().Rrtype] = append(s.names[owner][rr.Header().Rrtype], rr)
	return nil
}

// ServeDNS answers one message, in a goroutine of its own.
func (s *server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	_, datagram := w.LocalAddr().(*net.UDPAddr)
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
	size := dns.MaxMsgSize
	if opt := q.IsEdns0(); opt != nil {
		if a.IsEdns0() == nil {
			a.SetEdns0(1232, false)
		}
		size = max(int(opt.UDPSize()), dns.MinMsgSize)
	} else if datagram {
		size = dns.MinMsgSize
	}
	if datagram {
		a.Truncate(size) // the client asks again over TCP
	}
	a.Compress = true
	if err := w.WriteMsg(a); err != nil {
		s.log("answer to %s: %v", w.RemoteAddr(), err)
	}
}

// answer is the zone's answer to a question.
func (s *server) answer(q *dns.Msg) *dns.Msg {
	a := new(dns.Msg).SetReply(q)
	a.Authoritative = true
	name, kind := dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype
	for range mostAliases {
		sets, ok := s.names[name]
		if !ok && len(a.Answer) == 0 {
			a.Rcode = dns.RcodeNameError
		}
		found := sets[kind]
		if kind == dns.TypeANY {
			for _, set := range sets {
				found = append(found, set...)
			}
		}
		a.Answer = append(a.Answer, found...)
		alias := sets[dns.TypeCNAME]
		if len(found) > 0 || len(alias) == 0 {
			break
		}
		a.Answer = append(a.Answer, alias...)
		name = dns.CanonicalName(alias[0].(*dns.CNAME).Target)
	}
	if len(a.Answer) == 0 {
		a.Ns = []dns.RR{s.soa} // so that it is known how long there is none (RFC 2308)
	}
	return a
}

// forward asks somebody else: over UDP, and over TCP where the answer does not fit.
func (s *server) forward(q *dns.Msg) *dns.Msg {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(s.Timeout)*time.Millisecond)
	defer cancel()
	a, err := s.exchange(ctx, "udp", q)
	if err == nil && a.Truncated {
		a, err = s.exchange(ctx, "tcp", q)
	}
	if err != nil {
		s.log("question to %s: %v", s.Forward, err)
		return new(dns.Msg).SetRcode(q, dns.RcodeServerFailure)
	}
	return a
}

// exchange asks from a port, and with an id, of its own, which nobody can guess.
func (s *server) exchange(ctx context.Context, network string, q *dns.Msg) (*dns.Msg, error) {
	c, err := s.net.DialContext(ctx, network, s.Forward)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	own := q.Copy()
	own.Id = dns.Id()
	a, _, err := new(dns.Client).ExchangeWithConnContext(ctx, own, &dns.Conn{Conn: c, UDPSize: dns.MaxMsgSize})
	if err != nil {
		return nil, err
	}
	a.Id = q.Id
	return a, nil
}

func (s *server) log(format string, args ...any) {
	_ = s.reactor.Logf(wirehost.LevelDebug, format, args...) // where even that fails nobody is left to tell
}
