package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/wirehost/wirehost/reactor"
)

// moveOne freezes a connection, or thaws one that is frozen. One that is frozen may be
// adopted in its own place, as another connection with another descriptor.
func (w *world) moveOne() {
	l := w.r.Loops()[w.c.n(len(w.r.Loops()))]
	w.posted++
	err := l.CallFromThread(func() {
		w.posted--
		for _, p := range w.protos {
			if p.loop == l && p.frozen && w.c.oneIn(2) {
				p.thaw()
				return
			}
		}
		if p := w.anyOn(l); p != nil && !w.ending && !w.closing {
			p.transport(p.freeze)
		}
	})
	if err != nil {
		w.violated("CallFromThread: %v", err)
	}
}

// thawAll thaws what is frozen.
func (w *world) thawAll() {
	for _, p := range w.protos {
		if p.frozen {
			p.thaw()
		}
	}
}

func (p *protocol) freeze() {
	w := p.w
	s, err := p.loop.Freeze(p.t)
	w.tracef("%v: freeze: %v", p, err)
	if err != nil {
		if text := err.Error(); !strings.Contains(text, "it is over") && !strings.Contains(text, "it is stopping") {
			w.violated("%v: freeze: %v", p, err)
		}
		return
	}
	p.frozen, p.frozenAt = true, w.sys.Now()
	if w.c.oneIn(3) {
		p.write(10) // dropped
		p.t.AbortConnection()
	}
	if w.c.n(3) > 0 {
		if err := p.adopt(s); err != nil && !errors.Is(err, syscall.EMFILE) {
			w.violated("%v: adopt: %v", p, err)
		}
	}
	if w.c.n(3) > 0 {
		p.thaw()
	}
}

// adopt makes another connection of p's.
func (p *protocol) adopt(s reactor.Frozen) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	s = reactor.Frozen{}
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	f, err := p.loop.File(p.t)
	if err != nil {
		return err
	}
	defer f.Close()
	var producer reactor.Producer
	if p.producer != nil {
		producer = p.producer
	}
	ln := p.w.ln
	if p.outgoing {
		ln = nil
	}
	var share *reactor.Share
	if p.owner != nil {
		share = p.owner.share
	}
	next, err := p.loop.Adopt(f, s, p.dress, producer, ln, share)
	p.w.tracef("%v: adopt: %v", p, err)
	if err != nil {
		return err
	}
	if was, is := fmt.Sprint(p.facts(p.t)), fmt.Sprint(p.facts(next)); was != is {
		p.w.violated("%v: adopted as %s, and it was %s", p, is, was)
	}
	p.loop.Forget(p.t)
	p.t = next
	return nil
}

// facts are what does not change when a connection is moved.
func (p *protocol) facts(t reactor.Transport) []any {
	st := t.Stats()
	return []any{st.In, st.Out, st.Queued, t.State(), t.Peer(), t.Host()}
}

// thaw has p go on. The time for which it was frozen counts for nothing.
func (p *protocol) thaw() {
	by := p.w.sys.Now() - p.frozenAt
	p.w.tracef("%v: thaw after %v", p, by)
	times := []*time.Duration{&p.progress, &p.idleAt, &p.moved, &p.active, &p.pausedAt, &p.looked, &p.lookBy,
		&p.finQuiet}
	if p.producer != nil {
		times = append(times, &p.producer.registered)
	}
	for _, at := range times {
		if *at != 0 {
			*at += by
		}
	}
	p.frozen = false
	p.loop.Thaw(p.t)
}
