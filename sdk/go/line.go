package wirehost

import "bytes"

// MaxLineLength is the default of MaxLength of the line receivers, in bytes
// without the delimiter.
const MaxLineLength = 16384

var crlf = []byte("\r\n")

// LineCallback has what a protocol that embeds LineReceiver or LineOnlyReceiver
// must have. A line comes without its delimiter, may be empty, and is valid
// until LineReceived returns.
type LineCallback interface {
	LineReceived(line []byte)
}

// lineFraming is what the two line receivers share.
type lineFraming struct {
	framing

	// Delimiter ends a line; empty is CRLF. MaxLength is the longest line in
	// bytes, without the delimiter; 0 is MaxLineLength. Both may be set before
	// the first byte, and anew in LineReceived for the lines that follow.
	Delimiter []byte
	MaxLength int

	lines interface {
		LineCallback
		LineLengthExceeded(held []byte)
	}
	scanned int // bytes at the front of rest in which no delimiter begins

	raw     bool // LineReceiver alone has that mode
	rawData interface{ RawDataReceived(data []byte) }
}

func (l *lineFraming) wireLines(outermost Protocol) {
	lines, ok := outermost.(interface {
		LineCallback
		LineLengthExceeded(held []byte)
	})
	if !ok {
		panic("wirehost: " + typeName(outermost) + " embeds a line receiver and has no LineReceived(line []byte)")
	}
	l.lines = lines
}

func (l *lineFraming) limits() (delimiter []byte, longest int) {
	delimiter, longest = l.Delimiter, l.MaxLength
	if len(delimiter) == 0 {
		delimiter = crlf
	}
	if longest <= 0 {
		longest = MaxLineLength
	}
	return delimiter, longest
}

// step delivers lines, or all that there is in raw mode. It goes on by itself, since a
// call for each line would be 4 % of it. Whether a line is too long is decided on its
// first MaxLength + len(delimiter) bytes, however they came: where no delimiter ends in
// them, the line can only be longer (Twisted's LineReceiver).
func (l *lineFraming) step() bool {
	if len(l.rest) == 0 {
		return false
	}
	if l.raw {
		l.rawData.RawDataReceived(l.take(len(l.rest)))
		return true
	}
	for {
		delimiter, longest := l.limits()
		most := longest + len(delimiter)
		window := l.rest[:min(len(l.rest), most)]
		unseen := window[min(l.scanned, len(window)):]
		i := bytes.IndexByte(unseen, delimiter[0])
		if i >= 0 && len(delimiter) > 1 && (len(delimiter) > 2 || i+1 == len(unseen) || unseen[i+1] != delimiter[1]) {
			i = index(unseen, delimiter, i)
		}
		if i < 0 && len(l.rest) < most {
			l.scanned = max(0, len(window)-len(delimiter)+1)
			return false
		}
		if i < 0 {
			l.scanned = 0
			l.lines.LineLengthExceeded(l.take(most))
			return true
		}
		end := l.scanned + i
		line := l.rest[:end:end]
		l.rest, l.scanned = l.rest[end+len(delimiter):], 0
		l.lines.LineReceived(line)
		if len(l.rest) == 0 {
			return false
		}
		if l.paused || l.raw || l.Transport.Disconnecting() {
			return true
		}
	}
}

// index is bytes.Index where the first byte of the delimiter is at i: in WASM that
// takes half as long.
func index(s, delimiter []byte, i int) int {
	if bytes.HasPrefix(s[i:], delimiter) {
		return i
	}
	j := bytes.Index(s[i+1:], delimiter)
	if j < 0 {
		return j
	}
	return i + 1 + j
}

// LineLengthExceeded is called for a line that is too long, with its first
// MaxLength + len(Delimiter) bytes; what follows them is read as a new line.
// This one closes the connection; a protocol may have its own.
func (l *lineFraming) LineLengthExceeded(held []byte) { l.closeFor("a line is too long") }

// closeFor closes the connection over a peer's fault.
func (f *framing) closeFor(fault string) {
	if err := f.Transport.LoseConnection(); err != nil {
		f.Transport.guest.report(LevelWarn, fault+", and closing failed: "+err.Error())
	}
}

// SendLine writes a line and the delimiter.
func (l *lineFraming) SendLine(line []byte) error {
	delimiter, _ := l.limits()
	t := l.Transport
	if g := t.guest; g.gathers(t, len(line)+len(delimiter)) {
		g.out = append(g.out, line...)
		if len(delimiter) == 2 {
			g.out = append(g.out, delimiter[0], delimiter[1]) // a quarter of a copy's 57 ns
		} else {
			g.out = append(g.out, delimiter...)
		}
		return nil
	}
	return t.writeTwo(line, delimiter)
}

// ClearLineBuffer drops what was received and not delivered, and returns it. It
// is valid until the callback returns.
func (l *lineFraming) ClearLineBuffer() []byte {
	held := l.rest
	l.rest, l.scanned = nil, 0
	return held
}

// startedTLS drops what came in plain text.
func (l *lineFraming) startedTLS() {
	l.framing.startedTLS()
	l.scanned = 0
}

// LineOnlyReceiver takes the stream apart into lines (Twisted's
// LineOnlyReceiver): LineReceiver without raw mode. Embed it and have a
// LineReceived.
type LineOnlyReceiver struct{ lineFraming }

func (l *LineOnlyReceiver) wire(outermost Protocol) {
	l.stepper = &l.lineFraming
	l.wireLines(outermost)
}

// LineReceiver takes the stream apart into lines, and between them into raw
// bytes (Twisted's LineReceiver). Embed it and have a LineReceived, and for raw
// mode a RawDataReceived.
//
// A line of exactly MaxLength is delivered. A longer one calls
// LineLengthExceeded after the lines before it were delivered. What follows the
// last delimiter when the connection ends is not delivered.
type LineReceiver struct{ lineFraming }

func (l *LineReceiver) wire(outermost Protocol) {
	l.stepper = &l.lineFraming
	l.wireLines(outermost)
	l.rawData, _ = outermost.(interface{ RawDataReceived(data []byte) })
}

// SetRawMode delivers what follows to the protocol's RawDataReceived(data
// []byte), in pieces cut anywhere; data is valid until it returns.
func (l *LineReceiver) SetRawMode() {
	if l.rawData == nil {
		panic("wirehost: SetRawMode: " + typeName(l.self) + " has no RawDataReceived(data []byte)")
	}
	l.raw = true
}

// SetLineMode goes back to lines. extra is what RawDataReceived got too much,
// and comes before what follows; after StartTLS it is plain text, and dropped.
func (l *LineReceiver) SetLineMode(extra []byte) {
	l.raw, l.scanned = false, 0
	switch {
	case len(extra) == 0 || l.Transport.is&isShaking != 0:
	case len(l.rest) == 0:
		l.rest, l.own = extra, false
	default:
		l.rest, l.own = append(extra[:len(extra):len(extra)], l.rest...), true
	}
	if !l.busy {
		l.framing.DataReceived(nil)
	}
}

// RawMode tells whether raw mode is on.
func (l *LineReceiver) RawMode() bool { return l.raw }

// AppendState appends the framer's part of a protocol's state to b: a half line
// received, the mode, and whether it is paused.
func (l *LineReceiver) AppendState(b []byte) []byte {
	var flags byte
	if l.raw {
		flags = stateRaw
	}
	return l.appendState(b, flags)
}

// LoadState is AppendState's inverse, for RestoreState. It returns what follows.
func (l *LineReceiver) LoadState(b []byte) (rest []byte, err error) {
	flags, rest, err := l.loadState(b)
	l.raw = flags&stateRaw != 0
	return rest, err
}
