package host

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/wirehost/wirehost/host/guest"
	"github.com/wirehost/wirehost/reactor"
)

// GuestSockets tells of the sockets that guests have made, most of them at most, and whether there are
// more: what they listen on, and those for datagrams. Several instances of a plugin may have the
// same address. Loops that have not answered within Options.Patience are left out.
func (h *Host) GuestSockets(most int) (list []ListenerInfo, more bool) {
	for p, l := range h.guestListeners {
		if len(list) > most {
			break
		}
		info := listenerInfo(p.name, l.On)
		info.made(l.Handle, l.Version, l.Loop)
		list = append(list, info)
	}
	if h.ready.started() && len(list) <= most {
		list = append(list, h.guestDatagrams(most+1-len(list))...)
	}
	more = len(list) > most
	list = list[:min(most, len(list))]
	slices.SortStableFunc(list, func(a, b ListenerInfo) int { return cmp.Compare(a.Plugin, b.Plugin) })
	return list, more
}

// guestListeners yields what guests listen on, by plugin.
func (h *Host) guestListeners(yield func(*plugin, guest.Listener) bool) {
	for _, p := range h.all() {
		for _, l := range p.account.Listeners() {
			if !yield(p, l) {
				return
			}
		}
	}
}

// made says whose it is.
func (info *ListenerInfo) made(handle int32, version string, loop int) {
	info.ID, info.Version, info.Loop = fmt.Sprintf("%s/%d", info.Plugin, handle), version, &loop
}

// guestDatagrams are the sockets for datagrams that guests have opened, most of each loop at most.
func (h *Host) guestDatagrams(most int) (list []ListenerInfo) {
	var over <-chan time.Time
	if h.o.Patience > 0 {
		timer := time.NewTimer(h.o.Patience)
		defer timer.Stop()
		over = timer.C
	}
	var answers []chan []ListenerInfo
	for _, l := range h.reactor.Loops() {
		answer := make(chan []ListenerInfo, 1)
		if l.CallFromThread(func() { answer <- h.datagramsOn(l, most) }) == nil { // else it has ended
			answers = append(answers, answer)
		}
	}
	for _, answer := range answers {
		select {
		case some := <-answer:
			list = append(list, some...)
		case <-over:
			return list
		}
	}
	return list
}

// datagramsOn are those of a loop, gathered in one turn. On the loop.
func (h *Host) datagramsOn(l *reactor.Loop, most int) (list []ListenerInfo) {
	for _, p := range h.all() {
		for _, s := range p.allSlots() {
			if s.place.Loop != l {
				continue
			}
			for o := range s.place.Opened() {
				if len(list) == most {
					return list
				}
				list = append(list, datagramInfo(p.name, s.ver.name, o))
			}
		}
	}
	return list
}

func datagramInfo(plugin, version string, o guest.OpenedSocket) ListenerInfo {
	info := ListenerInfo{Endpoint: o.On.Host(), Plugin: plugin, Peer: o.On.Peer(), RefusedBy: map[string]uint64{},
		Datagrams: datagramCounts(o.On.Stats())}
	info.made(o.Handle, version, o.On.Loop().Index())
	return info
}

func datagramCounts(s reactor.DatagramStats) *DatagramInfo {
	return &DatagramInfo{Received: s.Received, BytesIn: s.BytesIn, Sent: s.Sent, BytesOut: s.BytesOut,
		Batches: s.Batches, Overflowed: s.Overflowed, Limited: s.Limited, Unsent: s.Unsent}
}
