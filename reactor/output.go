package reactor

// chunkSize is the unit of queued output.
const chunkSize = 16 << 10

// spareChunks bounds the chunks that a loop keeps for later: 4 MiB.
const spareChunks = 256

// output is a connection's queue of bytes that the socket has not taken. It
// holds no memory while it is empty.
type output struct {
	chunks [][]byte // of chunkSize capacity, in order
	head   int      // bytes of chunks[0] that are gone
	n      int      // bytes queued
}

// push copies p to the end of the queue.
func (o *output) push(l *Loop, p []byte) {
	o.n += len(p)
	if k := len(o.chunks); k > 0 {
		last := o.chunks[k-1]
		room := min(cap(last)-len(last), len(p))
		o.chunks[k-1] = append(last, p[:room]...)
		p = p[room:]
	}
	for len(p) > 0 {
		c := l.takeChunk()
		room := min(cap(c), len(p))
		o.chunks = append(o.chunks, append(c, p[:room]...))
		p = p[room:]
	}
}

// pieces appends the queue's front to iov, as much as one system call is to
// take.
func (o *output) pieces(iov [][]byte) [][]byte {
	for i, c := range o.chunks {
		if len(iov) == cap(iov) {
			break
		}
		if i == 0 {
			c = c[o.head:]
		}
		iov = append(iov, c)
	}
	return iov
}

// dropFront removes n bytes from the front.
func (o *output) dropFront(l *Loop, n int) {
	o.n -= n
	n += o.head
	gone := 0
	for gone < len(o.chunks) && n >= len(o.chunks[gone]) {
		n -= len(o.chunks[gone])
		l.giveChunk(o.chunks[gone])
		gone++
	}
	o.head = n
	if gone == len(o.chunks) {
		o.chunks, o.head = nil, 0
		return
	}
	if gone > 0 {
		rest := copy(o.chunks, o.chunks[gone:])
		clear(o.chunks[rest:])
		o.chunks = o.chunks[:rest]
	}
}

// clear drops everything.
func (o *output) clear(l *Loop) {
	for _, c := range o.chunks {
		l.giveChunk(c)
	}
	*o = output{}
}

func (l *Loop) takeChunk() []byte {
	l.chunksOut++
	if k := len(l.chunks); k > 0 {
		c := l.chunks[k-1]
		l.chunks = l.chunks[:k-1]
		return c
	}
	return make([]byte, 0, chunkSize)
}

func (l *Loop) giveChunk(c []byte) {
	l.chunksOut--
	if len(l.chunks) < spareChunks {
		l.chunks = append(l.chunks, c[:0])
	}
}

// crowded tells whether the loop's connections have queued all that they may
// together. What was counted is then counted anew: chunks of connections that came
// to an odd end may not have been given back.
func (l *Loop) crowded() bool {
	if l.chunksMax == 0 || l.chunksOut <= l.chunksMax {
		return false
	}
	l.chunksOut = 0
	for _, c := range l.slots {
		if c == nil {
			continue
		}
		l.chunksOut += len(c.out.chunks)
		if t := c.tls; t != nil && t.pipe != nil {
			l.chunksOut += len(t.pipe.plain.chunks)
		}
	}
	return l.chunksOut > l.chunksMax
}
