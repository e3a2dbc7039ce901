package simulator

// choices is where a simulation takes its decisions from: a seed, or the bytes
// of a fuzz target, after whose end every choice is 0.
type choices struct {
	state uint64
	data  []byte
	fuzz  bool
}

// n is a number from 0 to n-1.
func (c *choices) n(n int) int {
	if n <= 1 {
		return 0
	}
	if c.fuzz {
		v := 0
		for limit := 1; limit < n && len(c.data) > 0; limit <<= 8 {
			v = v<<8 | int(c.data[0])
			c.data = c.data[1:]
		}
		return v % n
	}
	// splitmix64
	c.state += 0x9e3779b97f4a7c15
	z := c.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) >> 1 % uint64(n))
}

// oneIn is true once in k; never for a k of 0, nor when the bytes have run out.
func (c *choices) oneIn(k int) bool { return k > 0 && c.n(k) == k-1 }

// size is a length from 0 to most, more often a short one.
func (c *choices) size(most int) int {
	switch c.n(4) {
	case 0:
		return c.n(min(most, 16) + 1)
	case 1:
		return c.n(min(most, 256) + 1)
	case 2:
		return c.n(most/8 + 1)
	}
	return c.n(most + 1)
}

// spent tells whether a fuzz target's bytes have run out.
func (c *choices) spent() bool { return c.fuzz && len(c.data) == 0 }

// patternSize is prime, so that streams which start apart stay apart.
const patternSize = 8191

// pattern is what all simulated streams are cut from: each begins at a place of
// its own, so that bytes of another stream, or at another place, show.
var pattern = makePattern()

func makePattern() []byte {
	c := choices{state: 1}
	p := make([]byte, patternSize)
	for i := range p {
		p[i] = byte(c.n(256))
	}
	return p
}

// stream is one direction of a simulated connection.
type stream int

func (s stream) start(at int) int { return (int(s)*977 + at) % patternSize }

// fill writes the stream's bytes from at into p.
func (s stream) fill(p []byte, at int) {
	for i := s.start(at); len(p) > 0; i = 0 {
		p = p[copy(p, pattern[i:]):]
	}
}

// matches tells whether p is the stream's bytes from at.
func (s stream) matches(p []byte, at int) bool {
	for i := s.start(at); len(p) > 0; i = 0 {
		k := min(len(p), patternSize-i)
		if string(p[:k]) != string(pattern[i:i+k]) {
			return false
		}
		p = p[k:]
	}
	return true
}
