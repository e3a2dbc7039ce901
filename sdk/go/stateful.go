package wirehost

// StateFunc takes the bytes that a state asked for and returns the next state
// and how many bytes that wants; nil stays in the same state with the same
// number. data is valid until it returns.
type StateFunc func(data []byte) (next StateFunc, want int)

// StatefulProtocol reads fixed numbers of bytes, one after another (Twisted's
// StatefulProtocol). Embed it and have an InitialState.
type StatefulProtocol struct {
	framing
	state   StateFunc
	want    int
	initial interface {
		InitialState() (first StateFunc, want int)
	}
}

func (s *StatefulProtocol) wire(outermost Protocol) {
	initial, ok := outermost.(interface {
		InitialState() (first StateFunc, want int)
	})
	if !ok {
		panic("wirehost: " + typeName(outermost) +
			" embeds StatefulProtocol and has no InitialState() (StateFunc, int)")
	}
	s.stepper, s.initial = s, initial
}

// SetState goes to a state from outside of one, such as in RestoreState, which
// must do it where the protocol was not in its first state.
func (s *StatefulProtocol) SetState(state StateFunc, want int) {
	if state == nil || want < 0 {
		panic("wirehost: StatefulProtocol: no state, or one that wants less than nothing")
	}
	s.state, s.want = state, want
}

func (s *StatefulProtocol) step() bool {
	if s.state == nil {
		s.SetState(s.initial.InitialState())
	}
	if len(s.rest) < s.want {
		return false
	}
	if next, want := s.state(s.take(s.want)); next != nil {
		s.SetState(next, want)
	} else if s.want == 0 {
		panic("wirehost: StatefulProtocol: a state that wants nothing stays for ever")
	}
	return true
}
