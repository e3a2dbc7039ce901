package wirehost

import "strings"

// A datagram socket is a Transport whose protocol gets and sends datagrams in the ABI's
// records. Package datagram makes addresses and payloads of them, and has the exports by
// which the server knows that a plugin takes datagrams: what does not import it has none.

// DatagramBuilder is a Factory that takes datagrams: BuildDatagramProtocol makes the
// protocol of a socket that the configuration has, in a reload also that of one whose state
// is about to be restored; datagram.New makes one. To the protocol ConnectionMade says that
// the socket is bound, DataReceived gets whole records (abi/ABI.md) and ConnectionLost comes
// last. nil closes the socket.
type DatagramBuilder interface {
	BuildDatagramProtocol(t *Transport) Protocol
}

// RefusedListener is the protocol of a connected socket that wants to know when the peer's
// port answered that nobody listens there (Twisted's connectionRefused).
type RefusedListener interface {
	ConnectionRefused()
}

const (
	recordHeader  = 32 // bytes before the payload of a record
	recordsMost   = 64 << 10
	recordPadding = 7
)

// DatagramOption is an option of a datagram socket.
type DatagramOption int32

// OpenDatagram makes a socket for a text endpoint: udp://HOST:PORT is connected to that
// peer, udp://HOST:0, with an address of this machine, is bound there and sends to anybody.
// It does not wait: p.ConnectionMade follows. An error is a Status, ErrNotAllowed where the
// configuration does not allow the endpoint, ErrNotSupported in a plugin that does not import
// package datagram.
func (r *Reactor) OpenDatagram(endpoint string, p Protocol) (*Transport, error) {
	if r.guest.sockets == nil {
		return nil, ErrNotSupported
	}
	n := r.guest.sockets.open(r.guest, endpoint)
	if n < 0 {
		return nil, Status(n)
	}
	t := &Transport{guest: r.guest, conn: n, is: isPending}
	r.guest.attachSocket(t, p)
	return t, nil
}

func (g *guest) attachSocket(t *Transport, p Protocol) {
	t.is |= isSocket
	g.attach(t, p)
}

// sockets is socketCalls, for who needs it.
type sockets interface {
	rebuild(t *Transport) (Protocol, bool)
	send(t *Transport) error
	sendRecords(g *guest, sock int32, records []byte, n int32) int32
	open(g *guest, endpoint string) int32
}

type socketCalls struct{}

func (socketCalls) send(t *Transport) error { return t.sendRecords() }

func (socketCalls) sendRecords(g *guest, sock int32, records []byte, n int32) int32 {
	return g.host.Send(sock, records, n)
}

func (socketCalls) open(g *guest, endpoint string) int32 { return g.host.Open(endpoint) }

// WriteDatagram queues a datagram: header is that of a record, of which the first four bytes
// are set here. What a callback writes is sent with one call when it returns; an error is
// what came of an earlier callback's. Nothing waits for a full send buffer: what the system
// does not take is dropped, as datagrams are, and Dropped counts it.
func (t *Transport) WriteDatagram(header [recordHeader]byte, data []byte) error {
	if err := t.takeAnyError(); err != nil {
		return err
	}
	if t.is&(isLost|isClosing) != 0 {
		return nil
	}
	need := recordHeader + (len(data)+recordPadding)&^recordPadding
	if t.records == maxDatagrams || len(t.out) > 0 && len(t.out)+need > recordsMost {
		if err := t.sendRecords(); err != nil {
			return err
		}
	}
	g := t.guest
	if t.out == nil {
		if n := len(g.spare); n > 0 {
			t.out, g.spare = g.spare[n-1], g.spare[:n-1]
		}
	}
	if !t.parked {
		t.parked = true
		g.parked = append(g.parked, t)
	}
	header[0], header[1], header[2], header[3] = byte(len(data)), byte(len(data)>>8), byte(len(data)>>16), 0
	t.out = append(append(t.out, header[:]...), data...)
	t.out = append(t.out, make([]byte, need-recordHeader-len(data))...)
	t.records++
	return nil
}

// FlushDatagrams sends what was written without waiting for the callback's end.
func (t *Transport) FlushDatagrams() error {
	if err := t.takeAnyError(); err != nil {
		return err
	}
	return t.sendRecords()
}

// Dropped is how many of the datagrams that were written the system did not take.
func (t *Transport) Dropped() int { return t.queue }

// SendRecords sends n records (abi/ABI.md), 1,024 at most, at once, in front of what
// WriteDatagram has gathered. What the system does not take is dropped, and Dropped counts it.
func (t *Transport) SendRecords(records []byte, n int) error {
	sent := t.guest.sockets.sendRecords(t.guest, t.conn, records, int32(n))
	t.queue += n - max(0, int(sent))
	return statusError(sent)
}

// sendRecords sends what was gathered.
func (t *Transport) sendRecords() error {
	records := t.records
	if records == 0 {
		return nil
	}
	n := t.guest.host.Send(t.conn, t.out, int32(records))
	t.records = 0
	t.guest.giveBack(t.out)
	t.out = nil
	t.queue += int(records) - max(0, int(n))
	return statusError(n)
}

// JoinGroup has the socket get what is sent to a multicast group such as 239.1.2.3, where
// the listener's configuration allows it.
func (t *Transport) JoinGroup(group string) error {
	return t.unlessEnded(func() int32 { return t.guest.host.Join(t.conn, group) })
}

// LeaveGroup ends that.
func (t *Transport) LeaveGroup(group string) error {
	return t.unlessEnded(func() int32 { return t.guest.host.Leave(t.conn, group) })
}

// SetDatagramOption sets an option of a datagram socket.
func (t *Transport) SetDatagramOption(o DatagramOption, value int) error {
	return t.unlessEnded(func() int32 { return t.guest.host.SetOption(t.conn, int32(o), int32(value)) })
}

func (t *Transport) unlessEnded(call func() int32) error {
	if t.is&isEnded != 0 {
		return ErrNoConnection
	}
	return statusError(call())
}

// StartProtocol is the first callback of a datagram socket. One that is not known is the
// configuration's.
func (g *guest) StartProtocol(sock int32) {
	t := g.conns[sock]
	if t == nil {
		t = &Transport{guest: g, conn: sock}
		b, _ := g.factory.(DatagramBuilder)
		var p Protocol
		if b != nil {
			p = b.BuildDatagramProtocol(t)
		}
		if p == nil {
			g.report(LevelError, "socket "+itoa(sock)+" is closed: "+typeName(g.factory)+" built no datagram protocol")
			g.host.AbortConnection(sock)
			return
		}
		g.attachSocket(t, p)
	}
	t.is &^= isPending
	t.protocol.base().Connected = true
	t.protocol.ConnectionMade()
	g.leave()
}

// StopProtocol is the last callback of a datagram socket.
func (g *guest) StopProtocol(sock int32, reason Reason) {
	if g.conns[sock] != nil { // else StartProtocol closed it
		g.ConnectionLost(sock, reason)
	}
}

// DatagramsReceived delivers n records; they are the server's again when it returns.
func (g *guest) DatagramsReceived(sock int32, records []byte, n int32) {
	end := 0
	for ; n > 0; n-- {
		size := int(records[end]) | int(records[end+1])<<8 | int(records[end+2])<<16
		end += recordHeader + (size+recordPadding)&^recordPadding
	}
	g.DataReceived(sock, records[:min(end, len(records))]) // a buffer may end in the last one's padding
}

// ConnectionRefused tells that nobody listens at a connected socket's peer.
func (g *guest) ConnectionRefused(sock int32) {
	if p, ok := g.find(sock).protocol.(RefusedListener); ok {
		p.ConnectionRefused()
	}
	g.leave()
}

// rebuild makes the protocol of a datagram socket that a reload moves; false: t is a
// connection.
func (socketCalls) rebuild(t *Transport) (Protocol, bool) {
	host, err := t.Host()
	if err != nil || !strings.HasPrefix(host, "udp:") && !strings.HasPrefix(host, "unixgram:") {
		return nil, false
	}
	b, ok := t.guest.factory.(DatagramBuilder)
	if !ok {
		return nil, true
	}
	t.is |= isSocket
	return b.BuildDatagramProtocol(t), true
}
