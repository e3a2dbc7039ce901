package main

import (
	"encoding/binary"

	wirehost "github.com/wirehost/wirehost/sdk/go"
)

// The pattern of RFC 864: lines of 72 of the 95 printable characters, each line
// beginning one character later than the one before.
const (
	width   = 72
	first   = ' '
	letters = '~' - ' ' + 1
	rows    = 128 // lines of one piece
)

// chargen writes without end, as fast as the peer reads: it is a pull producer,
// asked for the next piece when the one before is gone (RFC 864). What it is
// sent it drops.
type chargen struct {
	wirehost.Base
	row int // of the pattern, at which the next piece begins
}

func (p *chargen) ConnectionMade() {
	if err := p.Transport.RegisterProducer(p, false); err != nil {
		_ = p.Transport.AbortConnection() // it is lost already where this fails
	}
}

// ResumeProducing writes a piece.
func (p *chargen) ResumeProducing() {
	piece := make([]byte, 0, rows*(width+2))
	for range rows {
		for i := range width {
			piece = append(piece, byte(first+(p.row+i)%letters))
		}
		piece = append(piece, "\r\n"...)
		p.row = (p.row + 1) % letters
	}
	_, _ = p.Transport.Write(piece) // why not, ConnectionLost tells
}

// PauseProducing is never called: a pull producer waits by itself.
func (p *chargen) PauseProducing() {}

// StopProducing says that the connection is gone.
func (p *chargen) StopProducing() {}

// ReadConnectionLost goes on: who says nothing may still listen.
func (p *chargen) ReadConnectionLost() {}

// WriteConnectionLost does not come: nothing closes the writing side alone.
func (p *chargen) WriteConnectionLost() {}

// SaveState has the row.
func (p *chargen) SaveState() ([]byte, bool) {
	return binary.AppendUvarint(nil, uint64(p.row)), true
}

// RestoreState reads what SaveState wrote, and goes on producing.
func (p *chargen) RestoreState(_ int32, state []byte) error {
	row, n := binary.Uvarint(state)
	if n <= 0 || n != len(state) || row >= letters {
		return errState
	}
	p.row = int(row)
	return p.Transport.RestoreProducer(p)
}
