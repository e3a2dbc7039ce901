package reactor

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// takeTurn tells what is held, else what the system has: one batch of it a turn, as
// readiness is level-triggered.
func (d *DatagramSocket) takeTurn() {
	if d.heldN > 0 {
		d.tellHeld()
		return
	}
	io, err := d.loop.datagramIO()
	if err != nil {
		d.endWith(Lost, err)
		return
	}
	list, err := io.Receive(d.fd, d.family)
	if err != nil {
		d.readFailed(err)
		return
	}
	d.errs = 0
	if len(list) >= overflowBatch || d.loop.now-d.asked >= overflowEvery {
		d.askOverflow(io)
	}
	if d.notes() {
		d.noteLocals(list)
	}
	if d.port != nil {
		list = d.port.admit(d, list)
	}
	d.tell(list)
}

const (
	// overflowBatch and overflowEvery say when the system is asked what it had no room
	// for: behind so many datagrams, or that long after it was asked last.
	overflowBatch = 16
	overflowEvery = 10 * time.Millisecond
)

// askOverflow counts what the system had no room for since it was asked last.
func (d *DatagramSocket) askOverflow(io DatagramIO) {
	d.asked = d.loop.now
	if n := io.Overflow(d.fd); n != 0 && n != d.overflow {
		d.counts.overflowed.Add(uint64(n - d.overflow))
		d.overflow = n
	}
}

// readFailed takes a read's error.
func (d *DatagramSocket) readFailed(err error) {
	const most = 100 // in a row: the socket is of no use
	switch {
	case err == nil, retryable(err):
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		d.tellRefused()
	default:
		if d.errs++; d.errs >= most {
			d.endWith(Lost, fmt.Errorf("read: %w", err))
		}
	}
}

func (d *DatagramSocket) tellRefused() {
	if d.peer != "" && d.stage == datagramOpen {
		d.refused = true
		d.settleLater()
	}
}

// tell gives the protocol a batch: in one callback where its buffer has room for it. What
// it does not want any more is held, as records.
func (d *DatagramSocket) tell(list []Datagram) {
	for len(list) > 0 {
		if d.stage != datagramOpen {
			return
		}
		if d.paused || !d.mayTell() {
			d.hold(list)
			return
		}
		buf := d.proto.ReceiveBuffer()
		if !d.roomy(buf) {
			return
		}
		at, n, bytes := 0, 0, 0
		for n < min(len(list), MaxDatagrams) && (n == 0 || len(buf)-at >= datagramHeader+len(list[n].Payload)) {
			bytes += len(list[n].Payload)
			at += putDatagram(buf[at:], &list[n], familyUnix)
			n++
		}
		d.deliver(buf[:at], n, bytes)
		list = list[n:]
		d.loop.settle()
	}
}

// roomy reports whether a protocol's buffer will do.
func (d *DatagramSocket) roomy(buf []byte) bool {
	if len(buf) >= MinDatagramBuffer {
		return true
	}
	d.endWith(ProtocolFailed, fmt.Errorf("found a buffer of %d bytes for datagrams, wanted %d at least",
		len(buf), MinDatagramBuffer))
	return false
}

func (d *DatagramSocket) deliver(records []byte, n, bytes int) {
	l, c := d.loop, d.counts
	c.received.Add(uint64(n))
	c.in.Add(uint64(bytes))
	c.batches.Add(1)
	l.turns.bytesIn += uint64(bytes)
	was := l.currentDatagram
	l.currentDatagram = d
	d.proto.DatagramsReceived(records, n)
	l.currentDatagram = was
}

// hold keeps datagrams until the protocol wants them.
func (d *DatagramSocket) hold(list []Datagram) {
	for i := range list {
		at, size := len(d.held), datagramHeader+padded(len(list[i].Payload))
		d.held = append(d.held, make([]byte, size)...)
		putDatagram(d.held[at:], &list[i], familyUnix)
	}
	d.heldN += len(list)
}

// tellHeld is tell for what is held.
func (d *DatagramSocket) tellHeld() {
	list := make([]Datagram, 0, d.heldN)
	for rest := d.held; len(rest) > 0; {
		var one Datagram
		var err error
		if rest, err = readDatagram(&one, rest); err != nil { // of another process
			d.loop.r.log.Warn("datagrams of another process", "err", err)
			break
		}
		list = append(list, one)
	}
	d.held, d.heldN = nil, 0
	d.tell(list)
	d.lookAgain() // at the rest, or at the socket
}

// lookAgain has the socket looked at in the next turn.
func (d *DatagramSocket) lookAgain() {
	if d.heldN > 0 && !d.paused && d.stage == datagramOpen && !d.again && !d.waiting {
		d.again = true
		d.loop.CallLater(0, d.later)
	}
}
