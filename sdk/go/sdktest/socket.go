package sdktest

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// Datagram is one that the plugin sent: to an address that is not valid where it went to the
// peer of a connected socket.
type Datagram struct {
	To   netip.AddrPort
	Data []byte
}

// Socket is a datagram socket as those see it who send to it.
type Socket struct {
	Endpoint string // of the listener, or what the plugin asked for
	Sent     []Datagram
	Sends    int      // calls that sent them
	Groups   []string // that it has joined
	Full     int      // of each sending the system takes so many; 0: all

	server  *Server
	handle  int32
	options map[wirehost.DatagramOption]int
	opened  bool // by the plugin,
	pending bool // and not started
	closing bool
	paused  bool
	ended   bool
	reason  wirehost.Reason
}

// Bind makes a socket of the configuration's, such as udp://127.0.0.1:53, and starts its
// protocol.
func (s *Server) Bind(endpoint string) *Socket {
	k := s.socket(endpoint)
	s.callback(func() { s.guest.StartProtocol(k.handle) })
	return k
}

func (s *Server) socket(endpoint string) *Socket {
	s.last++
	k := &Socket{Endpoint: endpoint, server: s, handle: s.last, options: map[wirehost.DatagramOption]int{}}
	s.sockets = append(s.sockets, k)
	return k
}

// Opened lists the sockets that the plugin has opened and that are not started, oldest first.
func (s *Server) Opened() []*Socket {
	return slices.DeleteFunc(slices.Clone(s.sockets), func(k *Socket) bool { return !k.pending })
}

// Start starts a socket that the plugin has opened.
func (k *Socket) Start() {
	k.pending = false
	k.server.callback(func() { k.server.guest.StartProtocol(k.handle) })
}

// Handle is the number that the plugin knows the socket by.
func (k *Socket) Handle() int32 { return k.handle }

// Option is what the plugin has set an option to.
func (k *Socket) Option(o wirehost.DatagramOption) (value int, ok bool) {
	value, ok = k.options[o]
	return value, ok
}

// Take is what the plugin sent since the last Take.
func (k *Socket) Take() []Datagram {
	sent := k.Sent
	k.Sent = nil
	return sent
}

// Receive delivers datagrams from one address, in one batch.
func (k *Socket) Receive(from netip.AddrPort, data ...string) {
	var records []byte
	for _, d := range data {
		records = appendRecord(records, from, d)
	}
	k.server.callback(func() {
		if k.ended || k.closing || k.pending || len(data) == 0 {
			return
		}
		k.server.guest.DatagramsReceived(k.handle, records, int32(len(data)))
		for i := range records { // a protocol that kept them notices
			records[i] = 0xdb
		}
	})
}

// Refuse tells the plugin that nobody listens at a connected socket's peer.
func (k *Socket) Refuse() {
	k.server.callback(func() { k.server.guest.ConnectionRefused(k.handle) })
}

// Stop ends the socket for reason, as if the server did.
func (k *Socket) Stop(reason wirehost.Reason) { k.server.callback(func() { k.stop(reason) }) }

// peer is whom the plugin connected the socket to; "" is nobody.
func (k *Socket) peer() string {
	if !k.opened || strings.HasSuffix(k.Endpoint, ":0") {
		return ""
	}
	return k.Endpoint
}

// Paused tells whether the plugin has paused the socket: then nothing may be received.
func (k *Socket) Paused() bool { return k.paused }

func (k *Socket) pause(on bool) int32 {
	k.server.Calls++
	k.paused = on
	return ok
}

// Ended tells whether the socket has ended, and why.
func (k *Socket) Ended() (wirehost.Reason, bool) { return k.reason, k.ended }

func (k *Socket) stop(reason wirehost.Reason) {
	if k.ended {
		return
	}
	k.ended, k.reason, k.pending = true, reason, false
	k.server.guest.StopProtocol(k.handle, reason)
	k.server.sockets = slices.DeleteFunc(k.server.sockets, func(o *Socket) bool { return o == k })
}

// close is what the plugin's LoseConnection does to a socket.
func (k *Socket) close(reason wirehost.Reason) {
	if !k.closing {
		k.closing = true
		k.server.later(func() { k.stop(reason) })
	}
}

// socketOf looks up a socket for a call of the plugin's.
func (s *Server) socketOf(sock int32) *Socket {
	for _, k := range s.sockets {
		if k.handle == sock {
			return k
		}
	}
	return nil
}

const (
	recordHeader = 32
	family4      = 4
	family6      = 6
)

func appendRecord(b []byte, from netip.AddrPort, data string) []byte {
	h := make([]byte, recordHeader)
	binary.LittleEndian.PutUint32(h, uint32(len(data)))
	binary.LittleEndian.PutUint16(h[4:], from.Port())
	switch a := from.Addr(); {
	case a.Is4():
		h[6] = family4
		copy(h[8:], a.AsSlice())
	case a.IsValid():
		h[6] = family6
		copy(h[8:], a.AsSlice())
	default:
		h[6] = 1
	}
	b = append(append(b, h...), data...)
	return append(b, make([]byte, -len(data)&7)...)
}

// records takes a batch apart; false: it is not of n whole records.
func records(b []byte, n int32) (list []Datagram, ok bool) {
	for ; n > 0; n-- {
		if len(b) < recordHeader {
			return nil, false
		}
		size := int(binary.LittleEndian.Uint32(b))
		whole := recordHeader + (size+7)&^7
		if size > 1<<16 || whole > len(b) {
			return nil, false
		}
		d := Datagram{Data: slices.Clone(b[recordHeader:][:size])}
		port := binary.LittleEndian.Uint16(b[4:])
		switch b[6] {
		case 0:
		case family4:
			d.To = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[8:])), port)
		case family6:
			d.To = netip.AddrPortFrom(netip.AddrFrom16([16]byte(b[8:])), port)
		default:
			return nil, false
		}
		list, b = append(list, d), b[whole:]
	}
	return list, true
}

func (s imports) Send(sock int32, p []byte, n int32) int32 {
	s.Calls++
	k := s.socketOf(sock)
	list, whole := records(p, n)
	switch {
	case s.phase == saving:
		return status(wirehost.ErrNotNow)
	case k == nil || k.pending:
		return status(wirehost.ErrNoConnection)
	case n > 1024 || !whole:
		return status(wirehost.ErrInvalid)
	}
	k.Sends++
	if k.Full > 0 && len(list) > k.Full {
		list = list[:k.Full]
	}
	if !k.closing && !k.ended {
		k.Sent = append(k.Sent, list...)
	}
	return int32(len(list))
}

func (s imports) Open(endpoint string) int32 {
	if code := s.refusal(endpoint, "udp://"); code < 0 {
		return code
	}
	k := s.socket(endpoint)
	k.opened, k.pending = true, true
	return k.handle
}

func (s imports) Join(sock int32, group string) int32 {
	return s.member(sock, func(k *Socket) { k.Groups = append(k.Groups, group) })
}

func (s imports) Leave(sock int32, group string) int32 {
	return s.member(sock, func(k *Socket) {
		k.Groups = slices.DeleteFunc(k.Groups, func(g string) bool { return g == group })
	})
}

func (s imports) SetOption(sock, option, value int32) int32 {
	return s.member(sock, func(k *Socket) { k.options[wirehost.DatagramOption(option)] = int(value) })
}

func (s *Server) member(sock int32, do func(k *Socket)) int32 {
	s.Calls++
	k := s.socketOf(sock)
	switch {
	case s.phase != running:
		return status(wirehost.ErrNotNow)
	case k == nil || k.pending || k.ended:
		return status(wirehost.ErrNoConnection)
	}
	do(k)
	return ok
}
