package reactortest

import (
	"fmt"
	"hash/crc32"

	"github.com/wirehost/wirehost/internal/script"
	"github.com/wirehost/wirehost/reactor"
)

func rowData(r *rig) {
	c := r.made()
	const n = 1 << 20
	p := script.Pattern(0, n)
	var pieces [][]byte
	for i := range 100 {
		pieces = append(pieces, p[i:i+1])
	}
	defer c.start(false, append(pieces, p[100:])...)()
	r.wantData(c, p)
	r.wantQuiet(c)
}

func rowPause(r *rig) {
	r.send("on data pause")
	c := r.made()
	const n = 1 << 20
	defer c.start(false, script.Pattern(0, n))()
	got := 0
	for got < n { // one piece, and no more until the resume
		got = r.piece(c, n)
		r.wantQuiet(c)
		r.do(c, "resume")
	}
}

// piece wants one piece of the pattern's first n bytes, and returns how many have
// come in all.
func (r *rig) piece(c *client, n int) (total int) {
	r.t.Helper()
	var size int
	var sum uint32
	e := r.next(c)
	k, err := fmt.Sscanf(e, "data %d %d %d", &size, &total, &sum)
	if k != 3 || err != nil || total > n || sum != crc32.ChecksumIEEE(script.Pattern(0, total)) {
		r.t.Fatalf("connection %d: found %q, wanted data", c.number, e)
	}
	return total
}

func rowResumeAfterLose(r *rig) {
	r.send("on made pause")
	c := r.made()
	r.write(c, much)
	c.send(script.Pattern(0, 100))
	r.do(c, "lose")
	r.do(c, "resume")
	r.wantQuiet(c)
	c.wantAll(much)
	r.wantLost(c, reactor.Done)
}
